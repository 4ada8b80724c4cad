/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that PageCache and SharedMemory share: files, who is charged for them, and cgroups by what they hold.
 */
#ifndef MEMDIAG_CHECKS_CACHE_ROWS_H
#define MEMDIAG_CHECKS_CACHE_ROWS_H

#include "base/tree.h"
#include "checks/check.h"
#include "identity/mounts.h"
#include "identity/owner.h"
#include "instruments/cgroupfs.h"
#include "instruments/pages.h"

/* All that judging needs; plain data, so that tests can write it by hand. */
struct cache_facts {
	const struct spec *spec;
	const struct pages_snapshot *pages;
	const struct mounts *mounts;	   /* NULL: paths are as the superblock has them */
	const struct cgroup_usage *usages; /* of pages->memcgs[i], for i < n_usages */
	size_t n_usages;
	enum cgroup_mode cgroup_mode;
	const char *cgroup_mount; /* path of the memory controller's mount on the host */
	uint64_t mem_total_bytes;
};

/*
 * Reads what judging needs into facts. The usages are those of the memcgs that can have a finding, at most 64; the caller
 * frees *ret_usages.
 */
int cache_facts_read(const struct check_env *env, struct cache_facts *facts,
		     struct cgroup_usage **ret_usages, struct err *err);

/* The path as a user of the host finds the file, escaped (base/text.h); "" when it has no name. The caller frees it. */
char *cache_file_name(const struct cache_facts *facts, const struct pages_file *file);
/* The same as bytes, only for a file that can be opened by it; NULL otherwise. The caller frees it. */
char *cache_file_open_path(const struct cache_facts *facts, const struct pages_file *file);

/* Borrows the snapshot's path. */
struct owner cache_owner(const struct pages_memcg *memcg);

/* The `top` largest files of one kind (all kinds: shmem_only false) as the CRD has them. */
void cache_add_files(const struct cache_facts *facts, bool shmem_only, cJSON *result);
/* The `top` largest memcgs by cached bytes, or by shmem. */
void cache_add_containers(const struct cache_facts *facts, bool shmem_only, cJSON *result);

/* Copies how the scan went into result: method, coverage, BPF calls, Truncated. */
void cache_describe_scan(const struct pages_snapshot *pages, struct check_result *result);

#endif
