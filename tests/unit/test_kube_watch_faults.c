/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "support/http_rig.h"

#define ERROR_410                                                                             \
	"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"message\":\"too " \
	"old\"}}\n"

static void test_continue_expires(void **state)
{
	(void)state;
	http_say_json(rig.server, "200 OK", LIST("10", "n", ITEM("a")));
	http_say_json(rig.server, "410 Gone", "{\"code\":410,\"reason\":\"Expired\"}");
	http_say_json(rig.server, "200 OK", LIST("12", "", ITEM("b")));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[+a[+b]");
	http_rig_run_asked(4);
	http_rig_asked(2, "GET /api/v1/x?limit=500 ");
	http_rig_asked(3, "&resourceVersion=12 ");
	assert_int_equal(kube_watch_stats(rig.watch).lists, 2);
}

/* The stream breaks off in the midst of an event: that event comes again. */
static void test_watch_breaks_off(void **state)
{
	(void)state;
	http_say_json(rig.server, "200 OK", LIST("10", "", ""));
	http_say_stream(rig.server, HTTP_CLOSE,
			EVENT("ADDED", "a", "11") "{\"type\":\"ADDED\",\"object\":{\"meta");
	http_say_stream(rig.server, HTTP_HANG, EVENT("ADDED", "b", "12"));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[]+a+b");
	http_rig_asked(2, "&resourceVersion=11 ");
	assert_int_equal(kube_watch_stats(rig.watch).errors, 1);
	assert_true(kube_watch_stats(rig.watch).synced);
}

static void test_version_expires(void **state)
{
	(void)state;
	http_say_json(rig.server, "200 OK", LIST("10", "", ITEM("a")));
	http_say_stream(rig.server, HTTP_HANG, ERROR_410);
	http_say_json(rig.server, "200 OK", LIST("20", "", ITEM("b")));
	http_say_json(rig.server, "410 Gone", "{\"code\":410}");
	http_say_json(rig.server, "200 OK", LIST("30", "", ITEM("c")));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[+a][+b][+c]");
	http_rig_run_asked(6);
	http_rig_asked(2, LIST_FROM_CACHE);
	http_rig_asked(4, "GET /api/v1/x?limit=500 "); /* the cache did not help */
	http_rig_asked(5, "&resourceVersion=30 ");
}

static void test_other_errors(void **state)
{
	(void)state;
	http_say_json(rig.server, "200 OK", LIST("10", "", ""));
	http_say_stream(rig.server, HTTP_HANG,
			EVENT("ADDED", "a", "11") "{\"type\":\"ERROR\",\"object\":{\"code\":500,"
						  "\"message\":\"etcd\"}}\n");
	http_say_json(rig.server, "429 Too Many Requests", "{}");
	http_say_json(rig.server, "503 Service Unavailable", "<html>");
	http_say_json(rig.server, "403 Forbidden", "{}");
	http_say_stream(rig.server, HTTP_HANG, "<html>\n");
	http_say_json(rig.server, "200 OK", LIST("20", "", ""));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[]+a[]");
	http_rig_run_asked(8);
	for (size_t i = 2; i < 6; i++)
		http_rig_asked(i, "&resourceVersion=11 ");
	http_rig_asked(6, LIST_FROM_CACHE);
	assert_int_equal(kube_watch_stats(rig.watch).errors, 5);
}

static void test_lists_that_fail(void **state)
{
	(void)state;
	http_say_json(rig.server, "403 Forbidden", "{\"message\":\"no\"}");
	http_say_json(rig.server, "200 OK",
		      "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[" ITEM("a"));
	http_say_json(rig.server, "200 OK", "<html>");
	http_say(rig.server, HTTP_CLOSE,
		 "HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n"
		 "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[" ITEM("b") ",");
	http_say_json(rig.server, "200 OK", LIST("10", "n", ITEM("c")));
	http_say_json(rig.server, "500 Internal Server Error", "{}");
	http_say_json(rig.server, "200 OK", LIST("10", "", ITEM("d")));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[+a[[+b[+c[+d]");
	http_rig_asked(6, LIST_FROM_CACHE);
	assert_int_equal(kube_watch_stats(rig.watch).errors, 5);
	assert_true(kube_watch_stats(rig.watch).synced);
}

/* An item of 8 MiB and more: not from the cache again, which ignores the limit, then with a smaller limit. */
static void test_list_ceiling(void **state)
{
	_cleanup_free_ char *body = xasprintf("{\"items\":[{\"a\":\"%0*d", 9 << 20, 0);

	(void)state;
	for (int i = 0; i < 3; i++)
		http_say_json(rig.server, "200 OK", body);
	http_say_json(rig.server, "200 OK", LIST("20", "", ITEM("a")));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[[[[+a]");
	http_rig_asked(0, LIST_FROM_CACHE);
	http_rig_asked(1, "GET /api/v1/x?limit=500 ");
	http_rig_asked(2, "GET /api/v1/x?limit=250 ");
	http_rig_asked(3, "GET /api/v1/x?limit=125 ");
	assert_int_equal(kube_watch_stats(rig.watch).errors, 3);
}

static void test_server_goes_and_comes(void **state)
{
	int port = http_server_port(rig.server);

	(void)state;
	http_say_json(rig.server, "200 OK", LIST("10", "", ""));
	http_say_stream(rig.server, HTTP_HANG, EVENT("ADDED", "a", "11"));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[]+a");
	http_server_free(rig.server);
	for (int i = 0; i < 500 && kube_watch_stats(rig.watch).errors < 3; i++)
		http_rig_run(10);
	assert_true(kube_watch_stats(rig.watch).errors >= 3);
	assert_false(kube_watch_stats(rig.watch).synced);
	rig.server = http_server_new(port);
	http_say_stream(rig.server, HTTP_HANG, EVENT("ADDED", "b", "12"));
	http_rig_run_until("[]+a+b");
	http_rig_asked(0, "&resourceVersion=11 ");
	assert_true(kube_watch_stats(rig.watch).synced);
}

/* A version the server knows nothing of: 200, nothing, the end. No storm, and the third time a new list. */
static void test_empty_streams(void **state)
{
	uint64_t begin_ns = clock_mono_ns();

	(void)state;
	/* Three waits of 0 to 150 ms together are below 5 ms once in 160,000 times. */
	kube_timing.backoff_first_ms = kube_timing.backoff_max_ms = 150;
	http_say_json(rig.server, "200 OK", LIST("10", "", ""));
	for (int i = 0; i < 3; i++)
		http_say_stream(rig.server, HTTP_KEEP, "");
	http_say_json(rig.server, "200 OK", LIST("20", "", ITEM("a")));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[][+a]");
	http_rig_asked(1, "&resourceVersion=10 ");
	http_rig_asked(3, "&resourceVersion=10 ");
	http_rig_asked(4, LIST_FROM_CACHE);
	assert_true(clock_mono_ns() - begin_ns >= 5 * NSEC_PER_MSEC);
}

static void test_silent_stream(void **state)
{
	(void)state;
	kube_timing.header_ms = 150;
	http_say_json(rig.server, "200 OK", LIST("10", "", ""));
	http_say(rig.server, HTTP_HANG, "%s", ""); /* accepted by the kernel, never answered */
	http_say_stream(rig.server, HTTP_HANG, EVENT("ADDED", "a", "11"));
	http_rig_connect();
	http_rig_watch();
	http_rig_run_until("[]+a");
	http_rig_asked(2, "&resourceVersion=10 ");
	assert_int_equal(kube_watch_stats(rig.watch).errors, 1);
	http_rig_run(200); /* once accepted, silence is no fault */
	assert_int_equal(kube_watch_stats(rig.watch).errors, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		http_rig_test(test_continue_expires),	   http_rig_test(test_watch_breaks_off),
		http_rig_test(test_version_expires),	   http_rig_test(test_other_errors),
		http_rig_test(test_lists_that_fail),	   http_rig_test(test_list_ceiling),
		http_rig_test(test_server_goes_and_comes), http_rig_test(test_empty_streams),
		http_rig_test(test_silent_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
