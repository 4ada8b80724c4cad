/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to `dentries`: the rooms behind dentries.h.
 *
 *	dentries.c         order of events, the walk and the snapshot's life
 *	dentries_kernel.c  loads the BPF object; the direct map, and which caches have dentries and inodes
 *	dentries_table.c   counts, by directory, and their error
 *	dentries_groups.c  memory cgroups, as they turn up
 *	dentries_result.c  what was counted becomes the snapshot, with names
 */
#ifndef MEMDIAG_INSTRUMENTS_DENTRIES_INTERNAL_H
#define MEMDIAG_INSTRUMENTS_DENTRIES_INTERNAL_H

#include "../bpf/dentries.h"
#include "../bpf/pages.h"

#include "instruments/bpf_run.h"
#include "instruments/dentries.h"
#include "instruments/dentries_table.h"
#include "instruments/pages_internal.h"
#include "instruments/vmemmap.h"

struct dentries_bpf; /* the skeleton */

struct dentries_super_rec {
	struct pages_super_rec info;
	bool valid;
	uint32_t inode_slot; /* cache of its inodes */
	struct dentries_count dentries, inodes;
};

/* A memory cgroup that is charged. */
struct dentries_group_rec {
	uint64_t id;
	char *path;
	bool dying;
	/* names of inodes: bytes of their objects, which differ by filesystem. */
	struct dentries_count dentries, inodes;
};

struct dentries_work {
	const struct dentries_opts *opts;
	struct dentries_bpf *skel;
	struct bpf_calls calls;
	struct pages_range *ranges;
	size_t n_ranges;
	uint64_t frames;
	uint64_t walk_begin_ns; /* CPU time */
	uint64_t page_size;
	uint32_t every;
	bool blocks;

	/* By slot: bytes of one object with its share of what the slab cannot use. */
	uint64_t object_bytes[DENTRIES_CACHES];

	struct dentries_super_rec *supers; /* [0]: those beyond the ceiling */
	size_t n_supers, cap_supers;
	struct pages_index super_of;
	uint64_t last_super;
	uint32_t last_super_index;

	struct dentries_group_rec *groups; /* [0]: charged to none */
	size_t n_groups, cap_groups;
	struct pages_index group_of; /* obj_cgroups, and the memcgs themselves */
	uint64_t last_charged;
	uint32_t last_group;

	struct dentries_dirs dirs;
	struct dentries_count dentries, inodes;
};

/* --- dentries_kernel.c ------------------------------------------------------------------------------------------------ */

int dentries_load(struct dentries_work *w, struct err *err);
/* Finds where struct page and the direct map begin and which caches to look into, and tells the programs. */
int dentries_prepare(struct dentries_work *w, const struct root *proc, struct dentries_snapshot *s,
		     struct err *err);

/* --- dentries_groups.c ------------------------------------------------------------------------------------------------ */

void dentries_groups_init(struct dentries_work *w);
void dentries_groups_done(struct dentries_work *w);
/* Index of the memory cgroup that an object is charged to. Asks the kernel the first time. */
uint32_t dentries_group_index(struct dentries_work *w, struct dentries_snapshot *s,
			      uint64_t charged);

/* --- dentries_result.c ------------------------------------------------------------------------------------------------ */

/* Asks the kernel for names of the largest directories. */
int dentries_result(struct dentries_work *w, struct dentries_snapshot *s, struct err *err);

#endif
