/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the programs in kernel_pages.bpf.c and the instrument `kernel_pages` say to each other, in the object's .bss, which user
 * space maps. With bpf/pages.h: the programs that find struct page and name memory cgroups are the page scan's.
 */
#ifndef MEMDIAG_BPF_KERNEL_PAGES_H
#define MEMDIAG_BPF_KERNEL_PAGES_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "page_class.h"

#define KERNEL_PAGES_CLASSES	16   /* a power of two */
#define KERNEL_PAGES_CHUNKS_MAX 64   /* chunks in one call */
#define KERNEL_PAGES_RUNS	4096 /* run-length records between two drains; a power of two */
_Static_assert(PAGE_CLASSES <= KERNEL_PAGES_CLASSES, "classes fit");

/* Pages that follow each other in physical memory and belong to one memory cgroup. */
struct kernel_pages_run {
	__u64 memcg;	/* as in the page: a mem_cgroup or an obj_cgroup; 0: charged to none */
	__u32 charged;	/* kernel pages */
	__u32 unmapped; /* anonymous pages that are left of large folios */
};
_Static_assert(sizeof(struct kernel_pages_run) == 16, "shared with user space");

struct kernel_pages_scan {
	__u64 vmemmap; /* in: address of page frame 0's struct page */
	__u64 next;    /* first frame not looked at yet; a multiple of PAGES_CHUNK */
	__u64 end;
	__u64 skipped; /* chunks that could not be read */
	__u32 chunks;  /* in: how many chunks one call reads at most */
	__u32 n_runs;
	__u32 skip;   /* of the chunk: the first page not looked at yet */
	__u32 before; /* class of the page before */
	__u64 torn;   /* pages whose block was not what its first page said: it changed meanwhile */
	__u64 pages[KERNEL_PAGES_CLASSES];
};
_Static_assert(sizeof(struct kernel_pages_scan) == 56 + 8 * KERNEL_PAGES_CLASSES,
	       "shared with user space");

#endif
