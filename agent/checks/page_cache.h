/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check PageCache: which files and which cgroups hold the page cache. Finding PageCacheHigh: one cgroup's cache of files
 * (shared memory is not counted: SharedMemory has it) is a large share of its memory limit, or of the node's memory.
 */
#ifndef MEMDIAG_CHECKS_PAGE_CACHE_H
#define MEMDIAG_CHECKS_PAGE_CACHE_H

#include "checks/cache_rows.h"
#include "checks/check.h"

extern const struct check check_page_cache;

/* Pure: facts in, result and findings out. */
void page_cache_judge(const struct cache_facts *facts, struct check_result *result);

#endif
