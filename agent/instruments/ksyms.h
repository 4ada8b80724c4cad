/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instrument `ksyms`: the functions of the running kernel and its modules by address, from /proc/kallsyms. Load it when there
 * are addresses to name, free it right after: 64,000 functions take 2.4 MiB and 100 ms.
 */
#ifndef MEMDIAG_INSTRUMENTS_KSYMS_H
#define MEMDIAG_INSTRUMENTS_KSYMS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/root.h"
#include "instruments/keyvalue.h"

/* Ceiling of functions; a distribution's kernel with its modules has 100,000. */
#define KSYMS_MAX ((size_t)1 << 19)
/* A longer function does not exist: an address that far behind one is not in it (a module is gone, a hole). */
#define KSYMS_SPAN_MAX ((uint64_t)1 << 20)
/* What a name can take with offset and module; a longer one is cut. */
#define KSYMS_NAME_MAX 192

struct ksyms;

/*
 * Reads the host's kallsyms: text symbols only. Errors: -EPERM when the kernel shows no addresses (the text says which
 * privilege or setting is missing), -EFBIG beyond KSYMS_MAX, -ENODATA when there is no function in it, those of reading.
 */
int ksyms_load(const struct root *proc, struct ksyms **ret, struct err *err);
/* The same from an open file in kallsyms' format; `name` is for messages. Lines that are not in it are noted and passed over. */
int ksyms_read(FILE *f, const char *name, struct ksyms **ret, struct parse_notes *notes,
	       struct err *err);
void ksyms_free(struct ksyms *k);

/*
 * "do_sys_poll+0x1a2" or "nft_do_chain+0x4c [nf_tables]"; without a function there "0xffffffffc0123456". k may be NULL. The text
 * is plain (names are the kernel's own). n: KSYMS_NAME_MAX holds them all. Returns out.
 */
const char *ksyms_name(const struct ksyms *k, uint64_t address, char *out, size_t n);
/* The function's bare name, for comparing; NULL: none there. Owned by k. */
const char *ksyms_function(const struct ksyms *k, uint64_t address);
/* The address where the function of that name begins (the first of several); 0: none. A search through all. */
uint64_t ksyms_address(const struct ksyms *k, const char *function);
/* Where the function that begins there ends: at the next one, since sizes are not told. begin itself: none begins there. */
uint64_t ksyms_end(const struct ksyms *k, uint64_t begin);
size_t ksyms_count(const struct ksyms *k);

#endif
