/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the kernel's table of latencies (bpf/latency.h) into a snapshot. Private to instruments.
 */
#ifndef MEMDIAG_INSTRUMENTS_LATENCY_MAP_H
#define MEMDIAG_INSTRUMENTS_LATENCY_MAP_H

#include "base/err.h"
#include "instruments/latency.h"

enum { LATENCY_MAP_CAUSES = 8 };

struct latency_map {
	int fd; /* of the map `rows`; borrowed */
	/* What rows held that were taken out, by cause: sums over all rows never go down. */
	struct hist retired[LATENCY_MAP_CAUSES];
};

/*
 * Reads all rows, sorted. When three quarters of the table are in use, rows that did not change for ten minutes (their container is
 * idle or gone) are taken out of the kernel and go on in a row of cgroup 0, target 0. lost is what the programs counted. Callers
 * serialise calls for one map. The caller frees *ret with latency_snapshot_free().
 */
int latency_map_read(struct latency_map *map, uint64_t lost, struct latency_snapshot **ret,
		     struct err *err);

#endif
