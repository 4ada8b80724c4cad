/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latencies per cgroup and cause, as the instruments that observe (reclaim, compaction, run queue) keep them in the kernel:
 * cumulative since they were attached. What a window saw is the difference between two snapshots, so that a run and the
 * exporter can share one set of programs.
 */
#ifndef MEMDIAG_INSTRUMENTS_LATENCY_H
#define MEMDIAG_INSTRUMENTS_LATENCY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>

#include "hist.h"

enum { LATENCY_MAX_ROWS = 16384 }; /* what one snapshot keeps; the rest is counted in `lost` */

struct latency_row {
	uint64_t
		cgroup_id; /* st_ino of the memory (or, where the instrument says so, cpu) cgroup's directory; 0: unknown */
	uint64_t
		target_id; /* what the instrument's header says, such as the ancestor whose limit it was; 0: none */
	uint32_t cause; /* the instrument's enumeration */
	struct hist hist;
};

struct latency_snapshot {
	uint64_t time_ns;	  /* CLOCK_MONOTONIC, when it was read */
	struct latency_row *rows; /* ascending by cgroup_id, target_id, cause; each of them once */
	size_t n;
	uint64_t lost; /* events that are in no row: a map was full, or there were too many rows */
};

void latency_snapshot_free(struct latency_snapshot *snapshot);

/* Puts the rows in order and adds up those with the same key; for instruments that read per-CPU or LRU maps. */
void latency_snapshot_sort(struct latency_snapshot *snapshot);

/*
 * What happened between the two; the caller frees it. before NULL: all of after. A row that became smaller (its map entry was
 * evicted and made anew) counts whole. Rows in which nothing happened are left out. max_ns is after's where it grew, else the
 * upper edge of the highest bucket that grew, at most after's: the longest since attaching is all that the kernel keeps.
 */
struct latency_snapshot *latency_diff(const struct latency_snapshot *before,
				      const struct latency_snapshot *after);

/* Upper edge of a bucket in microseconds; UINT64_MAX for the last. */
uint64_t hist_edge_us(size_t bucket);
/* to += from; max_ns is the larger one. */
void hist_add(struct hist *to, const struct hist *from);
/* One latency more. */
void hist_record(struct hist *hist, uint64_t ns);
/* The permille-quantile (990: p99) as the upper edge of its bucket, at most max_ns rounded up; 0 when empty. Microseconds. */
uint64_t hist_quantile_us(const struct hist *hist, unsigned int permille);
/* How many took at most edge_us, which must be an edge; UINT64_MAX gives all. */
uint64_t hist_count_le(const struct hist *hist, uint64_t edge_us);

#endif
