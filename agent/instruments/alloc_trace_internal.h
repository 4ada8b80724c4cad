/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to `alloc_trace`: from what the kernel kept to rows.
 *
 *	alloc_trace.c       loads, attaches, reads the maps
 *	alloc_trace_rows.c  what the allocations are, and their sums
 */
#ifndef MEMDIAG_INSTRUMENTS_ALLOC_TRACE_INTERNAL_H
#define MEMDIAG_INSTRUMENTS_ALLOC_TRACE_INTERNAL_H

#include "../bpf/alloc_trace.h"

#include "instruments/alloc_trace.h"
#include "instruments/ksyms.h"

/* An allocation that was not freed in the window. */
struct alloc_trace_record {
	uint64_t page;	/* address of its struct page */
	uint64_t stack; /* key in the table of stacks; 0: none */
	uint32_t gfp;
	uint32_t order;
	uint32_t class; /* enum page_class, PAGE_CLASSES: could not be read */
	uint32_t kind;	/* filled by alloc_trace_sum(); UINT32_MAX: it is free by now */
	uint32_t accounted;
	uint32_t pad;
};

struct alloc_trace_stacks {
	uint64_t *keys;
	struct alloc_trace_stack *values;
	size_t n;
};

/*
 * Fills rows, bytes, gone and rows_dropped of s. Reorders the records. k may be NULL: then frames are addresses, and memory that
 * only its stack can tell (vmalloc, per-CPU data) is ALLOC_TRACE_OTHER.
 */
void alloc_trace_sum(struct alloc_trace_record *records, size_t n,
		     const struct alloc_trace_stacks *stacks, const struct ksyms *k,
		     size_t max_rows, uint64_t page_size, struct alloc_trace_snapshot *s);

#endif
