/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "support/http_rig.h"

static void test_status_404(void **state)
{
	(void)state;
	http_rig_connect();
	http_say_json(rig.server, "404 Not Found",
		      "{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"nodes \\\"a\\\" "
		      "not found\","
		      "\"reason\":\"NotFound\",\"code\":404}");
	http_rig_get("/x");
	http_rig_run_answers(1);
	assert_int_equal(rig.seen.status, 404);
	assert_string_equal(rig.seen.error, "nodes \"a\" not found");
	assert_string_equal(rig.seen.reason, "NotFound");
	assert_false(rig.seen.retryable);
	assert_int_equal(kube_client_stats(rig.client).failures, 1);
}

static void test_throttled(void **state)
{
	(void)state;
	http_rig_connect();
	http_say_json(rig.server, "503 Service Unavailable\r\nRetry-After: 99999999999", "");
	http_rig_get("/y");
	http_say_json(rig.server, "429 Too Many Requests\r\nRetry-After: 7",
		      "{\"message\":\"slow down\"}");
	http_rig_get("/x");
	http_rig_run_answers(1);
	assert_int_equal(rig.seen.status, 503);
	assert_int_equal(rig.seen.retry_after_ms, 300000); /* ceiling */
	http_rig_run_answers(2);
	assert_int_equal(rig.seen.status, 429);
	assert_int_equal(rig.seen.retry_after_ms, 7000);
	assert_true(rig.seen.retryable);
	assert_int_equal(kube_client_stats(rig.client).throttled, 1);
}

/* After a 429 nothing is sent for a while but what is urgent, and that goes first. */
static void test_pause(void **state)
{
	const struct kube_request_opts urgent = {
		.method = "GET", .path = "/urgent", .urgent = true};
	uint64_t start;

	(void)state;
	kube_timing.pause_ms = 200;
	http_rig_connect();
	http_say_json(rig.server, "429 Too Many Requests", "{}");
	http_rig_get("/x");
	http_rig_run_answers(1);
	start = clock_mono_ns();
	http_say_json(rig.server, "200 OK", "{}");
	http_say_json(rig.server, "200 OK", "{}");
	http_rig_get("/y");
	(void)kube_request(rig.client, &urgent, http_rig_on_answer, NULL);
	http_rig_run_answers(3);
	assert_true(clock_mono_ns() - start >= 190 * NSEC_PER_MSEC);
	http_rig_asked(1, "GET /urgent ");
	http_rig_asked(2, "GET /y ");
}

/* Nor do requests that hang, however many. */
static void test_urgent_passes_what_hangs(void **state)
{
	const struct kube_request_opts urgent = {
		.method = "GET", .path = "/urgent", .urgent = true};

	(void)state;
	kube_timing.queue_ms = 10;
	http_rig_connect();
	for (int i = 0; i < 4; i++)
		http_say(rig.server, HTTP_HANG, "%s", "");
	for (int i = 0; i < 8; i++)
		http_rig_get("/stuck");
	http_rig_run_asked(4);
	http_say_json(rig.server, "200 OK", "{}");
	(void)kube_request(rig.client, &urgent, http_rig_on_answer, NULL);
	http_rig_run_answers(1);
	assert_int_equal(rig.seen.status, 200);
	http_rig_asked(4, "GET /urgent ");
	assert_int_equal(http_requests(rig.server), 5);
}

