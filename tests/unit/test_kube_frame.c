/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "kube/list_frame.h"
#include "kube/watch_frame.h"

/* As a 1.36 server sends it, with line ends and blank lines that proxies add. */
static const char stream_text[] =
	"{\"type\":\"ADDED\",\"object\":{\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\\n{"
	"\\\"\","
	"\"resourceVersion\":\"101\"},\"data\":{\"x\":\"}\"}}}\n"
	"\n\r\n"
	"{\"type\":\"MODIFIED\",\"object\":{\"metadata\":{\"name\":\"b\",\"resourceVersion\":"
	"\"102\"}}}\r\n"
	"{\"type\":\"LATER\",\"object\":{\"metadata\":{\"name\":\"?\",\"resourceVersion\":\"103\"}}"
	"}\n"
	"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"104\"}}}\n"
	"{\"type\":\"DELETED\",\"object\":{\"metadata\":{\"name\":\"b\",\"resourceVersion\":"
	"\"105\"}}}\n"
	"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"message\":\"too old "
	"resource version: 1 (2)\"}}\n"
	"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":500,\"message\":\"etcd is "
	"away\"}}\n"
	"{\"type\":\"ADDED\",\"obj";

static const char stream_events[] = "U a\n{\" 101|U b 102|K  104|D b 105|"
				    "G ERROR 410: too old resource version: 1 (2)|"
				    "E ERROR 500: etcd is away|";

/* Appends what the frame has to offer, as text. */
static enum watch_kind drain(struct watch_frame *frame, struct buf *out)
{
	static const char letters[] = "NUDKGEB";
	struct watch_event event;

	do {
		watch_frame_next(frame, &event);
		if (event.kind >= WATCH_GONE)
			(void)buf_printf(out, "%c %s|", letters[event.kind], event.err.msg);
		else if (event.kind != WATCH_NONE)
			(void)buf_printf(out, "%c %s %s|", letters[event.kind],
					 tree_str_or_empty(event.object, "metadata.name"),
					 event.version);
		watch_event_done(&event);
	} while (event.kind != WATCH_NONE && event.kind != WATCH_BAD);
	return event.kind;
}

static void test_events_at_every_split(void **state)
{
	size_t n = sizeof(stream_text) - 1;

	(void)state;
	for (size_t split = 0; split <= n; split++) {
		_cleanup_buf_ struct buf out = BUF_INIT(4096);
		struct watch_frame frame;

		watch_frame_init(&frame, 4096);
		assert_int_equal(watch_frame_push(&frame, stream_text, split), 0);
		assert_int_equal(drain(&frame, &out), WATCH_NONE);
		assert_int_equal(watch_frame_push(&frame, stream_text + split, n - split), 0);
		assert_int_equal(drain(&frame, &out), WATCH_NONE);
		assert_string_equal(out.data, stream_events);
		watch_frame_done(&frame);
	}
}

static void test_events_byte_by_byte(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(4096);
	struct watch_frame frame;

	(void)state;
	watch_frame_init(&frame, 4096);
	for (size_t i = 0; i < sizeof(stream_text) - 1; i++) {
		assert_int_equal(watch_frame_push(&frame, stream_text + i, 1), 0);
		assert_int_equal(drain(&frame, &out), WATCH_NONE);
	}
	assert_string_equal(out.data, stream_events);
	/* The broken-off event is not carried into the next stream. */
	watch_frame_clear(&frame);
	buf_clear(&out);
	assert_int_equal(watch_frame_push(&frame, stream_text, sizeof(stream_text) - 1), 0);
	assert_int_equal(drain(&frame, &out), WATCH_NONE);
	assert_string_equal(out.data, stream_events);
	watch_frame_done(&frame);
}

static void test_bad_lines(void **state)
{
	static const char *const lines[] = {
		"<html>\n", "{\"type\":\"ADDED\"}\n", "[]\n",
		"{}{}\n",   "{\"object\":{}}\n",      "{\"type\":\"ADDED\",\"object\":1}\n"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		_cleanup_buf_ struct buf out = BUF_INIT(4096);
		struct watch_frame frame;

		watch_frame_init(&frame, 4096);
		assert_int_equal(watch_frame_push(&frame, lines[i], strlen(lines[i])), 0);
		if (drain(&frame, &out) != WATCH_BAD)
			fail_msg("%s is taken for an event", lines[i]);
		watch_frame_done(&frame);
	}
}

/* An event of exactly max bytes passes; one byte more does not, whole or in pieces, with or without its end. */
static void test_line_ceiling(void **state)
{
	static const char event[] =
		"{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"name\":\"a\"}}}";
	size_t n = sizeof(event) - 1;

	(void)state;
	for (size_t max = n - 1; max <= n; max++) {
		for (size_t piece = 1; piece <= n + 1; piece += n) {
			_cleanup_buf_ struct buf out = BUF_INIT(4096);
			enum watch_kind kind = WATCH_NONE;
			struct watch_frame frame;
			_cleanup_free_ char *line = xasprintf("%s\n", event);

			watch_frame_init(&frame, max);
			for (size_t at = 0; at < n + 1 && kind == WATCH_NONE; at += piece) {
				assert_int_equal(watch_frame_push(&frame, line + at, piece), 0);
				kind = drain(&frame, &out);
			}
			assert_int_equal(kind, max == n ? WATCH_NONE : WATCH_BAD);
			assert_true(!strncmp(out.data, max == n ? "U a" : "B a line of more", 3));
			watch_frame_done(&frame);
		}
	}
}

