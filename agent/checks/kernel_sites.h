/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of the kernel's code that hold memory (instruments/allocinfo.h), as the KernelMemory check shows them: drivers, network,
 * whatever is not the memory of processes and files. They overlap with owners and stacks, and prove them.
 */
#ifndef MEMDIAG_CHECKS_KERNEL_SITES_H
#define MEMDIAG_CHECKS_KERNEL_SITES_H

#include "base/tree.h"
#include "instruments/allocinfo.h"

enum { KERNEL_SITES_MAX = 50 };

struct kernel_sites {
	struct kernel_site {
		const struct alloc_site *site; /* borrowed from the later reading */
		int64_t grown;
	} items[KERNEL_SITES_MAX]; /* what grew most first, then by bytes */
	size_t n;
};

/* before may be NULL: then nothing is known to have grown. */
void kernel_sites_choose(const struct allocinfo *now, const struct allocinfo *before,
			 struct kernel_sites *ret);
/* Appends at most top of them. */
void kernel_sites_add(const struct kernel_sites *sites, size_t top, cJSON *list);

#endif