static void test_broken_answers(void **state)
{
	static const struct {
		enum http_then then;
		const char *text, *error;
	} cases[] = {
		{HTTP_KEEP,
		 "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>",
		 "HTML"},
		{HTTP_KEEP, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{\"a\"", "broken body"},
		{HTTP_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n{\"a\"", "closed"},
		{HTTP_CLOSE,
		 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"a\":\r\n", ""},
		{HTTP_CLOSE, "", ""},
		{HTTP_CLOSE, "SSH-2.0-x\r\n\r\n", ""},
	};

	(void)state;
	http_rig_connect();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		http_say(rig.server, cases[i].then, "%s", cases[i].text);
		http_rig_get("/x");
		http_rig_run_answers((unsigned int)i + 1);
		assert_int_equal(rig.seen.status, 0);
		assert_null(rig.seen.body);
		assert_true(rig.seen.retryable);
		if (!*rig.seen.error || !strstr(rig.seen.error, cases[i].error) ||
		    strchr(rig.seen.error, '\n'))
			fail_msg("case %zu: \"%s\"", i, rig.seen.error);
	}
}

static void test_body_ceiling(void **state)
{
	static const char body[] = "{\"a\":\"0123456789\"}";
	struct kube_request_opts opts = {
		.method = "GET", .path = "/x", .max_response = sizeof(body) - 1};

	(void)state;
	http_rig_connect();
	http_say_json(rig.server, "200 OK", body);
	(void)kube_request(rig.client, &opts, http_rig_on_answer, NULL);
	http_rig_run_answers(1);
	assert_int_equal(rig.seen.status, 200);
	opts.max_response--;
	http_say_json(rig.server, "200 OK", body);
	(void)kube_request(rig.client, &opts, http_rig_on_answer, NULL);
	http_rig_run_answers(2);
	assert_int_equal(rig.seen.status, 0);
	assert_non_null(strstr(rig.seen.error, "more than 17 bytes"));
	assert_false(rig.seen.retryable); /* it would be as large again */
}

static void test_no_answer(void **state)
{
	const struct kube_request_opts opts = {.method = "GET", .path = "/x", .timeout_ms = 50};
	uint64_t begin_ns = clock_mono_ns();

	(void)state;
	http_rig_connect();
	http_say(rig.server, HTTP_HANG, "%s", "");
	(void)kube_request(rig.client, &opts, http_rig_on_answer, NULL);
	http_rig_run_answers(1);
	assert_int_equal(rig.seen.status, 0);
	assert_true(rig.seen.retryable);
	assert_non_null(strstr(rig.seen.error, "imed out"));
	assert_true(clock_mono_ns() - begin_ns < 3 * NSEC_PER_SEC);
}

static void test_refused_connection(void **state)
{
	(void)state;
	http_rig_connect();
	http_server_free(rig.server);
	http_rig_get("/x");
	http_rig_run_answers(1);
	assert_int_equal(rig.seen.status, 0);
	assert_non_null(strstr(rig.seen.error, "connect"));
	rig.server = http_server_new(0); /* for teardown */
}

static void write_token(const char *text)
{
	FILE *file = fopen(rig.config.token_file, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void test_token_file(void **state)
{
	char path[] = "/tmp/memdiag-token-XXXXXX";

	(void)state;
	assert_true(close(mkstemp(path)) == 0);
	rig.config.token_file = xstrdup(path);
	http_rig_connect();
	write_token("one\n");
	http_say_json(rig.server, "200 OK", "{}");
	http_rig_get("/a");
	http_rig_run_answers(1);
	http_rig_asked(0, "\r\nAuthorization: Bearer one\r\n");
	/* Rotated: noticed by the 401, which the caller does not see. */
	write_token("two");
	http_say_json(rig.server, "401 Unauthorized", "{}");
	http_say_json(rig.server, "200 OK", "{}");
	http_rig_get("/b");
	http_rig_run_answers(2);
	assert_int_equal(rig.seen.status, 200);
	http_rig_asked(1, "\r\nAuthorization: Bearer one\r\n");
	http_rig_asked(2, "\r\nAuthorization: Bearer two\r\n");
	/* A second 401 is the answer. */
	http_say_json(rig.server, "401 Unauthorized", "{\"message\":\"Unauthorized\"}");
	http_say_json(rig.server, "401 Unauthorized", "{\"message\":\"Unauthorized\"}");
	http_rig_get("/c");
	http_rig_run_answers(3);
	assert_int_equal(rig.seen.status, 401);
	assert_int_equal(http_requests(rig.server), 5);
	/* Read again after a while, also without a 401; what is no token leaves the old one. */
	kube_timing.token_ms = 0;
	write_token("three");
	http_say_json(rig.server, "200 OK", "{}");
	http_rig_get("/d");
	http_rig_run_answers(4);
	http_rig_asked(5, "\r\nAuthorization: Bearer three\r\n");
	write_token("four\r\nX-Evil: 1");
	http_say_json(rig.server, "200 OK", "{}");
	http_rig_get("/e");
	http_rig_run_answers(5);
	http_rig_asked(6, "\r\nAuthorization: Bearer three\r\n");
	(void)unlink(path);
}

static void test_missing_token(void **state)
{
	(void)state;
	rig.config.token_file = xstrdup("/nowhere/token");
	http_rig_connect();
	http_rig_get("/a");
	http_rig_get("/b");
	http_rig_run_answers(2);
	assert_int_equal(rig.seen.status, 0);
	assert_non_null(strstr(rig.seen.error, "/nowhere/token"));
	assert_int_equal(http_requests(rig.server), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		http_rig_test(test_status_404),	    http_rig_test(test_throttled),
		http_rig_test(test_pause),	    http_rig_test(test_urgent_passes_what_hangs),
		http_rig_test(test_broken_answers), http_rig_test(test_body_ceiling),
		http_rig_test(test_no_answer),	    http_rig_test(test_refused_connection),
		http_rig_test(test_token_file),	    http_rig_test(test_missing_token),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
