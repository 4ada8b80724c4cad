/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's memory by use, from the kernel's own counters: /proc/meminfo, /proc/vmstat, /proc/zoneinfo, /proc/net/sockstat.
 */
#ifndef MEMDIAG_INSTRUMENTS_MEMINFO_H
#define MEMDIAG_INSTRUMENTS_MEMINFO_H

#include <stdint.h>

#include "base/err.h"
#include "base/root.h"
#include "instruments/keyvalue.h"
#include "instruments/memory_line.h"

/* Bytes; 0 where the kernel has no such counter. Names are meminfo's. */
struct meminfo {
	uint64_t total, free, available;
	uint64_t buffers, cached, swap_cached;
	uint64_t active_anon, inactive_anon; /* the LRU lists, swap cache and shared memory too */
	uint64_t active_file, inactive_file, dirty, writeback;
	uint64_t anon_pages, anon_huge_pages, shmem, mlocked;
	uint64_t k_reclaimable, slab, s_reclaimable, s_unreclaim;
	uint64_t kernel_stack, page_tables, sec_page_tables, percpu;
	uint64_t vmalloc_used, hugetlb, bounce, writeback_tmp;
	uint64_t swap_total, swap_free, zswap, zswapped, balloon;
	uint64_t gpu_active, gpu_reclaim; /* of TTM drivers: objects, and pools of free pages */
	uint64_t hw_poison;		  /* pages that hardware broke */
	uint64_t huge_page_size;	  /* the default one; the next two are counts of these */
	uint64_t huge_free, huge_reserved;
	uint64_t memmap;  /* vmstat nr_memmap_pages: struct page of memory that was plugged in */
	uint64_t zspages; /* vmstat nr_zspages: compressed memory of zswap and zram */
	uint64_t pcp;	  /* zoneinfo: free pages on per-CPU lists, which MemFree does not count */
	/*
	 * sockstat "mem": what TCP and UDP have accounted for, in all network namespaces; some of it is slab, some in the
	 * residual.
	 */
	uint64_t socket;
};

/*
 * One sample. The files are read one after the other: under load the counters move meanwhile. Without zoneinfo or vmstat their part is 0, and
 * notes say so. Errors: meminfo cannot be read.
 *
 * Counters that CPUs keep apart for up to a second are not flushed first (vm/stat_refresh): that waits for a turn on every CPU, which one
 * with a real-time task never gives, and it brought 0.02 MiB here, a tenth of what remains between two samples.
 */
int meminfo_read(const struct root *proc, struct meminfo *ret, struct parse_notes *notes,
		 struct err *err);

/*
 * Several samples over about 50 ms, and of these the one whose residual is to be believed (see meminfo_choose()). What the residual
 * is asked for is read with this; the files' faults are noted once.
 */
int meminfo_sample(const struct root *proc, struct meminfo *ret, struct parse_notes *notes,
		   struct err *err);

/* Pure parts, for tests and fuzzing; text is NUL-terminated. */
void meminfo_parse(const char *text, struct meminfo *info, struct parse_notes *notes);
uint64_t meminfo_parse_pcp(const char *zoneinfo, uint64_t page_size, struct parse_notes *notes);
uint64_t meminfo_parse_sockets(const char *sockstat, uint64_t page_size, struct parse_notes *notes);
void meminfo_parse_vmstat(const char *text, uint64_t page_size, struct meminfo *info,
			  struct parse_notes *notes);

enum { MEMORY_LINES_MAX = 24, MEMORY_PARTS_MAX = 12, MEMORY_BESIDE_MAX = 6 };

/*
 * The non-overlapping parts of MemTotal. What none of them explains is the residual, the last of them: MemTotal minus their sum; it can be
 * negative by what moved between two counters. Returns how many; their sum is info->total to the byte.
 */
size_t meminfo_lines(const struct meminfo *info, struct memory_line lines[MEMORY_LINES_MAX]);
/* The last of these lines alone. */
int64_t meminfo_residual(const struct meminfo *info);
/*
 * Some lines in parts, `group` being the line's name: three each, whose sum is the line to the byte. The page cache comes twice: by
 * list, and by state.
 */
size_t meminfo_parts(const struct meminfo *info, struct memory_line parts[MEMORY_PARTS_MAX]);
/* What is inside of several lines, or no part of MemTotal; `group` says where it is. */
size_t meminfo_beside(const struct meminfo *info, struct memory_line beside[MEMORY_BESIDE_MAX]);

/*
 * Which of n > 0 residuals is nearest to the truth: the lower quartile. Pages on their way (freed, but still in a batch of the
 * process that ends; isolated for compaction) are in no counter and make most of the error, upwards; what moves from one file to
 * the next while they are read errs both ways, so the smallest is too small. Returns its index; residuals stay as they are.
 */
size_t meminfo_choose(const int64_t *residuals, size_t n);

#endif
