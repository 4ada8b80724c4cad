/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check KernelMemory: memory that no process and no counter shows, and who holds it. Three views meet here, each with what it can
 * tell: the residual (how much), owners from user space and from the pages themselves (who), and the stacks that allocated what
 * came within the window (how).
 *
 * Findings InvisibleMemory: a container holds much of it, or the node has much that nobody owns. InvisibleMemoryGrowth: it grows.
 */
#ifndef MEMDIAG_CHECKS_KERNEL_MEMORY_H
#define MEMDIAG_CHECKS_KERNEL_MEMORY_H

#include "checks/check.h"
#include "checks/kernel_sites.h"
#include "instruments/alloc_trace.h"
#include "instruments/kernel_pages.h"
#include "instruments/kmem.h"

extern const struct check check_kernel_memory;

/* One owner: a row of the instrument with its place in Kubernetes. */
struct kernel_owner {
	struct kmem_owner row;
	int64_t grown; /* within the window */
	/*
	 * Read after the window only, so that grown means nothing: what struct pages tell (hugePageRemains, charged pages, page
	 * pools of no known device) and vmallocinfo. A second scan of all pages would cost what the first does, 17 ns a frame of
	 * spec.cpuBudget, which on large nodes is not even enough for one.
	 */
	bool read_once;
	struct owner whose; /* strings are owned; cgroup NULL: unknown or the kernel */
	char comm[64];	    /* of the process; escaped text */
	/*
	 * No process was found for it: pages charged to the cgroup beyond what its processes' rows explain. row.kind means nothing
	 * then.
	 */
	bool charged;
};

struct kernel_owners {
	struct kernel_owner *items; /* descending by bytes */
	size_t n;
};

/* Plain data, so that tests can write it by hand. */
struct kernel_facts {
	const struct spec *spec;
	uint64_t mem_total, kernel_stacks; /* bytes */
	int64_t residual, residual_before;
	uint64_t window_ms;
	const struct kernel_owners *owners;
	/* NULL: could not be had; then `missing` says why. */
	const struct kernel_pages_snapshot *pages;
	const struct alloc_trace_snapshot *trace;
	const struct kernel_sites *sites; /* NULL: this kernel does not profile allocations */
	const struct kmem_missing *missing;
};

/*
 * What of the residual has an owner: the sum of owners' rows that are in it, never more than there is. Charged rows count less
 * the kernel stacks, which are charged as well but not in the residual.
 *
 * An upper bound where sockets have queues: what the kernel charges them (truesize) has the buffers' heads and the first KiB of
 * data in it, which are slab. That is 8.4 % of a unix stream's long writes, but all of a short datagram, and neither sock_diag
 * nor the pages tell how many buffers there are. Charged pages of the cgroup are no bound either: of sockets only unix ones' are
 * charged, to whoever sent, which need not be the process that is found with the socket, and the root cgroup's are not.
 */
uint64_t kernel_memory_explained(const struct kernel_facts *facts);
/* What of the growth has an owner or a stack: the better of both views, since they see the same pages. */
uint64_t kernel_memory_attributed(const struct kernel_facts *facts);

/* Pure: facts in, result and findings out. */
void kernel_memory_judge(const struct kernel_facts *facts, struct check_result *result);
/* The second half of it: findings. */
void kernel_memory_findings(const struct kernel_facts *facts, struct findings *findings);

/* "packetRing of tcpdump (pid 12)"; the caller frees it. */
char *kernel_owner_text(const struct kernel_owner *owner);
/* "packet_set_ring < sock_setsockopt", the innermost functions of a stack without offsets; the caller frees it. */
char *kernel_stack_text(const struct alloc_trace_row *row, size_t max_functions);

/*
 * Joins: the rows of both snapshots by process and kind; before may be NULL. Rows whose process has gone keep their pid. The
 * caller resolves `whose` and comm.
 */
struct kernel_owners kernel_owners_join(const struct kmem_owners *now,
					const struct kmem_owners *before);
/*
 * Adds what pages tell beyond the rows: charged memory of cgroups, what is left of their huge pages, and page pools of which netlink
 * tells no device.
 */
void kernel_owners_add_pages(struct kernel_owners *owners,
			     const struct kernel_pages_snapshot *pages);
void kernel_owners_sort(struct kernel_owners *owners);
void kernel_owners_done(struct kernel_owners *owners);

#endif
