/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instrument `reclaim`: how long tasks had to reclaim memory themselves, by memory cgroup and cause, and the longest of these
 * with their kernel stacks. Counts since it was opened; BPF programs on tracepoints that only reclaim passes.
 *
 * Rows of a snapshot: cgroup_id is the memory cgroup of the task that waited; cause an enum reclaim_cause of bpf/reclaim.h;
 * target_id for RECLAIM_LIMIT the cgroup whose limit it was (itself or an ancestor; 0: not one of these), for RECLAIM_HIGH the
 * lowest one above its memory.high.
 *
 * The count of RECLAIM_GLOBAL is vmstat's sum of allocstall_*, but for reclaim that starts over within one wait (it counts again
 * there). Waits in throttle_direct_reclaim() come before and are not in it.
 */
#ifndef MEMDIAG_INSTRUMENTS_RECLAIM_H
#define MEMDIAG_INSTRUMENTS_RECLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "instruments/captures.h"
#include "instruments/host.h"
#include "instruments/latency.h"

#include "../bpf/reclaim.h"

/* Words for the causes: "limit", "high", "global", "node", "soft", "proactive", "async". */
extern const char *const reclaim_cause_names[RECLAIM_CAUSES];

enum { RECLAIM_OUTLIERS = 64 }; /* kept at a time */

struct reclaim_snapshot {
	struct latency_snapshot *latency;
	struct reclaim_event *outliers; /* ascending by end_ns; their cause and target as in rows */
	size_t n_outliers;
	uint64_t
		outliers_unkept; /* long ones that are counted in rows, but whose stack is not kept */
	uint64_t outlier_ns;	 /* what counts as long */
	bool by_stack; /* functions are known by address: doubtful causes are decided by the stack */
	bool by_pid;   /* no task storage (before 5.12): tasks are told apart by their pid */
};

struct reclaim_opts {
	uint64_t outlier_ns; /* 0: 1 ms */
	bool by_pid;	     /* for tests: as on a kernel without task storage */
};

struct reclaim;

/*
 * Attaches all programs dark, then activates them. Errors: those of loading: -EPERM without CAP_BPF and CAP_PERFMON, what BPF on
 * this kernel lacks, in words. Nothing is in the kernel after reclaim_close(), nor when the process ends in any way.
 */
int reclaim_open(const struct host *host, const struct reclaim_opts *opts, struct reclaim **ret,
		 struct err *err);
void reclaim_close(struct reclaim *reclaim);

/* May be called from any thread, at any time. The caller frees *ret. */
int reclaim_read(struct reclaim *reclaim, struct reclaim_snapshot **ret, struct err *err);
void reclaim_snapshot_free(struct reclaim_snapshot *snapshot);

extern const struct capture_ops reclaim_capture;

#endif
