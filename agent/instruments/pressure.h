/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How short of memory the node is, by the kernel's own counters: vmstat, pressure stall information, zones' watermarks, free memory
 * by order. What stands beside the latencies of reclaim and compaction in a report, and what remedies are computed from.
 */
#ifndef MEMDIAG_INSTRUMENTS_PRESSURE_H
#define MEMDIAG_INSTRUMENTS_PRESSURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"
#include "instruments/keyvalue.h"

enum { PRESSURE_ORDERS = 16 }; /* of free blocks; the kernel has 11 */

/* Since boot. Pages where nothing else is said. 0 where the kernel has no such counter. */
struct pressure_vmstat {
	uint64_t pgscan_direct, pgsteal_direct;
	uint64_t allocstall; /* direct reclaims, of all zones */
	uint64_t pgalloc;    /* pages allocated, of all zones */
	uint64_t compact_stall, compact_fail, compact_success;
};

/* Microseconds since boot, or since the cgroup was made, in which some task, or all that could run, waited for memory. */
struct pressure_stall {
	bool known; /* false: this kernel or cgroup does not tell */
	uint64_t some_us, full_us;
};

/* Pages, of all zones together. */
struct pressure_zones {
	uint64_t managed, min, low;
	uint64_t free_blocks[PRESSURE_ORDERS]; /* blocks of 2^order pages */
	size_t orders;			       /* that buddyinfo has */
};

/* An absent file or counter is noted, or not known; nothing fails. */
void pressure_read_vmstat(const struct root *proc, struct pressure_vmstat *ret,
			  struct parse_notes *notes);
/* path: "pressure/memory" below /proc, or "<cgroup>/memory.pressure" below the cgroup mount. */
void pressure_read_stall(const struct root *root, const char *path, struct pressure_stall *ret);
void pressure_read_zones(const struct root *proc, struct pressure_zones *ret,
			 struct parse_notes *notes);
/* Of these the free blocks alone, from one small file. */
void pressure_read_blocks(const struct root *proc, struct pressure_zones *ret,
			  struct parse_notes *notes);

/* Thousandths of the free memory that are in blocks too small for the order. */
unsigned int pressure_unusable_permille(const struct pressure_zones *zones, uint64_t order);

/* Pure parts, for tests and fuzzing; text is NUL-terminated and is changed by the last two. */
void pressure_parse_vmstat(const char *text, struct pressure_vmstat *ret,
			   struct parse_notes *notes);
void pressure_parse_stall(char *text, struct pressure_stall *ret);
void pressure_parse_zoneinfo(char *text, struct pressure_zones *ret, struct parse_notes *notes);
void pressure_parse_buddyinfo(char *text, struct pressure_zones *ret, struct parse_notes *notes);

#endif
