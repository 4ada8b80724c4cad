/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the programs in alloc_trace.bpf.c and the instrument `alloc_trace` say to each other. */
#ifndef MEMDIAG_BPF_ALLOC_TRACE_H
#define MEMDIAG_BPF_ALLOC_TRACE_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "page_class.h"

/* Blocks of that order and above are all watched, of smaller ones one for each so many pages, on average. */
#define ALLOC_TRACE_ALL_ORDER 4
#define ALLOC_TRACE_RATIO     32
#define ALLOC_TRACE_LIVE      65536 /* allocations held: 8 GiB of single pages, 5 MiB of kernel memory */
#define ALLOC_TRACE_SEEN      (1 << ALLOC_TRACE_SEEN_BITS)
#define ALLOC_TRACE_SEEN_BITS 18 /* a byte each */
#define ALLOC_TRACE_STACKS    4096
#define ALLOC_TRACE_DEPTH     24 /* frames of a stack */
#define ALLOC_TRACE_LOOK      64 /* pages classified in one call; a power of two */

/* One allocation, by the address of its first struct page. */
struct alloc_trace_live {
	__u64 stack; /* key of its stack; 0: no room for it */
	__u32 gfp;
	__u32 order;
};
_Static_assert(sizeof(struct alloc_trace_live) == 16, "shared with user space");

/* A stack, by the hash of its frames, with the first thread that came along. */
struct alloc_trace_stack {
	__u32 n;
	__u32 pid; /* thread group */
	char comm[16];
	__u64 frames[ALLOC_TRACE_DEPTH];
};
_Static_assert(sizeof(struct alloc_trace_stack) == 24 + 8 * ALLOC_TRACE_DEPTH,
	       "shared with user space");

/* Of one CPU. */
struct alloc_trace_counters {
	__u64 allocations; /* unmovable, of any page */
	__u64 sampled;
	__u64 live_dropped, stacks_dropped;
	__s64 left; /* pages until the next one is watched */
};
_Static_assert(sizeof(struct alloc_trace_counters) == 40, "shared with user space");

/* What became of a page. */
struct alloc_trace_look {
	__u64 page;	 /* in: address of a struct page */
	__u32 class;	 /* enum page_class */
	__u32 accounted; /* charged to a memory cgroup */
};
_Static_assert(sizeof(struct alloc_trace_look) == 16, "shared with user space");

#endif
