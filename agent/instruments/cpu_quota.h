/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cpu controller's files of a cgroup: its quota and weight, and how often it was out of quota. v1 and v2 in the same terms.
 */
#ifndef MEMDIAG_INSTRUMENTS_CPU_QUOTA_H
#define MEMDIAG_INSTRUMENTS_CPU_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"
#include "instruments/cgroupfs.h"

/* Where the cpu controller is. */
struct cpu_cgroups {
	struct root root;
	bool v2;
};

#define CPU_CGROUPS_INIT          \
	{                         \
		.root = ROOT_INIT \
	}

/* Next to the memory controller's mount, as container runtimes have it. -ENOENT: there is none. */
int cpu_cgroups_open(const struct cgroupfs *cgroups, struct cpu_cgroups *ret, struct err *err);
void cpu_cgroups_close(struct cpu_cgroups *cpu);

/* Cumulative since the cgroup was made, but for what it may use. */
struct cpu_quota {
	uint64_t periods;	 /* in which it wanted to run; 0 without a quota */
	uint64_t throttled;	 /* of these, in which it ran out */
	uint64_t throttled_ns;	 /* summed over CPUs */
	uint64_t limit_millis;	 /* thousandths of a CPU; UINT64_MAX: no quota of its own */
	uint64_t quota_us;	 /* of each period; 0: no quota of its own */
	uint64_t period_us;	 /* of the quota; 0: unknown */
	uint64_t request_millis; /* what its weight stands for by the kubelet's rule; 0: unknown */
};

/* path as struct pages_memcg has it. -ENOENT: the cgroup is gone, or not in the cpu controller's tree. */
int cpu_quota_read(const struct cpu_cgroups *cpu, const char *path, struct cpu_quota *ret,
		   struct err *err);
/* Pure: cpu.stat of either version into periods, throttled, throttled_ns. */
void cpu_quota_parse_stat(const char *text, struct cpu_quota *ret, struct parse_notes *notes);
/* Pure: "max 100000", "20000 100000" of v2's cpu.max. */
void cpu_quota_parse_max(const char *text, struct cpu_quota *ret);
/* What was added since `before`; limits are after's. A cgroup that was made anew counts whole. */
struct cpu_quota cpu_quota_diff(const struct cpu_quota *before, const struct cpu_quota *after);

#endif
