/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the CPUs' time went, by /proc/stat and, where the kernel has it, /proc/schedstat. Cumulative since boot.
 */
#ifndef MEMDIAG_INSTRUMENTS_CPU_TIMES_H
#define MEMDIAG_INSTRUMENTS_CPU_TIMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"
#include "instruments/keyvalue.h"

enum { CPU_TIMES_MAX = 8192 }; /* the most CPUs that Linux can be built for */

/* Ticks of USER_HZ, 10 ms each. */
struct cpu_time {
	uint32_t cpu;
	uint64_t total; /* without what guests got, which is in it already */
	uint64_t irq, softirq, steal;
};

struct cpu_times {
	struct cpu_time *cpus; /* ascending by number; those that are online */
	size_t n;
	bool has_schedstat;
	uint64_t delay_ns,
		waits; /* of all CPUs: what tasks waited for one, and how often they got one */
	struct parse_notes notes;
};

/* /proc/schedstat may be missing; /proc/stat may not. The caller frees it. */
int cpu_times_read(const struct root *proc, struct cpu_times **ret, struct err *err);
void cpu_times_free(struct cpu_times *times);
/* NULL: not there. */
const struct cpu_time *cpu_times_find(const struct cpu_times *times, uint32_t cpu);

/* Pure, for tests and fuzzing. */
void cpu_times_parse_stat(const char *text, struct cpu_times *times);
void cpu_times_parse_schedstat(const char *text, struct cpu_times *times);

#endif
