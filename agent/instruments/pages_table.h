/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to `pages`: what a scan counts, by file and memory cgroup.
 *
 * Nearly all files are charged to one memory cgroup only. So the main table has one 32-byte entry a file (keyed by the
 * address of its mapping) with the first cgroup in it, and only further cgroups of a file go to a second table.
 */
#ifndef MEMDIAG_INSTRUMENTS_PAGES_TABLE_H
#define MEMDIAG_INSTRUMENTS_PAGES_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Flags of an entry; set after the scan. */
enum {
	PAGES_ENTRY_VALID = 1,	/* a file's mapping, and counted */
	PAGES_ENTRY_DENTRY = 2, /* its inode has a name */
	PAGES_ENTRY_SHMEM = 4,
	PAGES_ENTRY_BDEV = 8,
	PAGES_ENTRY_SELECTED = 16, /* will be resolved */
	PAGES_ENTRY_SHARED = 32,   /* has charges in the second table */
};

struct pages_entry {
	uint64_t mapping; /* 0: free */
	uint32_t pages;	  /* over all cgroups */
	uint32_t dirty;
	uint32_t first_pages; /* of these, charged to `first` */
	uint32_t first_dirty;
	uint32_t first; /* index of a memory cgroup */
	uint16_t sb;	/* index of a superblock */
	uint16_t flags;
};
_Static_assert(sizeof(struct pages_entry) == 32, "a million of them fill 64 MiB at the most");

struct pages_share {
	uint64_t mapping; /* 0: free */
	uint32_t memcg;
	uint32_t pages;
	uint32_t dirty;
	uint32_t unused;
};

/* Zeroed is empty. Slots move when the table grows: indices hold only while nothing is added. */
struct pages_table {
	struct pages_entry *entries;
	size_t n_slots; /* a power of two, or 0 */
	size_t n_entries;
	struct pages_share *shares;
	size_t n_share_slots;
	size_t n_shares;
	size_t max; /* ceiling of n_entries, and of n_shares */
};

void pages_table_init(struct pages_table *t, size_t max);
void pages_table_done(struct pages_table *t);
/* Counts pages. false: the ceiling is reached and they were not counted. */
bool pages_table_add(struct pages_table *t, uint64_t mapping, uint32_t memcg, uint32_t pages,
		     uint32_t dirty);
/* The mapping's entry, or NULL. */
struct pages_entry *pages_table_find(const struct pages_table *t, uint64_t mapping);
/* Hints that the mapping will be added soon. */
void pages_table_prefetch(const struct pages_table *t, uint64_t mapping);

/* Small numbers for addresses: memory cgroups, superblocks, directories. Zeroed is empty. */
struct pages_index {
	uint64_t *keys; /* 0: free */
	uint32_t *values;
	size_t n_slots;
	size_t n_keys;
};

/* Where the key's value is, or NULL. */
uint32_t *pages_index_find(const struct pages_index *x, uint64_t key);
/* The key (never 0) must not be there yet. */
void pages_index_add(struct pages_index *x, uint64_t key, uint32_t value);
void pages_index_done(struct pages_index *x);

#endif
