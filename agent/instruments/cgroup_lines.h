/* SPDX-License-Identifier: Apache-2.0 */
/* What a cgroup's usage adds up to: arithmetic only. */
#ifndef MEMDIAG_INSTRUMENTS_CGROUP_LINES_H
#define MEMDIAG_INSTRUMENTS_CGROUP_LINES_H

#include <stdbool.h>
#include <stddef.h>

#include "instruments/cgroupfs.h"
#include "instruments/memory_line.h"

enum { CGROUP_LINES_MAX = 20 };

/*
 * The non-overlapping parts of its usage, the residual last: what CPUs have reserved ahead of use (up to 64 pages each), and what moved
 * between two files. v1 has one number for all kernel memory. Returns how many; their sum is stat->usage to the byte, which must be known.
 */
size_t cgroup_lines(const struct cgroup_stat *stat, bool v2,
		    struct memory_line lines[CGROUP_LINES_MAX]);

/* All of its kernel memory. Where the kernel does not say (v2 before 5.18) the parts that it has counters for. */
uint64_t cgroup_kernel_bytes(const struct cgroup_stat *stat);
/* Usage without inactive_file: the kubelet evicts by it. */
uint64_t cgroup_working_set(const struct cgroup_stat *stat);

#endif
