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

/* A file as its largest payer sees it. Owned; NULL when it is no container, or does not see it. */
struct cache_place {
	char *container_path;
	char *volume; /* name of the pod's volume */
};

/* All that judging needs; plain data, so that tests can write it by hand. */
struct cache_facts {
	const struct spec *spec;
	const struct pages_snapshot *pages;
	const struct mounts *mounts;	   /* NULL: paths are as the superblock has them */
	const struct cgroup_usage *usages; /* of pages->memcgs[i], for i < n_usages */
	size_t n_usages;
	const struct owner *owners;	  /* of pages->memcgs; NULL: cgroups have no names */
	const struct cache_place *places; /* of pages->files; NULL: nobody asked */
	const char *names_missing; /* why pods that are charged have no names; NULL: all have */
	enum cgroup_mode cgroup_mode;
	const char *cgroup_mount; /* path of the memory controller's mount on the host */
	uint64_t mem_total_bytes;
};

/*
 * Reads what judging needs (usages of the memcgs that can have a finding, owners, places of the files that a container is
 * charged for), judges, and releases it.
 */
int cache_read_and_judge(const struct check_env *env,
			 void (*judge)(const struct cache_facts *facts,
				       struct check_result *result),
			 struct check_result *result, struct err *err);

/* The path as a user of the host finds the file, escaped (base/text.h); "" when it has no name. The caller frees it. */
char *cache_file_name(const struct cache_facts *facts, const struct pages_file *file);
/* The same as bytes, only for a file that can be opened by it; NULL otherwise. The caller frees it. */
char *cache_file_open_path(const struct cache_facts *facts, const struct pages_file *file);

/* Of pages->memcgs[i]; its strings are borrowed. */
struct owner cache_owner(const struct cache_facts *facts, size_t i);

/* The `top` largest files of one kind (all kinds: shmem_only false) as the CRD has them. */
void cache_add_files(const struct cache_facts *facts, bool shmem_only, cJSON *result);
/* The `top` largest memcgs by cached bytes, or by shmem. */
void cache_add_containers(const struct cache_facts *facts, bool shmem_only, cJSON *result);

/* Copies how it went into result: method, coverage, BPF calls, Truncated, names that are missing. */
void cache_describe(const struct cache_facts *facts, struct check_result *result);

#endif
