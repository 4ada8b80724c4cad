/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instrument `runqueue`: how long tasks were ready to run and waited for a CPU, per memory cgroup, cumulative since it was
 * attached; for long waits also who had the CPU. The kernel's own timing (sched_info, what /proc/PID/schedstat shows), read by a
 * BPF program where a task gets its CPU. A wait counts when it ends.
 *
 * Exact are counts, sums and every wait above 1 ms. Shorter ones stand together in the bucket that ends at 1 ms. A wait during
 * which the task's cgroup was out of CPU quota for half of the time or more is RUNQUEUE_THROTTLED: its limit's doing, not its
 * neighbours'.
 */
#ifndef MEMDIAG_INSTRUMENTS_RUNQUEUE_H
#define MEMDIAG_INSTRUMENTS_RUNQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "instruments/captures.h"
#include "instruments/latency.h"

#include "../bpf/runqueue.h"

extern const struct capture_ops runqueue_capture;

struct runqueue;

struct runqueue_opts {
	uint64_t
		holder_ns; /* waits longer than this name who had the CPU; 0: 4 ms, more than one slice of the scheduler. At least 1 ms. */
	bool by_pid;	   /* do without task storage, as on kernels before 5.12 */
};

/*
 * Who had the CPU while tasks of a cgroup waited for it: a long wait is counted to the cgroup of the task that had the CPU for
 * most of it without a break, be it the waiter's own.
 */
struct runqueue_holder {
	uint64_t waiter_id; /* memory cgroup, as in struct latency_row */
	uint64_t
		holder_id; /* 0: nobody for more than 1 ms: passed around quickly, idle, or taken by the hypervisor */
	uint64_t count, wait_ns; /* such waits */
	uint64_t
		held_ns; /* of these the part that the holder had the CPU, in stints of more than 1 ms */
	/* The latest such wait, as an example. */
	uint32_t holder_pid, waiter_pid; /* processes */
	char holder_comm[RUNQUEUE_COMM], waiter_comm[RUNQUEUE_COMM];
};

struct runqueue_snapshot {
	struct latency_snapshot *waits;	 /* causes: enum runqueue_cause; target_id 0 */
	struct runqueue_holder *holders; /* ascending by waiter, holder */
	size_t n_holders;
	uint64_t lost_holders; /* long waits whose holder is not in the table: it was full */
	uint64_t stateless;    /* slow waits that may lack what went before a move to another CPU */
	uint64_t tasks;	       /* that lived when it was read */
};

/* Attaches. Errors: the load's own; -EOPNOTSUPP when the kernel does not time waits. */
int runqueue_open(const struct runqueue_opts *opts, struct runqueue **ret, struct err *err);
void runqueue_close(struct runqueue *rq);

/*
 * Thread-safe. Walks all tasks (0.4 us each) and reads the tables; the caller frees it. Errors: -EIO when the walk fails.
 */
int runqueue_read(struct runqueue *rq, struct runqueue_snapshot **ret, struct err *err);
void runqueue_snapshot_free(struct runqueue_snapshot *snapshot);

/* What happened between the two (latency_diff() for the waits); the caller frees it. before NULL: all of after. */
struct runqueue_snapshot *runqueue_diff(const struct runqueue_snapshot *before,
					const struct runqueue_snapshot *after);

/* Static, for the report: how it works here, and what this kernel does not let it see; NULL: nothing is missing. */
const char *runqueue_method(const struct runqueue *rq);
const char *runqueue_missing(const struct runqueue *rq);

#endif
