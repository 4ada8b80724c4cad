/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instrument `allocinfo`: how much each line of the kernel's code has allocated and not freed, from /proc/allocinfo (since 6.10,
 * where memory allocation profiling is built in and on). Objects of slab are in it as well as the pages that hold them.
 */
#ifndef MEMDIAG_INSTRUMENTS_ALLOCINFO_H
#define MEMDIAG_INSTRUMENTS_ALLOCINFO_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"
#include "instruments/keyvalue.h"

enum { ALLOCINFO_MAX_SITES = 16384 }; /* a distribution's kernel with its modules has 5,000 */

struct alloc_site {
	char *where;	/* "drivers/net/veth.c:1412"; owned, foreign text */
	char *module;	/* NULL: built in */
	char *function; /* may be "" */
	uint64_t bytes, calls;
};

struct allocinfo {
	struct alloc_site *sites; /* ascending by where and function; those with bytes only */
	size_t n;
	uint64_t dropped;
};

/* -ENOENT: this kernel has none; -EACCES: needs CAP_DAC_READ_SEARCH; -ENODATA: it is switched off. The caller frees *ret. */
int allocinfo_read(const struct root *proc, struct allocinfo **ret, struct parse_notes *notes,
		   struct err *err);
void allocinfo_free(struct allocinfo *info);

/* Pure, for tests and fuzzing. */
struct allocinfo *allocinfo_parse(const char *text, struct parse_notes *notes);

/* The same site in another reading; NULL: it was not there. */
const struct alloc_site *allocinfo_find(const struct allocinfo *info,
					const struct alloc_site *site);

#endif
