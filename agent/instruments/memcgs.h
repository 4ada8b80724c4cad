/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instrument `memcgs`: every memory cgroup of this host, those that are removed but pinned ("dying") too, which no directory
 * shows. A BPF program walks the kernel's tree of them in calls of well under 1 ms.
 *
 * Plain facts of the kernel: no pods, no judgement. Sizes are bytes.
 *
 * What is exact: the counts, paths, LRU bytes (what a CPU has not yet put on its list, at most some dozen pages per CPU, is
 * missing), references, and swap. What is not: usage_bytes holds what CPUs have reserved ahead, and of a dying cgroup the
 * kernel memory it had when it was removed, which belongs to its parent since (5.9, bf4f059954dc): slab objects do not pin.
 */
#ifndef MEMDIAG_INSTRUMENTS_MEMCGS_H
#define MEMDIAG_INSTRUMENTS_MEMCGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"

struct memcgs_entry {
	uint64_t id;	     /* kernfs id, as in struct pages_memcg */
	char *path;	     /* below the cgroup mount, "/" for the root; owned by the snapshot */
	bool dying;	     /* its directory is removed */
	uint32_t children;   /* memory cgroups right below it, dying ones included */
	uint64_t file_bytes; /* LRU: cache of files */
	/*
	 * LRU: anonymous memory and shared memory, which the kernel keeps on the same lists. Of a dying cgroup it is shared
	 * memory, but for processes that went to another cgroup and left their memory behind (v1).
	 */
	uint64_t anon_bytes;
	uint64_t unevictable_bytes; /* LRU: mlocked, and shared memory that is locked */
	uint64_t swap_bytes; /* swapped out, in what is below it too, but for what is dying there */
	uint64_t usage_bytes; /* the page counter, what is below it included */
	/*
	 * Of a dying one: kernel memory and, of that, slab, which it had when it was removed; whoever frees it since gives it back to the
	 * cgroup above, so this never shrinks, and it pins only before 5.13. Slab, and on v2 all three: as the kernel last summed up, every 2 seconds; v2's kernel
	 * memory since 5.18. Sockets do pin, for as long as they are open: their buffers, on v1 only below a limit of them. All without what is dying below it.
	 */
	uint64_t kernel_bytes, slab_bytes, socket_bytes;
	/*
	 * Of a dying one: what keeps it, and of that what is neither a page on its lists nor a child: swap, writeback, sockets,
	 * what CPUs have reserved; before 5.11 kernel memory too. At least that much: a large folio is one reference, but
	 * counts here with all of its pages.
	 */
	uint64_t refs, other_refs;
};

struct memcgs_snapshot {
	/* Every one is counted, also beyond the ceiling. live includes the root. */
	uint64_t live, dying;
	/* Of the dying ones together. */
	uint64_t dying_file_bytes, dying_anon_bytes, dying_unevictable_bytes;
	/* cgroup v1: num_cgroups of /proc/cgroups right after the walk. UINT64_MAX: the kernel has no such counter (v2). */
	uint64_t kernel_count;
	/* Dying ones, with opts->live all; descending by LRU bytes. */
	struct memcgs_entry *entries;
	size_t n;
	uint64_t not_kept; /* beyond MEMCGS_MAX */
	uint64_t
		too_deep; /* memory cgroups with children below level 63, which were not looked at */

	/* How it went. */
	uint64_t
		resumed; /* times that the cgroup where the walk stood between two calls was freed */
	uint64_t walk_cpu_ns;	      /* of the walk alone, without loading the program */
	uint64_t duration_ns, cpu_ns; /* whole instrument, cpu of this thread */
	uint64_t bpf_calls, bpf_max_call_ns;
};

/* Ceiling of entries: with their paths some 60 MiB. */
#define MEMCGS_MAX ((size_t)262144)

struct memcgs_opts {
	bool live;	/* keep the live ones too */
	size_t max;	/* ceiling of entries; 0: MEMCGS_MAX */
	uint32_t steps; /* most memory cgroups in one call; 0: as many as 0.4 ms allow */
};

/*
 * Walks. proc is the host's /proc. Needs what pages_probe() tells (but for the virtual memory map). Nothing stays loaded.
 * Errors: the load's own, -EOPNOTSUPP without memory cgroups, -EIO when the kernel's structures do not validate.
 */
int memcgs_read(const struct root *proc, const struct memcgs_opts *opts,
		struct memcgs_snapshot **ret, struct err *err);
void memcgs_snapshot_free(struct memcgs_snapshot *snapshot);

/*
 * num_cgroups of the memory controller in /proc/cgroups, dying ones included; UINT64_MAX where its hierarchy is v2's, which all
 * controllers share.
 */
int memcgs_kernel_count(const struct root *proc, uint64_t *ret, struct err *err);

/* Bytes on its LRU lists. */
uint64_t memcgs_lru_bytes(const struct memcgs_entry *entry);

#endif
