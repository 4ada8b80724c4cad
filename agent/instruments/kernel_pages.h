/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instrument `kernel_pages`: what each page frame of this host is, in one pass over struct page: free, a process', slab, page
 * table, …, and what is left: pages that the kernel or a driver took for itself. Those that are accounted to a memory cgroup
 * (pipes, sockets, BPF maps, io_uring, …) are told apart by cgroup.
 *
 * Plain facts of the kernel: no pods, no judgement. Sizes are bytes.
 */
#ifndef MEMDIAG_INSTRUMENTS_KERNEL_PAGES_H
#define MEMDIAG_INSTRUMENTS_KERNEL_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"

/*
 * Every page is of exactly one class. What only a line of meminfo says, and not the page itself: vmalloc memory (kernel stacks are
 * of it) and per-CPU data carry no mark and are among ACCOUNTED, COMPOUND, PLAIN and TAIL. So, up to what changes meanwhile, these
 * four + unmapped_bytes - VmallocUsed - Percpu == the breakdown's residual.
 */
enum kernel_pages_class {
	KERNEL_PAGES_FREE, /* in the buddy allocator, or never touched since boot (MemFree) */
	KERNEL_PAGES_PCP,  /* free, on a list of a CPU (zoneinfo's count) */
	KERNEL_PAGES_ANON, /* anonymous, also what is left of a huge page whose other parts are unmapped */
	KERNEL_PAGES_FILE,	 /* page cache and shared memory */
	KERNEL_PAGES_SLAB,	 /* with KMALLOC: meminfo's Slab */
	KERNEL_PAGES_KMALLOC,	 /* kmalloc() above two pages (since 6.14; before: COMPOUND) */
	KERNEL_PAGES_TABLE,	 /* page tables */
	KERNEL_PAGES_HUGETLB,	 /* the pool of huge pages, used or not */
	KERNEL_PAGES_COMPRESSED, /* zsmalloc: zswap, zram; before 6.11 all movable kernel pages */
	KERNEL_PAGES_OFFLINE, /* logically offline: what a balloon gave back, memory not accepted yet */
	KERNEL_PAGES_RESERVED, /* never managed: kernel image, struct page, firmware; not in MemTotal */
	KERNEL_PAGES_PAGE_POOL, /* receive buffers of network drivers (since 5.14) */
	KERNEL_PAGES_ACCOUNTED, /* other kernel memory, charged to a memory cgroup */
	KERNEL_PAGES_COMPOUND, /* other kernel memory in blocks (packet rings, skb fragments, …) */
	KERNEL_PAGES_PLAIN,    /* other kernel memory in single pages */
	KERNEL_PAGES_TAIL, /* other kernel memory: behind the first page of a block that is not compound */
	KERNEL_PAGES_N
};

struct kernel_pages_memcg {
	uint64_t id;	/* kernfs id, as in struct memcgs_entry; 0: could not be told */
	char *path;	/* below the cgroup mount, "/" for the root; owned by the snapshot */
	bool dying;	/* removed; on kernels that charge through an objcg the parent's, so rare */
	uint64_t bytes; /* of KERNEL_PAGES_ACCOUNTED */
	/*
	 * Of KERNEL_PAGES_ANON: what is left of huge pages of which processes gave a part back (MADV_DONTNEED by an allocator, a
	 * trimmed heap). In use until the kernel splits the huge page, in AnonPages no more: part of the residual. 0 before 6.3.
	 */
	uint64_t unmapped_bytes;
};

struct kernel_pages_snapshot {
	uint64_t bytes[KERNEL_PAGES_N];
	uint64_t unmapped_bytes; /* of all memory cgroups */
	/* Descending by both together; their bytes add up to bytes[KERNEL_PAGES_ACCOUNTED]. */
	struct kernel_pages_memcg *memcgs;
	size_t n_memcgs;
	/* Charged to none, to one that was freed before it could be asked, or beyond KERNEL_PAGES_MAX_MEMCGS: under id 0. */
	uint64_t memcgs_unresolved;

	/* How it went. */
	unsigned int coverage_permille; /* < 1000: the CPU budget ran out */
	uint64_t pfns;			/* page frames looked at */
	uint64_t torn_bytes; /* in no class: what the page belonged to changed while it was read */
	uint64_t skipped_chunks; /* chunks of struct page that could not be read (memory holes) */
	uint64_t duration_ns, cpu_ns;	     /* whole instrument, cpu of this thread */
	uint64_t bpf_calls, bpf_max_call_ns; /* CPU time of the longest single BPF call */
};

struct kernel_pages_opts {
	/* 0: none. Checked between calls; what was seen until then is the result. */
	uint64_t cpu_budget_ns;
};

#define KERNEL_PAGES_MAX_MEMCGS ((size_t)65536)

/* "free", "pageTables", …: the class as the report names it. */
const char *kernel_pages_class_name(enum kernel_pages_class c);

/*
 * Scans. proc is the host's /proc. Needs what pages_probe() tells. Nothing stays loaded. Errors: that probe's, the load's own,
 * -EIO when the kernel's structures do not validate.
 */
int kernel_pages_scan(const struct root *proc, const struct kernel_pages_opts *opts,
		      struct kernel_pages_snapshot **ret, struct err *err);
void kernel_pages_snapshot_free(struct kernel_pages_snapshot *snapshot);

#endif
