/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "support/http_rig.h"

static void test_list_and_watch(void **state)
{
	struct kube_watch_stats stats;

	(void)state;
	http_say_json(rig.server, "200 OK", LIST("10", "n+1", ITEM("a") "," ITEM("b")));
	http_say_json(rig.server, "200 OK", LIST("10", "", ITEM("c")));
	http_say_stream(rig.server, HTTP_HANG,
			EVENT("ADDED", "d", "11") EVENT("MODIFIED", "a", "12")
				EVENT("DELETED", "b", "13") EVENT("BOOKMARK", "", "20"));
	http_rig_connect();
	http_rig_watch();
	assert_false(kube_watch_stats(rig.watch).synced);
	http_rig_run_until("[+a+b+c]+d+a-b");
	http_rig_asked(0, LIST_FROM_CACHE);
	http_rig_asked(0, "\r\nAccept: application/json\r\n");
	http_rig_asked(1, "GET /api/v1/x?limit=500&continue=n%2B1 ");
	http_rig_asked(2, "GET /api/v1/x?watch=true&allowWatchBookmarks=true&timeoutSeconds=");
	http_rig_asked(2, "&resourceVersion=10 ");
	stats = kube_watch_stats(rig.watch);
	assert_true(stats.synced);
	assert_int_equal(stats.lists, 1);
	assert_int_equal(stats.watches, 1);
	assert_int_equal(stats.events, 3);
	assert_int_equal(stats.errors, 0);
	/* The lists' connection is the watch's. */
	assert_int_equal(http_connections(rig.server), 1);
}

static void test_metadata_only(void **state)
{
	const struct kube_watch_opts opts = {
		.path = "/api/v1/x",
		.field_selector = "a%3Db",
		.metadata_only = true,
		.fns = {.upsert = http_rig_watch_fns.upsert},
	};

	(void)state;
	http_say_json(rig.server, "200 OK", LIST("10", "", ITEM("a")));
	http_say_stream(rig.server, HTTP_HANG,
			EVENT("DELETED", "a", "11") EVENT("ADDED", "b", "11"));
	http_rig_connect();
	rig.watch = kube_watch_new(rig.client, &opts);
	http_rig_run_until("+a+b"); /* the other callbacks are NULL */
	http_rig_asked(0, "&fieldSelector=a%3Db ");
	http_rig_asked(
		0,
		"\r\nAccept: application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1\r\n");
	http_rig_asked(1, "&fieldSelector=a%3Db ");
	http_rig_asked(
		1, "\r\nAccept: application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1\r\n");
}

static void test_events_in_pieces(void **state)
{
	(void)state;
	http_set_piece(rig.server, 7);
	http_say_json(rig.server, "200 OK", LIST("10", "", ITEM("a") "," ITEM("b")));
	http_say_stream(rig.server, HTTP_HANG,
			EVENT("ADDED", "c", "11") EVENT("DELETED", "a", "12"));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[+a+b]+c-a");
}

static void test_watch_ends(void **state)
{
	(void)state;
	http_say_json(rig.server, "200 OK", LIST("10", "", ""));
	http_say_stream(rig.server, HTTP_KEEP, EVENT("ADDED", "a", "11"));
	http_say_stream(rig.server, HTTP_KEEP,
			EVENT("ADDED", "b", "12") EVENT("BOOKMARK", "", "15"));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[]+a+b");
	http_rig_run_asked(4);
	http_rig_asked(2, "&resourceVersion=11 ");
	http_rig_asked(3, "&resourceVersion=15 ");
	assert_int_equal(kube_watch_stats(rig.watch).lists, 1);
	assert_int_equal(kube_watch_stats(rig.watch).errors, 0);
	assert_int_equal(http_connections(rig.server), 1);
}

/* An event of 8 MiB and more: the stream is given up, not memory. */
static void test_line_ceiling(void **state)
{
	_cleanup_free_ char *line = xmalloc((9 << 20) + 1);

	(void)state;
	memset(line, 'x', 9 << 20);
	line[9 << 20] = '\0';
	http_say_json(rig.server, "200 OK", LIST("10", "", ""));
	http_say_stream(rig.server, HTTP_HANG, line);
	http_say_json(rig.server, "200 OK", LIST("20", "", ITEM("a")));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[][+a]");
	assert_int_equal(kube_watch_stats(rig.watch).errors, 1);
}

/* Each time the token expires, not the first time alone; without backing off, which would take minutes here. */
static void test_token_is_read_again(void **state)
{
	char path[] = "/tmp/memdiag-token-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0 && write(fd, "one", 3) == 3);
	rig.config.token_file = xstrdup(path);
	kube_timing.backoff_first_ms = kube_timing.backoff_max_ms = 600000;
	http_say_json(rig.server, "401 Unauthorized", "{}");
	http_say_json(rig.server, "200 OK", LIST("10", "", ""));
	http_say_stream(rig.server, HTTP_KEEP, EVENT("ADDED", "a", "11"));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[]+a");
	http_rig_run_asked(4); /* the next watch waits for its answer, with the old token */
	assert_true(pwrite(fd, "two", 3, 0) == 3);
	kube_watch_free(rig.watch);
	buf_clear(&rig.said);
	http_say_json(rig.server, "200 OK", LIST("10", "", ""));
	http_say_json(rig.server, "401 Unauthorized", "{}");
	http_say_stream(rig.server, HTTP_KEEP, EVENT("ADDED", "b", "12"));
	http_say_json(rig.server, "401 Unauthorized", "{}");
	http_say_stream(rig.server, HTTP_KEEP, EVENT("ADDED", "c", "13"));
	http_rig_watch();
	http_rig_run_until("[]+b+c");
	http_rig_asked(5, "Authorization: Bearer one\r\n");
	http_rig_asked(6, "Authorization: Bearer two\r\n");
	assert_int_equal(kube_watch_stats(rig.watch).lists, 1);
	close(fd);
	(void)unlink(path);
}

static void on_upsert_free(void *arg, const cJSON *object)
{
	http_rig_say("+", object);
	if (strcmp(tree_str_or_empty(object, "metadata.name"), arg) != 0)
		return;
	kube_watch_free(rig.watch);
	rig.watch = NULL;
	loop_stop(rig.loop);
}

/* Freed from its own callback, in the list and in the stream, with more to come. */
static void test_free_in_callback(void **state)
{
	struct kube_watch_opts opts = {
		.path = "/api/v1/x",
		.fns = http_rig_watch_fns,
	};

	(void)state;
	opts.fns.upsert = on_upsert_free;
	http_rig_connect();
	for (int i = 0; i < 2; i++) {
		opts.arg = i == 0 ? "a" : "c";
		buf_clear(&rig.said);
		http_say_json(rig.server, "200 OK", LIST("10", "", ITEM("a") "," ITEM("b")));
		if (i == 1)
			http_say_stream(rig.server, HTTP_HANG,
					EVENT("ADDED", "c", "11") EVENT("ADDED", "d", "11"));
		rig.watch = kube_watch_new(rig.client, &opts);
		http_rig_run(5000);
		assert_null(rig.watch);
		assert_string_equal(rig.said.data, i == 0 ? "[+a" : "[+a+b]+c");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		http_rig_test(test_list_and_watch),   http_rig_test(test_metadata_only),
		http_rig_test(test_events_in_pieces), http_rig_test(test_watch_ends),
		http_rig_test(test_line_ceiling),     http_rig_test(test_token_is_read_again),
		http_rig_test(test_free_in_callback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
