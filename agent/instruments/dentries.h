/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instrument `dentries`: which directories and filesystems hold this host's dentries (cached names, those of files that do not
 * exist too) and inodes. A BPF program finds the slabs of these among all pages, in calls of well under 1 ms, and reads each
 * object; user space adds up by directory and resolves only the names that it reports.
 *
 * Plain facts of the kernel: no pods, no mount prefixes, no judgement. Sizes are bytes.
 *
 * What is exact: without a sample every object is read once; objects that come or go meanwhile may be missing or counted once
 * more. What is not: names longer than a dentry has room for are in allocations of their own, whose size is estimated.
 */
#ifndef MEMDIAG_INSTRUMENTS_DENTRIES_H
#define MEMDIAG_INSTRUMENTS_DENTRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"

/* Estimates when a sample was taken; each error is what 95 of 100 samples stay below, in both directions; 0 without a sample. */
struct dentries_amount {
	uint64_t entries, entries_error;
	uint64_t negative; /* of entries: names of files that do not exist */
	uint64_t
		bytes; /* of the objects, with their share of what a slab cannot use, and long names */
};

struct dentries_directory {
	uint32_t dev_major, dev_minor; /* of the superblock */
	char fstype[32];
	/* From the superblock's root, as bytes, beginning with '/'. Owned by the snapshot. */
	char *path;
	bool path_truncated; /* deeper than the instrument follows */
	bool kernel_mount;   /* on the kernel's own mount: no path leads there */
	struct dentries_amount dentries;
	/* Index into snapshot->groups of the one that more than half of them are charged to for sure; SIZE_MAX: none is. */
	size_t group;
};

/* A memory cgroup, and what is charged to it: by who needed the name first, not by who uses it. */
struct dentries_group {
	uint64_t id; /* kernfs id, as in struct pages_memcg; 0: charged to none */
	char *path;  /* below the cgroup mount; owned by the snapshot */
	bool dying;  /* removed; its objects belong to its parent, this is rare */
	struct dentries_amount dentries, inodes;
};

/* A superblock. */
struct dentries_filesystem {
	uint32_t dev_major, dev_minor;
	char fstype[32];
	char sb_id[32];
	bool kernel_mount;
	struct dentries_amount dentries; /* those without a directory (pipes, sockets) too */
	struct dentries_amount inodes;
};

struct dentries_snapshot {
	const char *method; /* "bpf-slab-walk" */
	struct dentries_amount dentries, inodes;
	/* The kernel's own counts right after: nr_dentry, nr_negative, nr_inodes. */
	uint64_t kernel_dentries, kernel_negative, kernel_inodes;
	uint64_t kernel_unused; /* dentries that nobody uses: what can be dropped */
	uint64_t dentry_size;	/* bytes of one, as its slab has them */

	struct dentries_directory *directories; /* the `top` with most entries, most first */
	size_t n_directories;
	uint64_t directories_seen; /* distinct ones */
	uint64_t
		directories_gone; /* of the largest, those gone before they were asked for their name */
	uint64_t
		pruned_entries; /* dentries of small directories, forgotten at DENTRIES_MAX_DIRECTORIES */
	struct dentries_filesystem *filesystems; /* descending by bytes; all of them */
	size_t n_filesystems;

	struct dentries_group *groups; /* descending by bytes; all of them */
	size_t n_groups;
	uint64_t
		groups_unresolved; /* obj_cgroups that were freed meanwhile, or beyond the ceiling: in group 0 */

	/* How it went. */
	uint32_t sample_every; /* 1: everything; n: every n-th slab or block */
	bool sample_blocks;    /* of PAGES_CHUNK page frames instead of slabs */
	unsigned int
		coverage_permille; /* < 1000: the CPU budget ran out; all amounts are of that part */
	uint64_t pfns;		   /* page frames looked at */
	uint64_t slabs, slabs_sampled;
	uint64_t objects;	 /* that were counted */
	uint64_t unused_objects; /* in the slabs, but free */
	uint64_t refused;	 /* looked like neither, or their superblock did */
	uint64_t
		supers_beyond; /* filesystems beyond the ceiling: their objects are in the totals alone */
	uint64_t caches_unknown;      /* caches of inodes that were not looked into */
	uint64_t walk_cpu_ns;	      /* of the walk alone, without loading the program */
	uint64_t duration_ns, cpu_ns; /* whole instrument, cpu of this thread */
	uint64_t bpf_calls, bpf_max_call_ns;
};

struct dentries_opts {
	size_t top; /* directories to resolve, 1..DENTRIES_MAX_TOP */
	/*
	 * Of the walk; loading the program comes on top. 0: none. The sample is chosen so that the walk stays below it, by what a
	 * page frame and an object cost at worst; where it runs out all the same, the walk ends.
	 */
	uint64_t cpu_budget_ns;
	/* Fixes the sample: a power of two up to DENTRIES_MAX_EVERY; 0: chosen by the budget. */
	uint32_t sample_every;
	bool sample_blocks;
};

#define DENTRIES_MAX_TOP   1024u
#define DENTRIES_MAX_EVERY 64u
/* Ceiling of directories held during a walk, at about 120 bytes each. */
#define DENTRIES_MAX_DIRECTORIES ((size_t)1 << 18)
/* Ceiling of memory cgroups. */
#define DENTRIES_MAX_GROUPS ((size_t)1 << 16)
/* Ceiling of superblocks. */
#define DENTRIES_MAX_SUPERS ((size_t)1 << 16)

/*
 * Walks and resolves. proc is the host's /proc. Needs what pages_probe() tells; the kernel must have SLUB. Nothing stays
 * loaded. Errors: the load's own, -EOPNOTSUPP when the kernel has another allocator, -EIO when its structures do not
 * validate, -EINVAL when opts are out of range.
 */
int dentries_read(const struct root *proc, const struct dentries_opts *opts,
		  struct dentries_snapshot **ret, struct err *err);
void dentries_snapshot_free(struct dentries_snapshot *snapshot);

#endif
