/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to `dentries`: what a walk counts, by directory, and what a sample of it says about the whole.
 */
#ifndef MEMDIAG_INSTRUMENTS_DENTRIES_TABLE_H
#define MEMDIAG_INSTRUMENTS_DENTRIES_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "instruments/pages_table.h"

/*
 * Objects that were seen. What is sampled are units (slabs, or blocks of page frames), which are in the sample or not as a
 * whole; objects of one directory often share one. So the error follows from the squares of what each unit has.
 */
struct dentries_count {
	uint64_t n, negative;
	uint64_t names; /* bytes of long names */
	uint64_t unit;	/* the one counted last, plus 1 */
	uint64_t unit_n;
	double squares; /* over all units but the last */
};

/* Units come in ascending order. */
void dentries_count_add(struct dentries_count *c, uint64_t unit, uint32_t n, uint32_t negative,
			uint32_t names);
/* n times scale, and how far the truth may be from that: 1.96 standard deviations, 0 for scale 1. */
uint64_t dentries_scaled(uint64_t n, double scale);
uint64_t dentries_error(const struct dentries_count *c, double scale);

struct dentries_dir {
	uint64_t dentry;
	uint32_t sb;
	/* Who has the majority, if anybody has (Boyer and Moore), and by how many at least. */
	uint32_t group;
	uint64_t votes;
	struct dentries_count count;
};

/* Zeroed, but for max, is empty. */
struct dentries_dirs {
	struct dentries_dir *v;
	size_t n, cap, max;
	struct pages_index of; /* dentry -> place in v */
	uint64_t added;	       /* directories, those that were forgotten and came again too */
	uint64_t pruned_entries;
};

/* At the ceiling the smallest directories are forgotten, at least half of all. */
void dentries_dirs_add(struct dentries_dirs *d, uint64_t dentry, uint32_t sb, uint32_t group,
		       uint64_t unit, uint32_t n, uint32_t negative, uint32_t names);
/* The group that more than half of its entries are of for sure; UINT32_MAX: none is. */
uint32_t dentries_dir_group(const struct dentries_dir *dir);
/* Most entries first. The index is gone afterwards: nothing can be added. */
void dentries_dirs_sort(struct dentries_dirs *d);
void dentries_dirs_done(struct dentries_dirs *d);

#endif
