/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instrument `compaction`: how long tasks had to compact memory themselves, by memory cgroup, outcome and order; kcompactd's work
 * apart. Counts since it was opened; BPF programs on tracepoints that only compaction passes.
 *
 * Rows of a snapshot: cgroup_id is the memory cgroup of the task; cause an enum compaction_cause of bpf/compaction.h; target_id the
 * order that was asked for (2^order pages), 0 for work that nobody asked for. The first three causes together are vmstat's
 * compact_stall.
 */
#ifndef MEMDIAG_INSTRUMENTS_COMPACTION_H
#define MEMDIAG_INSTRUMENTS_COMPACTION_H

#include <stdbool.h>

#include "base/err.h"
#include "instruments/captures.h"
#include "instruments/host.h"
#include "instruments/latency.h"

#include "../bpf/compaction.h"

/* Words for the causes: "direct-success", "direct-failure", "direct-deferred", "kcompactd", "manual". */
extern const char *const compaction_cause_names[COMPACTION_CAUSES];

struct compaction;

struct compaction_opts {
	bool by_pid; /* for tests: as on a kernel without task storage */
};

/* As reclaim_open(). -EOPNOTSUPP: a kernel without compaction. */
int compaction_open(const struct compaction_opts *opts, struct compaction **ret, struct err *err);
void compaction_close(struct compaction *compaction);
/* May be called from any thread, at any time. The caller frees *ret with latency_snapshot_free(). */
int compaction_read(struct compaction *compaction, struct latency_snapshot **ret, struct err *err);

extern const struct capture_ops compaction_capture;

#endif
