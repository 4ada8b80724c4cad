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

/* What all CPUs together did, in /proc/stat's order. */
enum cpu_mode {
	CPU_USER, /* guests' time is in it, and that of guests with a nice value in CPU_NICE */
	CPU_NICE,
	CPU_SYSTEM,
	CPU_IDLE,
	CPU_IOWAIT,
	CPU_IRQ,
	CPU_SOFTIRQ,
	CPU_STEAL,
	CPU_GUEST,
	CPU_GUEST_NICE,
	CPU_MODES
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

/* The first line of /proc/stat, in ticks; modes that the kernel does not have are 0. Errors: root_read()'s; -EPROTO: no such line. */
int cpu_times_read_modes(const struct root *proc, uint64_t ret[CPU_MODES], struct err *err);

/* Pure, for tests and fuzzing. */
void cpu_times_parse_stat(const char *text, struct cpu_times *times);
void cpu_times_parse_schedstat(const char *text, struct cpu_times *times);
/* text is changed, and may be NULL. */
int cpu_times_parse_modes(char *text, uint64_t ret[CPU_MODES]);

#endif
