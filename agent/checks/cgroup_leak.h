/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check CgroupLeak: memory cgroups that are removed but pinned by what is charged to them ("dying"): how many, what made them,
 * what pins them, and which files. Finding CgroupLeak: one controller or place, or the node in all, has many.
 */
#ifndef MEMDIAG_CHECKS_CGROUP_LEAK_H
#define MEMDIAG_CHECKS_CGROUP_LEAK_H

#include "checks/cache_rows.h"
#include "checks/check.h"
#include "checks/leak_groups.h"

extern const struct check check_cgroup_leak;

/* All that judging needs; plain data, so that tests can write it by hand. */
struct leak_facts {
	const struct spec *spec;
	const struct memcgs_snapshot *memcgs;
	const struct leak_groups *groups;   /* sorted; of the pods that spec.target means */
	const struct pages_snapshot *pages; /* NULL: not asked, or it failed */
	const char
		*pages_problem; /* why the files that pin them are unknown; NULL: they are known */
	uint64_t not_scanned;	/* dying cgroups beyond what one scan can be limited to */
	const struct mounts *mounts; /* NULL: paths are as the superblock has them */
	const char *cgroup_mount;    /* path of the memory controller's mount on the host */
	unsigned int n_cpus;	     /* that may be plugged in */
	uint64_t page_size;
};

/* Pure: facts in, result and findings out. */
void cgroup_leak_judge(const struct leak_facts *facts, struct check_result *result);

/* The remedies for a group, or for all together (group NULL). */
void leak_add_hints(const struct leak_facts *facts, const struct leak_group *group,
		    struct finding *finding);

/*
 * Kernel memory that n dying memory cgroups take, an estimate: 13.6 KiB of slab and 1.9 KiB per CPU each, as measured on Linux
 * 6.18 on x86_64.
 */
uint64_t cgroup_leak_cost(uint64_t n, unsigned int n_cpus);

#endif
