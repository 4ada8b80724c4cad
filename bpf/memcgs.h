/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the program in memcgs.bpf.c and the instrument `memcgs` say to each other. All of it lives in the object's .bss,
 * which user space maps: it sets the limits, runs the program with BPF_PROG_TEST_RUN, and reads the log in place.
 */
#ifndef MEMDIAG_BPF_MEMCGS_H
#define MEMDIAG_BPF_MEMCGS_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define MEMCGS_LOG   512 /* records of one call; a power of two */
#define MEMCGS_DEPTH 64	 /* levels followed downwards; a power of two */
#define MEMCGS_NODES 64	 /* NUMA nodes that are added up */
#define MEMCGS_NAME  256 /* a directory's name with its NUL: NAME_MAX is 255 */
#define MEMCGS_LRUS  5	 /* inactive and active anon, inactive and active file, unevictable */
#define MEMCGS_ZONES 6	 /* an architecture's most zones of memory */
#define MEMCGS_GENS  4	 /* MAX_NR_GENS of the multi-generational LRU */

#define MEMCGS_DYING 1u /* its directory is removed */

/* One memory cgroup. They come in pre-order: the parent is the last one before it with depth - 1. */
struct memcgs_record {
	__u64 id;		       /* of the cgroup's kernfs node */
	__u64 refs;		       /* dying only: references to it, its own gone */
	__u64 anon, file, unevictable; /* pages on its LRU lists */
	__u64 usage,
		swap; /* page counters, what is below it included; swap: v1's is memory + swap */
	/*
	 * Dying only: kernel and socket pages (v1: page counters; v2: memory.stat's counters, as they were last flushed), and bytes of slab. Each
	 * is what it had when it was removed, less what went until then.
	 */
	__u64 kernel, sockets, slab;
	__u32 flags; /* MEMCGS_* */
	__u32 depth; /* 0: the root */
	char name[MEMCGS_NAME];
};
_Static_assert(sizeof(struct memcgs_record) == 88 + MEMCGS_NAME, "shared with user space");

/* A css and what tells it from another one that got its memory. */
struct memcgs_at {
	__u64 css, serial;
};

struct memcgs_walk {
	__u32 steps;	   /* in: memory cgroups one call looks at, at most MEMCGS_LOG */
	__u32 nodes;	   /* in: NUMA nodes, at most MEMCGS_NODES */
	__u32 begun, done; /* done 2: the root is not what it was */
	__u32 n;	   /* records in the log; user space sets it back to 0 */
	__u32 depth;	   /* of where it is */
	__u32 skip_depth; /* 0: none; else children at that depth up to this serial number were seen */
	__u32 v1;	  /* in: the memory controller's hierarchy is v1's */
	__u64 skip_serial;
	__u64 memory;  /* the memory controller */
	__u64 resumed; /* times that it had to find its way back, because where it was is gone */
	__u64 too_deep; /* memory cgroups whose children are below MEMCGS_DEPTH and were not looked at */
	struct memcgs_at path[MEMCGS_DEPTH]; /* from the root to where it is, by depth */
};
_Static_assert(sizeof(struct memcgs_walk) == 64 + 16 * MEMCGS_DEPTH, "shared with user space");

#endif
