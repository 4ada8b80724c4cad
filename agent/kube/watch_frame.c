/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/watch_frame.h"

#include <errno.h>
#include <string.h>

void watch_frame_init(struct watch_frame *frame, size_t max)
{
	*frame = (struct watch_frame){.in.buf = BUF_INIT(max + KUBE_STREAM_SLACK), .max = max};
}

void watch_frame_done(struct watch_frame *frame)
{
	stream_done(&frame->in);
}

void watch_frame_clear(struct watch_frame *frame)
{
	stream_clear(&frame->in);
}

int watch_frame_push(struct watch_frame *frame, const void *data, size_t n)
{
	return stream_push(&frame->in, data, n);
}

void watch_event_done(struct watch_event *event)
{
	cJSON_Delete(event->tree);
	event->tree = NULL;
}

static void read_error(struct watch_event *event)
{
	const char *message = tree_str(event->object, "message");
	int64_t code = tree_int_or(event->object, "code", 0);

	event->kind = code == 410 ? WATCH_GONE : WATCH_ERROR;
	(void)err_say(&event->err, EIO, "ERROR %lld: %s", (long long)code,
		      message ? message : "without a message");
}

/* False: an event of a kind that is none of ours, to be passed over. */
static bool read_event(struct watch_event *event, const char *line, size_t n)
{
	const char *type;

	if (tree_parse_json(line, n, &event->tree, &event->err) < 0) {
		event->kind = WATCH_BAD;
		(void)err_wrap(&event->err, "a line of %zu bytes", n);
		return true;
	}
	type = tree_str(event->tree, "type");
	event->object = tree_member(event->tree, "object");
	event->version = tree_str_or_empty(event->object, "metadata.resourceVersion");
	if (!type || !cJSON_IsObject(event->object)) {
		event->kind = WATCH_BAD;
		(void)err_say(&event->err, EINVAL, "a line of %zu bytes is no event", n);
	} else if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0) {
		event->kind = WATCH_UPSERT;
	} else if (strcmp(type, "DELETED") == 0) {
		event->kind = WATCH_REMOVE;
	} else if (strcmp(type, "BOOKMARK") == 0) {
		event->kind = WATCH_BOOKMARK;
	} else if (strcmp(type, "ERROR") == 0) {
		read_error(event);
	} else {
		return false;
	}
	return true;
}

void watch_frame_next(struct watch_frame *frame, struct watch_event *ret)
{
	struct stream *in = &frame->in;

	*ret = (struct watch_event){.kind = WATCH_NONE, .version = ""};
	while (in->scanned < in->buf.len) {
		const char *line = stream_record(in), *end;
		size_t n;

		end = memchr(in->buf.data + in->scanned, '\n', in->buf.len - in->scanned);
		n = (end ? (size_t)(end - in->buf.data) : in->buf.len) - in->start;
		in->scanned = in->start + n + (end != NULL);
		if (n > frame->max) {
			ret->kind = WATCH_BAD;
			(void)err_say(&ret->err, EFBIG, "a line of more than %zu bytes",
				      frame->max);
			return;
		}
		if (!end)
			return;
		in->start = in->scanned;
		while (n > 0 && strchr(" \t\r", line[n - 1]))
			n--;
		if (n > 0 && read_event(ret, line, n))
			return;
		watch_event_done(ret);
	}
}
