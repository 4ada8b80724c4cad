/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a WATCH: bytes in, events out. Pure. Private to kube/.
 */
#ifndef MEMDIAG_KUBE_WATCH_FRAME_H
#define MEMDIAG_KUBE_WATCH_FRAME_H

#include "base/tree.h"
#include "kube/stream.h"

enum {
	KUBE_RECORD_MAX = 8 << 20, /* bytes of an event's line or of a list's item */
	/* What may come in before it is looked at: libcurl hands over at most 100 x 16 KiB in one go. */
	KUBE_STREAM_SLACK = 4 << 20,
};

enum watch_kind {
	WATCH_NONE,	/* more bytes are needed */
	WATCH_UPSERT,	/* ADDED or MODIFIED */
	WATCH_REMOVE,	/* DELETED */
	WATCH_BOOKMARK, /* a resourceVersion alone */
	WATCH_GONE,	/* ERROR 410: the resourceVersion is too old */
	WATCH_ERROR,	/* any other ERROR */
	WATCH_BAD, /* no event, or a line above the ceiling: the stream is of no use any more */
};

struct watch_event {
	enum watch_kind kind;
	const cJSON *object;
	const char *version; /* resourceVersion; "" when there is none */
	struct err err;	     /* with GONE, ERROR and BAD */
	cJSON *tree;	     /* owns object and version */
};

struct watch_frame {
	struct stream in;
	size_t max;
};

/* max: bytes of one line. */
void watch_frame_init(struct watch_frame *frame, size_t max);
void watch_frame_done(struct watch_frame *frame);
/* Before another stream. */
void watch_frame_clear(struct watch_frame *frame);
/* -ENOBUFS: far more than a line was not taken out. */
int watch_frame_push(struct watch_frame *frame, const void *data, size_t n);
/* The next event. Call it until WATCH_NONE or WATCH_BAD; watch_event_done() each. */
void watch_frame_next(struct watch_frame *frame, struct watch_event *ret);
void watch_event_done(struct watch_event *event);

#endif
