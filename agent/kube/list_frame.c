/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/list_frame.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "kube/watch_frame.h"

enum {
	HEAD_MAX = 64 << 10, /* bytes: kind, versions and the continue token are a few hundred */
};

void list_frame_init(struct list_frame *frame, size_t max)
{
	*frame = (struct list_frame){.in.buf = BUF_INIT(max + KUBE_STREAM_SLACK),
				     .head = BUF_INIT(HEAD_MAX),
				     .max = max};
}

void list_frame_done(struct list_frame *frame)
{
	stream_done(&frame->in);
	buf_done(&frame->head);
}

void list_frame_clear(struct list_frame *frame)
{
	stream_clear(&frame->in);
	buf_clear(&frame->head);
	frame->depth = 0;
	frame->in_string = frame->escaped = frame->in_items = false;
}

int list_frame_push(struct list_frame *frame, const void *data, size_t n)
{
	return stream_push(&frame->in, data, n);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Whether the head ends in "items": [ */
static bool opens_items(const struct buf *head)
{
	static const char name[] = "\"items\"";
	size_t n = head->len - 1;

	while (n > 0 && is_space(head->data[n - 1]))
		n--;
	if (n == 0 || head->data[n - 1] != ':')
		return false;
	n--;
	while (n > 0 && is_space(head->data[n - 1]))
		n--;
	return n >= sizeof(name) - 1 &&
	       memcmp(head->data + n - (sizeof(name) - 1), name, sizeof(name) - 1) == 0;
}

/* Takes one character's part in the structure. */
static int step(struct list_frame *f, char c)
{
	if (f->in_string) {
		if (f->escaped)
			f->escaped = false;
		else if (c == '\\')
			f->escaped = true;
		else if (c == '"')
			f->in_string = false;
		return 0;
	}
	if (f->depth == 0 && c != '{' && !is_space(c))
		return -EINVAL;
	if (c == '"')
		f->in_string = true;
	else if (c == '{' || c == '[')
		f->depth++;
	else if (c == '}' || c == ']')
		f->depth--;
	return 0;
}

/* One character of the body around the items. */
static int add_to_head(struct list_frame *f, char c, struct err *err)
{
	if (buf_append(&f->head, &c, 1) < 0)
		return err_say(err, EFBIG, "a list with more than %d bytes around its items",
			       HEAD_MAX);
	f->in_items = c == '[' && f->depth == 2 && !f->in_string && opens_items(&f->head);
	return 0;
}

/* One character within "items". 1: it completes an item. */
static int add_to_item(struct list_frame *f, struct err *err)
{
	size_t n = f->in.scanned - f->in.start;

	if (n > f->max)
		return err_say(err, EFBIG, "an item of more than %zu bytes", f->max);
	return f->depth == 2 && !f->in_string;
}

static int take_item(struct list_frame *f, cJSON **ret_item, struct err *err)
{
	size_t n = f->in.scanned - f->in.start;
	const char *text = stream_record(&f->in);

	f->in.start = f->in.scanned;
	if (tree_parse_json(text, n, ret_item, err) < 0)
		return err_wrap(err, "an item of %zu bytes", n);
	return 1;
}

int list_frame_next(struct list_frame *f, cJSON **ret_item, struct err *err)
{
	struct stream *in = &f->in;

	while (in->scanned < in->buf.len) {
		char c = in->buf.data[in->scanned++];
		bool between = f->in_items && f->depth == 2 && !f->in_string;
		int r;

		if (between && (c == ',' || is_space(c))) {
			in->start = in->scanned;
			continue;
		}
		if (between && c == ']')
			f->in_items = false;
		else if (between && c != '{')
			return err_say(err, EINVAL, "not a list: an item is no object");
		if (step(f, c) < 0)
			return err_say(err, EINVAL, "not a list: no JSON object");
		if (!f->in_items) {
			in->start = in->scanned;
			r = add_to_head(f, c, err);
		} else {
			r = add_to_item(f, err);
		}
		if (r < 0)
			return r;
		if (r > 0)
			return take_item(f, ret_item, err);
	}
	return 0;
}

int list_frame_finish(struct list_frame *frame, char **ret_version, char **ret_continue,
		      struct err *err)
{
	_cleanup_tree_ cJSON *head = NULL;
	const char *version, *next;

	if (frame->depth > 0 || frame->head.len == 0)
		return err_say(err, EINVAL, "the list breaks off");
	if (tree_parse_json(frame->head.data, frame->head.len, &head, err) < 0)
		return err_wrap(err, "the list around its items");
	version = tree_str_or_empty(head, "metadata.resourceVersion");
	next = tree_str_or_empty(head, "metadata.continue");
	if (!*version)
		return err_say(err, EINVAL, "not a list: metadata.resourceVersion is missing");
	*ret_version = xstrdup(version);
	*ret_continue = *next ? xstrdup(next) : NULL;
	return 0;
}
