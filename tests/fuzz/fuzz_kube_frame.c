/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the API server sends: the body of a WATCH and that of a LIST. The first byte says where it is cut in two: what comes out
 * must not depend on how the bytes arrive.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/tree.h"
#include "kube/list_frame.h"
#include "kube/watch_frame.h"

enum { LINE_MAX_BYTES = 2048, SAID_MAX = 1 << 20 };

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	tree_init();
	return 0;
}

static enum watch_kind drain_watch(struct watch_frame *frame, struct buf *said)
{
	struct watch_event event;
	enum watch_kind kind;

	do {
		watch_frame_next(frame, &event);
		kind = event.kind;
		if (kind >= WATCH_UPSERT && kind <= WATCH_BOOKMARK)
			(void)buf_printf(said, "%d %s\n", kind, event.version);
		else if (kind != WATCH_NONE)
			(void)buf_printf(said, "%d\n", kind);
		watch_event_done(&event);
	} while (kind != WATCH_NONE && kind != WATCH_BAD);
	return kind;
}

static void watch(const uint8_t *data, size_t size, size_t cut, struct buf *said)
{
	struct watch_frame frame;

	watch_frame_init(&frame, LINE_MAX_BYTES);
	if (watch_frame_push(&frame, data, cut) == 0 && drain_watch(&frame, said) == WATCH_NONE &&
	    watch_frame_push(&frame, data + cut, size - cut) == 0)
		(void)drain_watch(&frame, said);
	watch_frame_done(&frame);
}

static int drain_list(struct list_frame *frame, struct buf *said)
{
	cJSON *item;
	int r;

	while ((r = list_frame_next(frame, &item, NULL)) == 1) {
		(void)buf_printf(said, "%s\n", tree_str_or_empty(item, "metadata.name"));
		cJSON_Delete(item);
	}
	return r;
}

static void list(const uint8_t *data, size_t size, size_t cut, struct buf *said)
{
	char *version = NULL, *more = NULL;
	struct list_frame frame;
	int r;

	list_frame_init(&frame, LINE_MAX_BYTES);
	r = list_frame_push(&frame, data, cut);
	r = r < 0 ? r : drain_list(&frame, said);
	r = r < 0 ? r : list_frame_push(&frame, data + cut, size - cut);
	r = r < 0 ? r : drain_list(&frame, said);
	/* Which fault is found first may depend on the cut; that there is one may not. */
	if (r == 0)
		r = list_frame_finish(&frame, &version, &more, NULL);
	(void)buf_printf(said, "%s %s %s\n", r < 0 ? "bad" : "good", version ? version : "-",
			 more ? more : "-");
	free(version);
	free(more);
	list_frame_done(&frame);
}

static void compare(void (*parse)(const uint8_t *, size_t, size_t, struct buf *),
		    const uint8_t *data, size_t size, size_t cut)
{
	_cleanup_buf_ struct buf whole = BUF_INIT(SAID_MAX);
	_cleanup_buf_ struct buf halves = BUF_INIT(SAID_MAX);

	parse(data, size, 0, &whole);
	parse(data, size, cut, &halves);
	if (whole.len != halves.len ||
	    (whole.len && memcmp(whole.data, halves.data, whole.len) != 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t cut;

	if (size == 0)
		return 0;
	cut = data[0] * (size - 1) / 255;
	compare(watch, data + 1, size - 1, cut);
	compare(list, data + 1, size - 1, cut);
	return 0;
}
