/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that come in pieces and go in records. Consumed bytes are left where they are until as many again follow, so a
 * record costs no memmove() of its own, and what was looked at once is not looked at again. Private to kube/.
 */
#ifndef MEMDIAG_KUBE_STREAM_H
#define MEMDIAG_KUBE_STREAM_H

#include "base/buf.h"

struct stream {
	struct buf buf;
	size_t start;	/* the first byte of the current record */
	size_t scanned; /* the first byte not yet looked at; >= start */
};

static inline const char *stream_record(const struct stream *s)
{
	return s->buf.data + s->start;
}

/* Empties it; memory beyond what a usual event needs goes back. */
static inline void stream_clear(struct stream *s)
{
	s->start = s->scanned = 0;
	if (s->buf.cap > 64 << 10)
		buf_done(&s->buf);
	else
		buf_clear(&s->buf);
}

static inline int stream_push(struct stream *s, const void *data, size_t n)
{
	if (s->start == s->buf.len) {
		stream_clear(s);
	} else if (s->start > s->buf.len / 2) {
		buf_consume(&s->buf, s->start);
		s->scanned -= s->start;
		s->start = 0;
	}
	return buf_append(&s->buf, data, n);
}

static inline void stream_done(struct stream *s)
{
	buf_done(&s->buf);
	s->start = s->scanned = 0;
}

#endif
