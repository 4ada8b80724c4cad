/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * BPF's side of latency.h: the map, and recording into it. Adding atomically to one row for all CPUs rather than to one for
 * each: reading stays cheap on large machines, and an event every 10 us does not fight for a cache line.
 */
#ifndef MEMDIAG_BPF_LATENCY_ROWS_H
#define MEMDIAG_BPF_LATENCY_ROWS_H

#include "compat/cgroup.h"
#include "latency.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, LATENCY_ROWS);
	__type(key, struct latency_key);
	__type(value, struct latency_value);
} rows SEC(".maps");

static const struct latency_value latency_none;

/* NULL: the table is full. */
static __always_inline struct latency_value *latency_row(__u64 cgroup, __u64 target, __u32 cause)
{
	struct latency_key key = {.cgroup = cgroup, .target = target, .cause = cause};
	struct latency_value *row = bpf_map_lookup_elem(&rows, &key);

	if (row)
		return row;
	bpf_map_update_elem(&rows, &key, &latency_none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&rows, &key);
}

static __always_inline void latency_count(struct latency_value *row, __u64 ns, __u64 now)
{
	__u32 bucket = hist_bucket(ns);

	if (bucket >= HIST_BUCKETS) /* for the verifier */
		return;
	__sync_fetch_and_add(&row->hist.count, 1);
	__sync_fetch_and_add(&row->hist.sum_ns, ns);
	__sync_fetch_and_add(&row->hist.buckets[bucket], 1);
	/* Without compare-and-exchange (a 5.12 instruction): look again, lest a smaller one of another CPU came between. */
	for (int i = 0; i < 3 && row->hist.max_ns < ns; i++)
		*(volatile __u64 *)&row->hist.max_ns = ns;
	row->last_ns = now;
}

/* Takes back what latency_count() did, but for the maximum. */
static __always_inline void latency_uncount(struct latency_value *row, __u64 ns)
{
	__u32 bucket = hist_bucket(ns);

	if (bucket >= HIST_BUCKETS)
		return;
	__sync_fetch_and_add(&row->hist.count, -1);
	__sync_fetch_and_add(&row->hist.sum_ns, -ns);
	__sync_fetch_and_add(&row->hist.buckets[bucket], -1);
}

/* Current's memory cgroup: st_ino of its directory, on v1 and v2; 0: none. */
static __always_inline __u64 latency_css_id(struct cgroup_subsys_state *css)
{
	return css ? BPF_CORE_READ(css, cgroup, kn, id) : 0;
}

#endif
