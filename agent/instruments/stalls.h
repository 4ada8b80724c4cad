/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instrument `stalls`: when a CPU was kept from others inside the kernel, who did it and where. Looked at by the scheduler's
 * own tick; what is shorter than its limit (10 ms; late ticks 5 ms) is not seen, and times are exact to a tick (1 to 10 ms).
 *
 * STALLS_NO_SCHED: a task was asked to give up the CPU, and ran on in the kernel (also soft interrupts that ran on top of it).
 * STALLS_IRQ_OFF: the tick came late on a CPU that was in the kernel. Interrupts were off, or, in a virtual machine, the
 * hypervisor had the CPU: from within these cannot be told apart for certain.
 */
#ifndef MEMDIAG_INSTRUMENTS_STALLS_H
#define MEMDIAG_INSTRUMENTS_STALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "instruments/captures.h"
#include "instruments/latency.h"

#include "../bpf/stalls.h"

extern const struct capture_ops stalls_capture;

struct stalls;

enum { STALLS_KEEP = 512 }; /* the latest events; older ones are in the counts alone */

struct stalls_opts {
	uint64_t no_sched_ns; /* 0: 10 ms */
	bool by_clock; /* look by perf's clock event, as where the tick is no high resolution timer */
};

struct stalls_snapshot {
	struct latency_snapshot
		*waits; /* cumulative; causes: enum stalls_kind; the cgroup is the culprit's */
	struct stalls_event *events; /* oldest first: those after since_seq that are still kept */
	size_t n_events;
	uint64_t seq;	 /* of the latest event; the next call's since_seq */
	uint64_t missed; /* events after since_seq that are not kept */
	uint64_t lost;	 /* events that nobody read in time, since it was attached */
	uint64_t ticks;	 /* looked at, about */
	uint64_t stolen,
		stolen_ns; /* late ticks in user space, where the kernel has no part: the hypervisor's */
};

/*
 * proc is the host's. Attaches; finding out which flag means "give up the CPU" moves the calling thread between CPUs for some
 * ms. Errors: the load's own; -EOPNOTSUPP when that flag cannot be found (one CPU alone) or ticks cannot be looked at.
 */
int stalls_open(const struct root *proc, const struct stalls_opts *opts, struct stalls **ret,
		struct err *err);
void stalls_close(struct stalls *stalls);

/* Thread-safe and cheap. since_seq 0: every event that is kept. The caller frees it. */
int stalls_read(struct stalls *stalls, uint64_t since_seq, struct stalls_snapshot **ret,
		struct err *err);
void stalls_snapshot_free(struct stalls_snapshot *snapshot);

/* Static, for the report: how it works here, and what it cannot see so; NULL: nothing is missing. */
const char *stalls_method(const struct stalls *stalls);
const char *stalls_missing(const struct stalls *stalls);

#endif
