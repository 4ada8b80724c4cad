/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "support/http_rig.h"

static void test_get(void **state)
{
	(void)state;
	http_rig_connect();
	http_say_json(rig.server, "200 OK", "{\"kind\":\"X\"}");
	http_rig_get("/api/v1/nodes/a%2Fb?x=y");
	assert_int_equal(rig.seen.answers, 0); /* never from within the call */
	http_rig_run_answers(1);
	assert_int_equal(rig.seen.status, 200);
	assert_string_equal(rig.seen.body, "{\"kind\":\"X\"}");
	assert_string_equal(rig.seen.error, "");
	http_rig_asked(0, "GET /api/v1/nodes/a%2Fb?x=y HTTP/1.1\r\n");
	http_rig_asked(0, "\r\nAccept: application/json\r\n");
	http_rig_asked(0, "\r\nUser-Agent: memdiag/test\r\n");
	assert_null(strstr(http_request(rig.server, 0), "Authorization"));
	assert_null(strstr(http_request(rig.server, 0), "Expect"));
}

static void test_methods(void **state)
{
	static const struct kube_request_opts opts[] = {
		{.method = "PATCH",
		 .path = "/p",
		 .content_type = "application/x",
		 .body = "{\"a\":1}"},
		{.method = "DELETE", .path = "/d"},
		{.method = "POST", .path = "/o"},
		{.method = "PUT", .path = "/u", .content_type = "application/json", .body = "{}"},
		{.method = "GET", .path = "/g", .accept = "application/y"},
	};

	(void)state;
	http_rig_connect();
	for (size_t i = 0; i < ARRAY_SIZE(opts); i++) {
		http_say_json(rig.server, "200 OK", "{}");
		(void)kube_request(rig.client, &opts[i], http_rig_on_answer, NULL);
	}
	http_rig_run_answers(ARRAY_SIZE(opts));
	http_rig_asked(0, "PATCH /p ");
	http_rig_asked(0, "\r\nContent-Type: application/x\r\n");
	http_rig_asked(0, "\r\n\r\n{\"a\":1}");
	http_rig_asked(1, "DELETE /d ");
	assert_null(strstr(http_request(rig.server, 1), "Content-"));
	http_rig_asked(2, "POST /o ");
	http_rig_asked(2, "\r\nContent-Length: 0\r\n");
	http_rig_asked(3, "PUT /u ");
	http_rig_asked(3, "\r\n\r\n{}");
	http_rig_asked(4, "GET /g ");
	http_rig_asked(4, "\r\nAccept: application/y\r\n");
	assert_null(strstr(http_request(rig.server, 4), "Content-"));
	/* In order, over the one connection. */
	assert_int_equal(http_connections(rig.server), 1);
	assert_int_equal(kube_client_stats(rig.client).requests, ARRAY_SIZE(opts));
	assert_int_equal(kube_client_stats(rig.client).failures, 0);
}

/* A request that hangs holds the others up for queue_ms alone; their connections are not kept. */
static void test_stuck_request(void **state)
{
	(void)state;
	kube_timing.queue_ms = 30;
	http_rig_connect();
	http_say(rig.server, HTTP_HANG, "%s", "");
	http_say(rig.server, HTTP_KEEP, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
	http_rig_get("/stuck");
	http_rig_get("/next");
	http_rig_run_answers(1);
	assert_int_equal(rig.seen.status, 200);
	http_rig_asked(1, "GET /next ");
	assert_int_equal(http_connections(rig.server), 2);
	/* Freeing the client ends the other one without an answer. */
	kube_client_free(rig.client);
	rig.client = NULL;
	assert_int_equal(rig.seen.answers, 1);
}

static struct kube_request *to_cancel;

static void on_cancel_other(void *arg, const struct kube_response *response)
{
	kube_request_cancel(to_cancel);
	http_rig_on_answer(arg, response);
}

static void test_cancel(void **state)
{
	const struct kube_request_opts opts = {.method = "GET", .path = "/x"};
	struct kube_request *waiting;

	(void)state;
	http_rig_connect();
	http_say_json(rig.server, "200 OK", "{}");
	http_say_json(rig.server, "200 OK", "{}");
	waiting = kube_request(rig.client, &opts, http_rig_on_answer, NULL);
	(void)kube_request(rig.client, &opts, on_cancel_other, NULL);
	to_cancel = kube_request(rig.client, &opts, http_rig_on_answer, NULL);
	kube_request_cancel(waiting);
	kube_request_cancel(NULL);
	(void)kube_request(rig.client, &opts, http_rig_on_answer, NULL);
	http_rig_run_answers(2);
	assert_int_equal(http_requests(rig.server), 2);
}

/* Frees the client from its own callback, with more requests waiting. */
static void on_free_client(void *arg, const struct kube_response *response)
{
	kube_client_free(rig.client);
	rig.client = NULL;
	http_rig_on_answer(arg, response);
}

static void test_free_in_callback(void **state)
{
	const struct kube_request_opts opts = {.method = "GET", .path = "/x"};

	(void)state;
	http_rig_connect();
	http_say_json(rig.server, "200 OK", "{}");
	(void)kube_request(rig.client, &opts, on_free_client, NULL);
	(void)kube_request(rig.client, &opts, http_rig_on_answer, NULL);
	http_rig_run_answers(1);
	assert_string_equal(rig.seen.error, "");
}

static void test_apply(void **state)
{
	_cleanup_tree_ cJSON *object = cJSON_CreateObject();

	(void)state;
	/* What YAML refuses or changes, raw in a string: DEL, U+0085, U+FFFE, and what must stay. */
	cJSON_AddStringToObject(object, "a", "x\x7f\xc2\x85y\xef\xbf\xbe/\xc3\xa4\xf0\x9f\x90\xa7");
	http_rig_connect();
	http_say_json(rig.server, "200 OK", "{}");
	http_say_json(rig.server, "200 OK", "{}");
	(void)kube_apply(rig.client, "/x", "memdiag agent", object, http_rig_on_answer, NULL);
	(void)kube_apply(rig.client, "/x?dryRun=All", "m", object, http_rig_on_answer, NULL);
	http_rig_run_answers(2);
	http_rig_asked(0, "PATCH /x?fieldManager=memdiag%20agent&force=true HTTP/1.1\r\n");
	http_rig_asked(0, "\r\nContent-Type: application/apply-patch+yaml\r\n");
	http_rig_asked(0, "\r\n\r\n{\"a\":\"x\\u007f\\u0085y\\ufffe/\xc3\xa4\xf0\x9f\x90\xa7\"}");
	http_rig_asked(1, "PATCH /x?dryRun=All&fieldManager=m&force=true ");
}

static void test_user_agent(void **state)
{
	struct err err = {0};

	(void)state;
	rig.config.server = xstrdup("http://127.0.0.1:1");
	assert_int_equal(kube_client_new(rig.loop, &rig.config, "curl/8", &rig.client, &err),
			 -EINVAL);
	assert_null(rig.client);
}

static void test_queue_ceiling(void **state)
{
	(void)state;
	http_rig_connect();
	for (int i = 0; i < 1030; i++)
		http_rig_get("/x");
	http_rig_run_answers(6);
	assert_non_null(strstr(rig.seen.error, "more than 1024"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		http_rig_test(test_get),
		http_rig_test(test_methods),
		http_rig_test(test_stuck_request),
		http_rig_test(test_cancel),
		http_rig_test(test_free_in_callback),
		http_rig_test(test_apply),
		http_rig_test(test_user_agent),
		http_rig_test(test_queue_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
