/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instrument `slabs`: the kernel's slab caches and what they take, from /proc/slabinfo; and which of them the kernel can shrink,
 * where /sys/kernel/slab says so (SLUB with CONFIG_SLUB_SYSFS). Caches that the kernel has merged are one, under one of their names.
 *
 * meminfo's Slab holds allocations of more than two pages too, which are in no cache.
 */
#ifndef MEMDIAG_INSTRUMENTS_SLABS_H
#define MEMDIAG_INSTRUMENTS_SLABS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"
#include "instruments/keyvalue.h"

/* Where the running kernel tells a cache's flags; not below the host's /proc. */
#define SLABS_SYS "/sys/kernel/slab"

enum { SLABS_NAME = 64, SLABS_MAX = 4096 /* caches kept; a kernel has some hundred */ };

enum slab_reclaim {
	SLAB_RECLAIM_UNKNOWN,
	SLAB_RECLAIMABLE,
	SLAB_UNRECLAIMABLE,
};

struct slab_cache {
	char name[SLABS_NAME];
	uint64_t objects;     /* room for, in all of its slabs */
	uint64_t active;      /* of these, in use; SLUB counts those of per-CPU slabs as in use */
	uint64_t object_size; /* bytes from one object to the next */
	uint64_t bytes;	      /* num_slabs * pagesperslab * page size */
	enum slab_reclaim reclaim;
};

struct slabs_snapshot {
	struct slab_cache *caches; /* descending by bytes, then by name */
	size_t n;
	uint64_t bytes;		    /* of all caches, those that were dropped too */
	uint64_t dropped;	    /* caches beyond SLABS_MAX */
	const char *reclaim_source; /* static; NULL: nobody says what can be reclaimed */
	struct parse_notes notes;   /* lines that could not be read; the others are used */
};

/* sys is SLABS_SYS, or a recorded tree of it; NULL: do not ask. -EACCES and what else reading slabinfo gives (it is root's). */
int slabs_read(const struct root *proc, const struct root *sys, struct slabs_snapshot **ret,
	       struct err *err);
void slabs_snapshot_free(struct slabs_snapshot *snapshot);
/* NULL: there is none of that name. */
const struct slab_cache *slabs_find(const struct slabs_snapshot *snapshot, const char *name);

/* Pure, for tests and fuzzing. Two lines of one name are added up: modules may make caches of the same name. */
struct slabs_snapshot *slabs_parse(const char *text, uint64_t page_size);

#endif
