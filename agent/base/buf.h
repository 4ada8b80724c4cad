/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing byte buffer with a ceiling. Its data is always NUL-terminated (the NUL is not counted in len).
 *
 *	_cleanup_buf_ struct buf body = BUF_INIT(BUF_MAX_FILE);
 */
#ifndef MEMDIAG_BASE_BUF_H
#define MEMDIAG_BASE_BUF_H

#include <stddef.h>

#include "base/cleanup.h"

struct buf {
	char *data; /* NULL until something is appended */
	size_t len;
	size_t cap;
	size_t max; /* ceiling of len */
};

#define BUF_INIT(ceiling)                                          \
	{                                                          \
		.data = NULL, .len = 0, .cap = 0, .max = (ceiling) \
	}

/* Appends n bytes. -ENOBUFS when that would exceed max; nothing is appended then. */
int buf_append(struct buf *b, const void *data, size_t n) __attribute__((warn_unused_result));
/* Appends text. A failure is remembered by the ceiling alone: len stays what it was. Returns 0 or -ENOBUFS. */
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Removes the first n bytes (n <= len). */
void buf_consume(struct buf *b, size_t n);
/* Empties it and keeps the memory. */
void buf_clear(struct buf *b);
/* Hands the string out (never NULL); the buffer is empty afterwards. */
char *buf_take(struct buf *b);
/* Frees the memory; the buffer may be used again. */
void buf_done(struct buf *b);

#define _cleanup_buf_ _cleanup_(buf_done)

#endif
