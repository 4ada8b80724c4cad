/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the programs in pages.bpf.c and the instrument `pages` say to each other. All of it lives in the object's .bss,
 * which user space maps: it fills in a request, runs a program with BPF_PROG_TEST_RUN, and reads the answer in place.
 */
#ifndef MEMDIAG_BPF_PAGES_H
#define MEMDIAG_BPF_PAGES_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#define PAGES_CHUNK	 64 /* struct pages read at once; a power of two */
#define PAGES_CHUNKS_MAX 64 /* chunks in one call: 4096 pages of 98 ns when cold are 0.4 ms */
/*
 * Pages in a memory section, at the least: an unreadable chunk is a hole of a multiple of that. x86, and arm64 with pages of
 * 4 KiB, have 32768 (128 MiB); arm64 has 8192 with pages of 16 KiB and of 64 KiB (128 and 512 MiB).
 */
#define PAGES_SECTION  8192
#define PAGES_RUNS     16384 /* run-length records between two drains; a power of two */
#define PAGES_BATCH    64    /* mappings in one call; a power of two */
#define PAGES_NAME     256   /* one path component with its NUL: NAME_MAX is 255 */
#define PAGES_DEPTH    64    /* components followed upwards; a power of two */
#define PAGES_FREE_MAX 16    /* free pages reported by pages_zones */
#define PAGES_STEPS    64    /* sections looked at in one call of pages_edge */
#define PAGES_WANTED   4096  /* memory cgroups a scan can be limited to; a power of two */

/* Memory cgroups whose verdict is remembered, 8 bytes each: 2^(64 - shift). */
#define PAGES_VERDICTS_SHIFT 52
#define PAGES_VERDICTS	     (1 << (64 - PAGES_VERDICTS_SHIFT))
/* After that many questions a call ends with the chunk: 256 to 319 of 0.4 us are 0.1 ms. */
#define PAGES_ASKED_MAX 256

/* Pages that follow each other in physical memory and belong to one file and one memory cgroup. */
struct pages_run {
	__u64 mapping;
	__u64 memcg; /* as in the page: a mem_cgroup or an obj_cgroup */
	__u32 pages;
	__u32 dirty;
};
_Static_assert(sizeof(struct pages_run) == 24, "shared with user space");

struct pages_scan {
	__u64 vmemmap; /* address of page frame 0's struct page */
	__u64 next;    /* first frame not looked at yet; a multiple of PAGES_CHUNK */
	__u64 end;
	__u64 skipped; /* chunks that could not be read */
	__u32 chunks;  /* how many chunks one call reads at most */
	__u32 n_runs;
};
_Static_assert(sizeof(struct pages_scan) == 40, "shared with user space");

/* Limits pages_scan to some memory cgroups, when the object was loaded with filter_on. */
struct pages_filter {
	__u64 ids[PAGES_WANTED]; /* in: kernfs ids, ascending; all ones behind the last */
	__u32 none_wanted;	 /* in: pages charged to none are wanted */
	/* The page looked at last: what it points to, and whether that is wanted. In: 0, none_wanted. */
	__u32 last_wanted;
	__u64 last;
	__u32 asked;			/* questions in this call that no verdict answered */
	__u32 at;			/* of the search */
	__u64 id;			/* of the search */
	__u64 known;			/* questions, over all calls, that led to a memory cgroup */
	__u64 memory;			/* the memory controller */
	__u64 verdicts[PAGES_VERDICTS]; /* what a page pointed to; bit 0: wanted */
};
_Static_assert(sizeof(struct pages_filter) == 48 + 8 * (PAGES_WANTED + PAGES_VERDICTS),
	       "shared with user space");

#define PAGES_CHECK_VALID  1u /* the mapping is its host's i_data */
#define PAGES_CHECK_DENTRY 2u /* the inode has a dentry */
#define PAGES_CHECK_ROOT   4u /* that dentry has no parent (memfd, SysV shared memory) */

struct pages_check {
	__u64 mapping; /* in */
	__u64 sb;
	__u64 parent; /* filled by pages_parent only: the dentry of the directory */
	__u32 flags;
	__u32 pad;
};
_Static_assert(sizeof(struct pages_check) == 32, "shared with user space");

/* Names from something up to its root. names[n] is the root's own name when the root was reached. */
struct pages_chain {
	__u64 cur;   /* in: where to begin; out: where it ended */
	__u64 first; /* the parent of where it began; itself at a root */
	__u32 n;     /* components below the root */
	__u32 done;  /* the root was reached */
	char names[PAGES_DEPTH][PAGES_NAME];
};
_Static_assert(sizeof(struct pages_chain) == 24 + PAGES_DEPTH * PAGES_NAME,
	       "shared with user space");

struct pages_inode {
	__u64 mapping; /* in */
	__u64 inode;
	__u64 sb;
	__u64 ino;
	__u64 size;
	__u64 dentry; /* 0: none */
	__u32 generation;
	__u32 nlink;
	__u32 rdev;
	__u32 valid; /* host and i_data agreed before and after everything was read */
};
_Static_assert(sizeof(struct pages_inode) == 64, "shared with user space");

struct pages_super {
	__u64 address; /* in */
	__u64 magic;
	__u64 flags;
	__u64 root; /* dentry */
	__u32 dev;
	__u32 valid; /* its root is of this superblock */
	char type[32];
	char id[32];
};
_Static_assert(sizeof(struct pages_super) == 104, "shared with user space");

struct pages_group {
	__u64 address; /* in: as in the page */
	__u64 memcg;   /* the mem_cgroup itself; 0: neither a memcg nor an objcg */
	__u64 id;      /* of the cgroup's kernfs node */
	__u32 online;
	__u32 objcg; /* address was an obj_cgroup */
};
_Static_assert(sizeof(struct pages_group) == 32, "shared with user space");

struct pages_free {
	__u64 page;		  /* address of a struct page that was on a free list */
	__u64 start_pfn, end_pfn; /* of its zone */
	__u64 absent;		  /* frames of the zone that are not memory */
};
_Static_assert(sizeof(struct pages_free) == 32, "shared with user space");

struct pages_anchor {
	__u32 fd;	   /* in: of this process; a file with exactly one page */
	__u32 struct_page; /* sizeof(struct page) */
	__u64 page;	   /* address of that one page's struct page */
	__u32 n_free;
	__u32 pad;
	struct pages_free free[PAGES_FREE_MAX];
	__u64 edge;    /* in, out: begin of struct pages that are there; a multiple of section */
	__u32 section; /* in: bytes of struct pages that are there together or not at all */
	__u32 at_edge; /* nothing can be read below */
};
_Static_assert(sizeof(struct pages_anchor) == 40 + 32 * PAGES_FREE_MAX, "shared with user space");

#endif
