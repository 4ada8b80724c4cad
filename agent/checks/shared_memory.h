/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check SharedMemory: tmpfs, /dev/shm, SysV, memfd and shared anonymous memory by file, directory and cgroup. Finding
 * SharedMemoryHigh: one cgroup's shared memory is a large share of its memory limit, or of the node's memory.
 */
#ifndef MEMDIAG_CHECKS_SHARED_MEMORY_H
#define MEMDIAG_CHECKS_SHARED_MEMORY_H

#include "checks/cache_rows.h"
#include "checks/check.h"

extern const struct check check_shared_memory;

/* Pure: facts in, result and findings out. */
void shared_memory_judge(const struct cache_facts *facts, struct check_result *result);

#endif
