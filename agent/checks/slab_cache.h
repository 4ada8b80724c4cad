/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check SlabCache: what the kernel's object caches take and how they grew within the window, who owns the largest of them
 * (directories and filesystems of dentries and inodes), and which containers are charged for kernel objects. Findings:
 * DentryCacheHigh, NegativeDentries, SlabGrowth, SlabUnreclaimableGrowth; all are about the node.
 *
 * With a target that names pods it says what these are charged for, and nothing about the node.
 */
#ifndef MEMDIAG_CHECKS_SLAB_CACHE_H
#define MEMDIAG_CHECKS_SLAB_CACHE_H

#include "checks/check.h"
#include "identity/mounts.h"
#include "identity/owner.h"
#include "instruments/cgroupfs.h"
#include "instruments/dentries.h"
#include "instruments/slabs.h"

extern const struct check check_slab_cache;

struct slab_container {
	struct owner owner; /* strings are owned */
	struct cgroup_stat stat;
	bool can_reclaim; /* it has memory.reclaim (v2, 5.19) */
};

/* /proc/meminfo's sums, bytes. */
struct slab_sums {
	uint64_t reclaimable, unreclaimable;
};

/* All that judging needs; plain data, so that tests can write it by hand. */
struct slab_facts {
	const struct spec *spec;
	const struct slabs_snapshot *before, *after; /* of the window; NULL: not read */
	struct slab_sums sums_before, sums_after;    /* zero: not read */
	const char *slabs_problem; /* why caches are unknown; NULL: they are known */
	uint64_t window_ns;
	const struct dentries_snapshot *dentries; /* NULL: not asked, or it failed */
	const char *dentries_problem;	  /* why their owners are unknown; NULL: they are known */
	const struct owner *group_owners; /* of dentries->groups; NULL: they have no names */
	const struct mounts *mounts;	  /* NULL: paths are as the superblock has them */
	const struct slab_container *containers; /* descending by slab_container_bytes() */
	size_t n_containers;
	uint64_t containers_not_read; /* beyond the ceiling of cgroups whose memory.stat is read */
	bool v2;		      /* memory.stat tells slab; else all kernel memory is shown */
	const char *cgroup_mount;     /* path of the memory controller's mount on the host */
	uint64_t mem_total_bytes;
	/* What this kernel has, for hints. */
	uint64_t cache_pressure;  /* vm.vfs_cache_pressure; UINT64_MAX: unknown */
	bool has_dentry_negative; /* sysctl fs.dentry-negative (6.12), which is off */
	bool has_allocinfo;	  /* /proc/allocinfo (6.10) */
};

/* What a container is charged for: slab, on v1 all kernel memory. */
uint64_t slab_container_bytes(const struct slab_container *container);

/* Pure: facts in, result and findings out. */
void slab_cache_judge(const struct slab_facts *facts, struct check_result *result);

/* --- private to slab_cache*.c ------------------------------------------------------------------------------------------- */

/* By how much a cache grew, negative when it shrank; 0 without a snapshot of before. */
int64_t slab_cache_grown(const struct slab_facts *facts, const struct slab_cache *cache);
/* Who is charged for dentries->groups[i]; its strings are borrowed. */
struct owner slab_group_owner(const struct slab_facts *facts, size_t i);
/*
 * namespace/pod/container, else the cgroup, of the one that most of a directory's dentries are charged to; NULL: no single
 * one. The caller frees it.
 */
char *slab_directory_owner(const struct slab_facts *facts, const struct dentries_directory *dir);
/* A directory as a user of the host finds it, escaped. The caller frees it. */
char *slab_directory_name(const struct slab_facts *facts, const struct dentries_directory *dir);
/* The same as bytes, when a process of the host can open it; NULL otherwise. The caller frees it. */
char *slab_directory_path(const struct slab_facts *facts, const struct dentries_directory *dir);
void slab_cache_find(const struct slab_facts *facts, struct findings *findings);

#endif
