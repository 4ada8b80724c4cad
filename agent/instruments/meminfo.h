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

/* Bytes; 0 where the kernel has no such counter. Names are meminfo's. */
struct meminfo {
	uint64_t total, free, available;
	uint64_t buffers, cached, swap_cached;
	uint64_t active_file, inactive_file, dirty, writeback;
	uint64_t anon_pages, anon_huge_pages, shmem;
	uint64_t k_reclaimable, slab, s_reclaimable, s_unreclaim;
	uint64_t kernel_stack, page_tables, sec_page_tables, percpu;
	uint64_t vmalloc_used, hugetlb, bounce, writeback_tmp;
	uint64_t swap_total, swap_free, zswap, zswapped, balloon;
	uint64_t zspages; /* vmstat nr_zspages: compressed memory of zswap and zram */
	uint64_t pcp;	  /* zoneinfo: free pages on per-CPU lists, which MemFree does not count */
	uint64_t
		socket; /* sockstat "mem": pages that sockets hold; parts of it are slab, others in the residual */
};

/* One sample. The files are read one after the other: under load the counters move meanwhile. */
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

/*
 * The non-overlapping parts of MemTotal. What none of them explains is the residual: MemTotal minus their sum; it can be
 * negative by what moved between two counters.
 */
struct memory_line {
	const char *name;   /* lowerCamelCase, as the CRD has it with "Bytes" behind */
	const char *label;  /* for people */
	const char *source; /* which counters make it */
	const char *group;  /* heading under which it stands */
	int64_t bytes;
};

enum { MEMORY_LINES_MAX = 24 };

/* Fills lines (the residual last) and returns how many. Their sum is info->total to the byte. */
size_t meminfo_lines(const struct meminfo *info, struct memory_line lines[MEMORY_LINES_MAX]);
/* The last of these lines alone. */
int64_t meminfo_residual(const struct meminfo *info);

/*
 * Which of n > 0 residuals is nearest to the truth: the lower quartile. Pages on their way (freed, but still in a batch of the
 * process that ends; isolated for compaction) are in no counter and make most of the error, upwards; what moves from one file to
 * the next while they are read errs both ways, so the smallest is too small. Returns its index; residuals stay as they are.
 */
size_t meminfo_choose(const int64_t *residuals, size_t n);

#endif
