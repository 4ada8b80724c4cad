/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the programs in dentries.bpf.c and the instrument `dentries` say to each other. All of it lives in the object's .bss,
 * which user space maps: it fills in a request, runs a program with BPF_PROG_TEST_RUN, and reads the answer in place.
 */
#ifndef MEMDIAG_BPF_DENTRIES_H
#define MEMDIAG_BPF_DENTRIES_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define DENTRIES_CALL_CHUNKS 64	  /* chunks of struct page in one call; see pages.h */
#define DENTRIES_SLAB_MAX    256  /* objects of one slab: 32 KiB of dentries are 170 */
#define DENTRIES_RUNS	     8192 /* log records between two drains; a power of two */
#define DENTRIES_CHUNK_RUNS  2048 /* records one chunk may make: 64 pages of 21 dentries are 1344 */
#define DENTRIES_CACHES	     64	  /* slots of the table of caches; a power of two */
#define DENTRIES_PROBES	     4	  /* slots a cache may be away from its own */
#define DENTRIES_SUPERS	     1024 /* superblocks listed; a power of two */
#define DENTRIES_VOTES	     32	  /* a power of two */

/* Slot of a cache, before probing. */
#define DENTRIES_SLOT(address) ((__u64)(address)*0x9e3779b97f4a7c15ULL >> 58)

enum dentries_kind {
	DENTRIES_NONE,
	DENTRIES_DENTRY,
	DENTRIES_INODE,
};

/* A slab cache whose objects are looked at. */
struct dentries_cache {
	__u64 address; /* of the kmem_cache; 0: the slot is free */
	__u32 size;    /* bytes from one object to the next */
	__u32 first;   /* bytes before the first object (SLUB's red zone) */
	__u32 inode;   /* where in the object the inode is */
	__u32 kind;
	__u64 seen, sampled; /* out: slabs; of these, looked into */
};
_Static_assert(sizeof(struct dentries_cache) == 40, "shared with user space");

struct dentries_scan {
	__u64 vmemmap; /* address of page frame 0's struct page */
	__u64 direct;  /* address of page frame 0 in the direct map */
	__u64 next;    /* first frame not looked at yet; a multiple of PAGES_CHUNK */
	__u64 end;
	__u64 skipped;	   /* chunks that could not be read */
	__u64 unused;	   /* objects that are not in use */
	__u64 refused;	   /* objects that look like no dentry or inode, or could not be read */
	__u64 too_many;	   /* objects beyond DENTRIES_SLAB_MAX of a slab */
	__u32 page_shift;  /* in */
	__u32 chunks;	   /* in: how many chunks one call reads at most */
	__u32 objects_max; /* in: after that many objects a call ends with the chunk */
	/* In: only those are looked into whose hash has none of these bits. 0: all. */
	__u32 chunk_mask, slab_mask;
	__u32 n_runs;
	__u32 objects; /* of this call */
	/* The slab that is looked into. */
	__u32 slot;
	__u64 pfn;
	__u64 base;
	__u64 charges; /* where it is told what its objects are charged to */
	__u64 stride;
	__u64 last; /* the cache looked up last */
};
_Static_assert(sizeof(struct dentries_scan) == 136, "shared with user space");

/* Objects that follow each other in one slab and belong together. */
struct dentries_run {
	__u64 pfn; /* of the slab */
	__u64 sb;
	__u64 charged; /* an obj_cgroup; 0: none */
	__u64 parent; /* the directory's dentry; 0: it has none (roots, pipes, sockets), or inodes */
	__u32 slot;   /* of the cache */
	__u32 n;      /* objects */
	__u32 negative; /* dentries: of names that do not exist */
	__u32 names;	/* bytes of names that are too long for the dentry itself */
};
_Static_assert(sizeof(struct dentries_run) == 48, "shared with user space");

/* A slab that has a free object, and where that is. */
struct dentries_vote {
	__u64 pfn;
	__u64 freelist;
	__u64 pages;
};
_Static_assert(sizeof(struct dentries_vote) == 24, "shared with user space");

struct dentries_votes {
	__u32 n;
	__u32 pad;
	struct dentries_vote items[DENTRIES_VOTES];
};
_Static_assert(sizeof(struct dentries_votes) == 8 + 24 * DENTRIES_VOTES, "shared with user space");

struct dentries_super {
	__u64 type; /* address of its file_system_type */
	__u64 root_inode;
	__u64 newest_inode; /* debugfs makes its root before it says how inodes are made */
};
_Static_assert(sizeof(struct dentries_super) == 24, "shared with user space");

struct dentries_supers {
	__u64 root; /* dentry of the calling process's root */
	__u32 n;
	__u32 beyond; /* there are more than DENTRIES_SUPERS */
	struct dentries_super items[DENTRIES_SUPERS];
};
_Static_assert(sizeof(struct dentries_supers) == 16 + 24 * DENTRIES_SUPERS,
	       "shared with user space");

/* The cache of an object. */
struct dentries_lookup {
	__u64 address; /* in: of something inside an object */
	__u64 cache;   /* 0: it is in no slab */
	__u32 size, first;
	__u32 offset; /* of address in its object */
	__u32 pages;  /* of its slab */
	char name[32];
};
_Static_assert(sizeof(struct dentries_lookup) == 64, "shared with user space");

#endif
