/* SPDX-License-Identifier: Apache-2.0 */
/* What the agent counts of itself: written by its main thread, read by the collector's, so with the functions below. */
#ifndef MEMDIAG_EXPORT_COUNTERS_H
#define MEMDIAG_EXPORT_COUNTERS_H

#include <stdint.h>

struct agent_counters {
	uint64_t runs_complete,
		runs_failed;	   /* runs whose report was made; failed: no check worked */
	uint64_t last_run_seconds; /* Unix time; 0: none yet */
	uint64_t
		hung_seconds; /* since the job began that the worker does not come back from; 0: none */
	uint64_t lists_read; /* lists of diagnoses: from the first on the agent is ready */
	uint64_t api_requests, api_failures, api_throttled, watch_restarts;
};

static inline void counter_set(uint64_t *counter, uint64_t value)
{
	__atomic_store_n(counter, value, __ATOMIC_RELAXED);
}

static inline void counter_add(uint64_t *counter, uint64_t value)
{
	__atomic_fetch_add(counter, value, __ATOMIC_RELAXED);
}

static inline uint64_t counter_get(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
