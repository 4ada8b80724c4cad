/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who holds kernel memory: what each of the kmem_* instruments adds a row to. A row says how much, who, how certain, and in which
 * line of the node's breakdown (instruments/meminfo.h) this memory is counted, so that nothing is explained twice.
 */
#ifndef MEMDIAG_INSTRUMENTS_KMEM_OWNER_H
#define MEMDIAG_INSTRUMENTS_KMEM_OWNER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum kmem_kind {
	KMEM_PACKET_RING, /* AF_PACKET's mapped rings: tcpdump, IDS */
	KMEM_TCP,	  /* queues of sockets, as the kernel charges them (truesize) */
	KMEM_UDP,
	KMEM_UNIX,
	KMEM_PERF, /* mapped buffers of perf events */
	KMEM_BPF_MAP,
	KMEM_BPF_PROG,
	KMEM_IO_URING,
	KMEM_PIPE,
	KMEM_DMA_BUF,
	KMEM_DRM,    /* a GPU's buffers in main memory */
	KMEM_NVIDIA, /* main memory that NVIDIA's driver has mapped for a process */
	KMEM_RDMA,   /* memory regions registered with an RDMA device: pinned memory of processes */
	KMEM_PAGE_POOL, /* receive buffers of a network device */
	KMEM_HUGE_PAGES,
	KMEM_MEMFD,
	KMEM_SECRET_MEM,
	KMEM_HUGE_REMAINS, /* what is left of huge pages of which processes gave a part back */
	KMEM_VMALLOC,	   /* by the function that allocated it */
	KMEM_KINDS
};

/* The line of the breakdown; names are those of struct memory_line. */
enum kmem_line {
	KMEM_IN_RESIDUAL,
	KMEM_IN_VMALLOC,
	KMEM_IN_PERCPU,
	KMEM_IN_SLAB,
	KMEM_IN_HUGE_PAGES,
	KMEM_IN_SHMEM,
	KMEM_IN_PAGE_CACHE,
	KMEM_IN_ANON,
	KMEM_LINES
};

enum kmem_certainty {
	KMEM_EXACT,    /* as the kernel accounts it, up to the rounding of small objects */
	KMEM_AT_LEAST, /* there may be more: pages that are not full, parts nobody shows */
	KMEM_AT_MOST,  /* sizes that were asked for, of which less may be in memory */
};

/* "packetRing", "tcp", …; "residual", "vmalloc", …; "exact", "atLeast", "atMost". */
extern const char *const kmem_kind_names[KMEM_KINDS];
extern const char *const kmem_line_names[KMEM_LINES];
extern const char *const kmem_certainty_names[];

struct kmem_owner {
	enum kmem_kind kind;
	enum kmem_line line;
	enum kmem_certainty certainty;
	pid_t pid; /* 0: no process holds it, or none that can be seen */
	char what
		[64]; /* a device, a map's name and type, a function: foreign bytes; "": the kind says it all */
	uint64_t bytes, count; /* count: of rings, sockets, maps, … */
};

struct kmem_owners {
	struct kmem_owner *items;
	size_t n, cap;
	uint64_t dropped, dropped_bytes; /* beyond KMEM_MAX_OWNERS */
};

enum { KMEM_MAX_OWNERS = 16384 }; /* rows; 1.6 MiB */

/* Rows that differ in bytes and count alone become one. Rows without bytes are not kept. */
void kmem_owners_add(struct kmem_owners *owners, const struct kmem_owner *owner);
/* Sums equal rows up, largest first. */
void kmem_owners_merge(struct kmem_owners *owners);
void kmem_owners_done(struct kmem_owners *owners);

/* What could not be looked at, in words, for the report. */
enum { KMEM_MAX_MISSING = 12, KMEM_MISSING_BYTES = 128 };
struct kmem_missing {
	char lines[KMEM_MAX_MISSING][KMEM_MISSING_BYTES];
	size_t n;
	uint64_t dropped;
};
/* Each text once. */
void kmem_missing_add(struct kmem_missing *missing, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
