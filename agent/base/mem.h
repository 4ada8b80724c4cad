/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that does not fail: the process says so and exits instead.
 *
 * Linux overcommits, so a small malloc() practically never returns NULL; the OOM killer comes first. Checking every
 * call would add branches that no test can reach. Large or input-sized allocations have a ceiling where they are made.
 */
#ifndef MEMDIAG_BASE_MEM_H
#define MEMDIAG_BASE_MEM_H

#include <stddef.h>

void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
/* realloc() of an array; n * size is checked for overflow. */
void *xreallocarray(void *p, size_t n, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
/* A new string; the caller frees it. */
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
