/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instrument `alloc_trace`: which code of the kernel took pages within a window and kept them. It watches allocations that are
 * neither movable (processes, page cache) nor reclaimable (caches of slab): blocks of 16 pages and more all, of smaller ones one
 * for every 32 pages, which stands for them; and all frees. What is still there at the end is looked at once more (is it slab by
 * now? a page table?) and added up by the stack that allocated it. Of 64 MiB in single pages the sum is within 4 %.
 *
 * What it can't see: pages that the allocator hands out in bulk, without a trace event (vmalloc; receive buffers of page_pool,
 * which kernel_pages counts), and what was allocated before the window.
 *
 * An event costs about 50 ns, 100 where the kernel allocates for itself all the time (tests/integration/test_alloc_trace.c prints
 * it, with what reading the clock adds). Attached only between start and stop. Every ceiling counts what is beyond it. Sizes are
 * bytes, scaled by the ratio.
 */
#ifndef MEMDIAG_INSTRUMENTS_ALLOC_TRACE_H
#define MEMDIAG_INSTRUMENTS_ALLOC_TRACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"

#define ALLOC_TRACE_FRAMES_MAX 24 /* of a stack */

/* What the pages of a row are at the end of the window. */
enum alloc_trace_kind {
	ALLOC_TRACE_OTHER,   /* drivers, rings, pipes, leaks: in no line of meminfo */
	ALLOC_TRACE_SLAB,    /* kmalloc() of any size, too */
	ALLOC_TRACE_TABLE,   /* page tables */
	ALLOC_TRACE_VMALLOC, /* told by the stack; kernel stacks are of it */
	ALLOC_TRACE_PERCPU,  /* told by the stack */
	ALLOC_TRACE_USER,    /* mapped by a process, in the page cache, compressed */
	ALLOC_TRACE_BALLOON, /* given back to the hypervisor */
	ALLOC_TRACE_N
};

struct alloc_trace_row {
	uint64_t stack_id; /* the same stack has the same within one boot */
	enum alloc_trace_kind kind;
	/*
	 * "packet_set_ring+0x2a1" or "fn+0x10 [module]", the allocator's own functions left out, innermost first. Hexadecimal
	 * where kallsyms is hidden. None: the stack had no room (see stacks_dropped) or could not be walked.
	 */
	char **frames;
	size_t n_frames;
	uint64_t bytes;		  /* still allocated at the end, scaled */
	uint64_t accounted_bytes; /* of these, charged to a memory cgroup */
	uint64_t count;		  /* allocations seen (not scaled) */
	uint32_t
		pid; /* of one allocator: the thread group's leader; 0: the idle task (an interrupt) */
	char comm[16]; /* its name, foreign bytes */
	uint32_t gfp;  /* of one allocation */
};

struct alloc_trace_snapshot {
	uint64_t bytes[ALLOC_TRACE_N]; /* over all rows, also those not kept */
	/* Descending by bytes, at most opts->max_rows of each kind. Owned by the snapshot. */
	struct alloc_trace_row *rows;
	size_t n_rows;
	uint64_t rows_dropped;

	/* How it went. */
	uint64_t window_ns;
	uint64_t allocations;	   /* events: neither movable nor reclaimable */
	uint64_t sampled;	   /* of these, watched */
	uint64_t live_dropped;	   /* watched, but no room for them: in no row */
	uint64_t stacks_dropped;   /* no room for their stack: in the row without frames */
	uint64_t missed;	   /* events on a CPU that was in the middle of another one */
	uint64_t gone_bytes;	   /* in no row: free by now, though their free was not seen */
	char symbols_missing[160]; /* why frames have no names; "": they have */
	uint64_t cpu_ns;	   /* of start and stop, in this thread; not of the events */
};

struct alloc_trace_opts {
	size_t max_rows; /* of each kind; 0: 64 */
};

struct alloc_trace;

/* Loads, attaches, begins. Errors: the load's own, with what is missing (BTF, CAP_PERFMON, a trace event). */
int alloc_trace_start(const struct root *proc, const struct alloc_trace_opts *opts,
		      struct alloc_trace **ret, struct err *err);
/* Ends the window, detaches, adds up. Frees t in any case. */
int alloc_trace_stop(struct alloc_trace *t, struct alloc_trace_snapshot **ret, struct err *err);
/* Detaches and frees without a result; NULL is fine. */
void alloc_trace_cancel(struct alloc_trace *t);

void alloc_trace_snapshot_free(struct alloc_trace_snapshot *snapshot);

#endif
