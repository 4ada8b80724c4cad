/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dying memory cgroups by what made them: a CronJob leaves thousands, and nobody wants to read them one by one. Those of one
 * controller (as the former pods' names tell) are a group; those that are no pod's, or whose pod has no name any more, are
 * grouped by the cgroup above them.
 */
#ifndef MEMDIAG_CHECKS_LEAK_GROUPS_H
#define MEMDIAG_CHECKS_LEAK_GROUPS_H

#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "identity/owner.h"
#include "instruments/memcgs.h"
#include "instruments/pages.h"

enum {
	LEAK_GROUPS_MAX = 4096, /* what is beyond counts into the last, whose place is "/" */
	LEAK_MAX_FILES = 8,	/* of one group, as the CRD has it */
};

struct leak_file {
	const struct pages_file *file; /* borrowed from the page scan */
	uint64_t bytes;		       /* charged to the group's cgroups */
};

/*
 * A block device's own cache: blocks of its filesystem's inodes, directories and bitmaps, charged to whoever was first to need
 * one. Containers that make files leave some KiB each, which no file's removal frees.
 */
struct leak_device {
	const struct pages_file *file; /* borrowed; NULL: none */
	uint64_t bytes;		       /* charged to the group's cgroups */
	uint64_t only;		       /* cgroups that have no other page */
};

/* What the cgroup above them, if it still lives and is not the root, can be told to give up. */
enum leak_reclaim {
	LEAK_RECLAIM_NONE,
	LEAK_RECLAIM_AMOUNT, /* memory.reclaim: cgroup v2 since 5.19 */
	LEAK_RECLAIM_ALL,    /* memory.force_empty: cgroup v1 */
};

struct leak_group {
	struct owner
		owner; /* of its largest: former pod and container, path; controller when it is a pod's */
	const char *kind; /* of the controller; "" when the name does not tell */
	char *place;	  /* the cgroup above them; of pods the one above the pods' own */
	uint64_t dying;
	uint64_t pinned_bytes; /* on LRU lists: file, anon and unevictable */
	uint64_t file_bytes, anon_bytes, swap_bytes, socket_bytes;
	uint64_t kernel_bytes, slab_bytes; /* that they had when they were removed */
	uint64_t shmem_bytes;		   /* by the page scan; 0 without */
	uint64_t dirty_bytes;		   /* by the page scan, of files */
	uint64_t other_refs;
	struct leak_file files[LEAK_MAX_FILES]; /* descending */
	size_t n_files;
	uint64_t more_files;	   /* beyond LEAK_MAX_FILES */
	struct leak_device device; /* the one with most bytes */
	char *device_name;	   /* below /dev, such as "sda1"; NULL: unknown. Owned. */
	enum leak_reclaim reclaim;
	uint64_t
		named_bytes; /* of all files that the page scan kept, more than LEAK_MAX_FILES too */
};

struct leak_groups {
	struct leak_group *items;
	size_t n;
	uint64_t merged; /* dying cgroups in the last group, because there were too many groups */
	struct map index;
};

void leak_groups_init(struct leak_groups *groups);
void leak_groups_done(struct leak_groups *groups);

/* Counts a dying cgroup in. Entries come in the snapshot's order, largest first. Returns its group's index. */
size_t leak_groups_add(struct leak_groups *groups, const struct memcgs_entry *entry,
		       const struct owner *owner);

/*
 * Finds the files that pin them, instead of what an earlier call found. group_of[i]: group of snapshot->entries[i], or SIZE_MAX. Files stay borrowed from pages.
 */
void leak_groups_files(struct leak_groups *groups, const struct memcgs_snapshot *snapshot,
		       const size_t *group_of, const struct pages_snapshot *pages);

/* Most cgroups first. Indexes that were returned before are void afterwards. */
void leak_groups_sort(struct leak_groups *groups);

#endif