/* Many events in one piece, and a long stream: memory stays within the ceiling and goes back. */
static void test_stream_memory(void **state)
{
	static const char line[] =
		"{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\"}}}\n";
	_cleanup_buf_ struct buf many = BUF_INIT(1 << 20);
	struct watch_frame frame;
	struct watch_event event;
	size_t taken = 0, cap;

	(void)state;
	while (buf_append(&many, line, sizeof(line) - 1) == 0)
		;
	watch_frame_init(&frame, KUBE_RECORD_MAX);
	for (int round = 0; round < 20; round++) {
		/* Odd pieces, so that a partial line is always left over. */
		for (size_t at = 0; at < many.len; at += 16384) {
			size_t n = many.len - at < 16384 ? many.len - at : 16384;

			assert_int_equal(watch_frame_push(&frame, many.data + at, n), 0);
			for (watch_frame_next(&frame, &event); event.kind == WATCH_BOOKMARK;
			     watch_frame_next(&frame, &event)) {
				watch_event_done(&event);
				taken++;
			}
		}
	}
	assert_int_equal(taken, 20 * (many.len / (sizeof(line) - 1)));
	assert_true(frame.in.buf.cap <= 64 << 10);
	assert_int_equal(watch_frame_push(&frame, many.data, many.len), 0);
	cap = frame.in.buf.cap;
	watch_frame_clear(&frame);
	assert_true(cap >= many.len && frame.in.buf.cap <= 64 << 10);
	watch_frame_done(&frame);
}

static const char list_text[] =
	"{\"kind\":\"ConfigMapList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":"
	"\"42\","
	"\"continue\":\"eyJ2\\\"[{\",\"items\":[1]},\n\"other\":[[],{}],\"items\" : [ "
	"{\"metadata\":{\"name\":\"a]\\\\\"},\"items\":[{\"items\":[2]}]},\n"
	"{\"metadata\":{\"name\":\"}b\"}} ,{\"metadata\":{\"name\":\"c\"}}\r\n]}\n";

static void drain_list(struct list_frame *frame, struct buf *out)
{
	struct err err = {0};
	cJSON *item;
	int r;

	while ((r = list_frame_next(frame, &item, &err)) > 0) {
		(void)buf_printf(out, "%s|", tree_str_or_empty(item, "metadata.name"));
		cJSON_Delete(item);
	}
	if (r < 0)
		fail_msg("%s", err.msg);
}

static void test_list_at_every_split(void **state)
{
	size_t n = sizeof(list_text) - 1;
	struct list_frame frame;

	(void)state;
	list_frame_init(&frame, 4096);
	for (size_t split = 0; split <= n; split++) {
		_cleanup_free_ char *version = NULL, *next = NULL;
		_cleanup_buf_ struct buf out = BUF_INIT(4096);
		struct err err = {0};

		list_frame_clear(&frame);
		assert_int_equal(list_frame_push(&frame, list_text, split), 0);
		drain_list(&frame, &out);
		if (split < n - 1) {
			assert_int_equal(list_frame_finish(&frame, &version, &next, &err), -EINVAL);
			assert_null(version);
		}
		assert_int_equal(list_frame_push(&frame, list_text + split, n - split), 0);
		drain_list(&frame, &out);
		assert_string_equal(out.data, "a]\\|}b|c|");
		assert_int_equal(list_frame_finish(&frame, &version, &next, &err), 0);
		assert_string_equal(version, "42");
		assert_string_equal(next, "eyJ2\"[{");
	}
	list_frame_done(&frame);
}

/* What is no list must not pass for an empty one: everything known would be dropped. */
static void test_no_lists(void **state)
{
	static const char *const texts[] = {
		"",
		"<!doctype html><html></html>",
		"[]",
		"{}",
		"{\"metadata\":{}}",
		"{\"metadata\":{\"resourceVersion\":\"\"},\"items\":[]}",
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[1]}",
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{]}]}",
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{}]}}",
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{}]} x",
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{}]",
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"a\":}]}",
		"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{"
		"\"123456789012345678901234567890"
		"12345678901234567890123456789012345678901234567890\":1}]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		char *version = NULL, *next = NULL;
		struct list_frame frame;
		struct err err = {0};
		cJSON *item;
		int r;

		list_frame_init(&frame, 64);
		assert_int_equal(list_frame_push(&frame, texts[i], strlen(texts[i])), 0);
		while ((r = list_frame_next(&frame, &item, &err)) > 0)
			cJSON_Delete(item);
		if (r == 0 && list_frame_finish(&frame, &version, &next, &err) == 0)
			fail_msg("taken for a list: %s", texts[i]);
		assert_true(err.msg[0] != '\0');
		list_frame_done(&frame);
	}
}

static void test_empty_lists(void **state)
{
	static const char *const texts[] = {
		"{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[]}",
		"{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":null}",
		"{\"items\":[\n],\"metadata\":{\"resourceVersion\":\"9\",\"continue\":\"\"}}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		_cleanup_free_ char *version = NULL, *next = NULL;
		_cleanup_buf_ struct buf out = BUF_INIT(64);
		struct list_frame frame;
		struct err err = {0};

		list_frame_init(&frame, 64);
		assert_int_equal(list_frame_push(&frame, texts[i], strlen(texts[i])), 0);
		drain_list(&frame, &out);
		assert_int_equal(out.len, 0);
		assert_int_equal(list_frame_finish(&frame, &version, &next, &err), 0);
		assert_string_equal(version, "9");
		assert_null(next);
		list_frame_done(&frame);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events_at_every_split),
		cmocka_unit_test(test_events_byte_by_byte),
		cmocka_unit_test(test_bad_lines),
		cmocka_unit_test(test_line_ceiling),
		cmocka_unit_test(test_stream_memory),
		cmocka_unit_test(test_list_at_every_split),
		cmocka_unit_test(test_no_lists),
		cmocka_unit_test(test_empty_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
