/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The body of a LIST: bytes in, items out, one at a time. Pure. Neither the body nor a tree of all items is ever held: from
 * its cache (resourceVersion=0) the server sends every object in one answer, whatever the limit. Private to kube/.
 */
#ifndef MEMDIAG_KUBE_LIST_FRAME_H
#define MEMDIAG_KUBE_LIST_FRAME_H

#include <stdbool.h>

#include "base/tree.h"
#include "kube/stream.h"

struct list_frame {
	struct stream in;
	struct buf head; /* the body without its items */
	size_t max;
	unsigned int depth;
	bool in_string, escaped;
	bool in_items; /* between the brackets of "items" */
};

/* max: bytes of one item. */
void list_frame_init(struct list_frame *frame, size_t max);
void list_frame_done(struct list_frame *frame);
/* Before another page. */
void list_frame_clear(struct list_frame *frame);
/* -ENOBUFS: far more than an item was not taken out. */
int list_frame_push(struct list_frame *frame, const void *data, size_t n);
/* 1: *ret_item is the next one, to be freed by the caller; 0: more bytes are needed; -EINVAL, -EFBIG: no list of ours. */
int list_frame_next(struct list_frame *frame, cJSON **ret_item, struct err *err);
/*
 * After the last byte: the version of the list and the token of the next page (NULL: this was the last). The caller frees
 * both.
 */
int list_frame_finish(struct list_frame *frame, char **ret_version, char **ret_continue,
		      struct err *err);

#endif
