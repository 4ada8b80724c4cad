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
#include "kube/answer.h"
#include "kube/client.h"
#include "kube/timing.h"
#include "kube/watch_plan.h"

static void test_backoff_bounds(void **state)
{
	static const uint64_t most[] = {800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
	static const unsigned int tries[] = {0, 1, 2, 3, 4, 5, 6, UINT32_MAX};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(most); i++) {
		uint64_t low = UINT64_MAX, high = 0;

		for (int n = 0; n < 2000; n++) {
			uint64_t ms = kube_backoff_ms(tries[i], 0);

			low = ms < low ? ms : low;
			high = ms > high ? ms : high;
		}
		assert_true(high <= most[i]);
		/* Full jitter: both ends are reached. A try misses each with less than 1e-40. */
		assert_true(low < most[i] / 20);
		assert_true(high > most[i] / 20 * 19);
	}
	for (int n = 0; n < 200; n++) {
		/* No sooner than the server says; spread by the smaller of the backoff and four times that. */
		assert_in_range(kube_backoff_ms(1, 1500), 1500, 1500 + 1600);
		assert_in_range(kube_backoff_ms(0, 90000), 90000, 90000 + 800);
		assert_in_range(kube_backoff_ms(20, 1000), 1000, 5000);
	}
}

static bool retryable(long status, const char *body)
{
	struct kube_body text = {.buf = BUF_INIT(4096)};
	struct kube_answer answer;
	bool r;

	assert_int_equal(buf_append(&text.buf, body, strlen(body)), 0);
	kube_answer_make(&answer, status, NULL, &text);
	r = kube_retryable(&answer.response);
	kube_answer_done(&answer);
	buf_done(&text.buf);
	return r;
}

static void test_retryable(void **state)
{
	static const long yes[] = {0, 403, 408, 429, 502, 503, 504};
	static const long no[] = {200, 201, 400, 401, 404, 409, 410, 413, 415, 422, 501};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(yes); i++)
		assert_true(retryable(yes[i], "{}"));
	for (size_t i = 0; i < ARRAY_SIZE(no); i++)
		assert_false(retryable(no[i], "{}"));
	assert_true(retryable(500, "{\"kind\":\"Status\",\"reason\":\"InternalError\"}"));
	assert_true(
		retryable(500, "{\"kind\":\"Status\",\"message\":\"etcdserver: leader changed\"}"));
	assert_true(retryable(500, "<html>a load balancer</html>"));
	/* As a 1.36 server answers an unknown field in an apply. */
	assert_false(retryable(
		500, "{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"failed to create "
		     "typed patch object (/a; memdiag.io/v1alpha1, Kind=X): .spec.foo: field "
		     "not declared in schema\",\"code\":500}"));
	assert_false(
		retryable(500, "{\"message\":\".spec.etcdserver: field not declared in schema\"}"));
	assert_false(retryable(500, "{\"kind\":\"Status\",\"message\":\"whatever\"}"));
}

/* status, type, body; what is said; whether a body is handed out. */
static void test_answers(void **state)
{
	static const struct {
		long status, seen;
		const char *type, *text, *error, *reason;
		bool body;
	} cases[] = {
		{200, 200, "application/json", "{\"a\":1}", "", "", true},
		{200, 0, NULL, "", "HTTP 200 without a body", "", false},
		{201, 0, "application/json", "", "HTTP 201 without a body", "", false},
		{204, 204, NULL, "", "", "", false},
		{200, 200, "text/plain", "ok", "", "", false},
		{200, 0, "text/html", "<p>", "HTML page instead of JSON", "", false},
		{200, 0, NULL, "\n <!DOCTYPE html>", "HTML page instead of JSON", "", false},
		{200, 0, "application/json", "{\"a\":", "broken body of 5 bytes", "", false},
		{404, 404, NULL,
		 "{\"message\":\"x \\\"y\\\" not\\nfound\",\"reason\":\"NotFound\"}",
		 "x \"y\" not\\x0afound", "NotFound", true},
		{502, 502, NULL, "<html>", "HTTP 502 with an HTML page", "", false},
		{503, 503, NULL, "no backend\nmore", "HTTP 503: no backend", "", false},
		{403, 403, NULL, "", "HTTP 403 without a body", "", false},
		{403, 403, NULL, "{\"message\":1}", "HTTP 403: {", "", true},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct kube_body text = {.buf = BUF_INIT(4096)};
		struct kube_answer answer;

		assert_int_equal(buf_append(&text.buf, cases[i].text, strlen(cases[i].text)), 0);
		kube_answer_make(&answer, cases[i].status, cases[i].type, &text);
		assert_int_equal(answer.response.status, cases[i].seen);
		if (!strstr(answer.response.error, cases[i].error) ||
		    !*cases[i].error != !*answer.response.error ||
		    strpbrk(answer.response.error, "\r\n"))
			fail_msg("%zu: \"%s\"", i, answer.response.error);
		assert_string_equal(answer.response.reason, cases[i].reason);
		assert_int_equal(answer.response.body != NULL, cases[i].body);
		kube_answer_done(&answer);
		buf_done(&text.buf);
	}
}

/* --- what a watch asks for next ------------------------------------------------------------------------------------- */

static struct watch_plan plan;

static int plan_setup(void **state)
{
	(void)state;
	watch_plan_init(&plan, "/api/v1/x", "a%3Db");
	return 0;
}

static int plan_teardown(void **state)
{
	(void)state;
	watch_plan_done(&plan);
	return 0;
}

static void assert_path(const char *path)
{
	_cleanup_free_ char *is = watch_plan_path(&plan, 300);

	assert_string_equal(is, path);
}

static void test_plan_paths(void **state)
{
	(void)state;
	assert_path("/api/v1/x?limit=500&resourceVersion=0&fieldSelector=a%3Db");
	plan.next_page = xstrdup("a+/=");
	assert_path("/api/v1/x?limit=500&continue=a%2B%2F%3D&fieldSelector=a%3Db");
	free(take_ptr(plan.next_page));
	plan.fresh = true;
	assert_path("/api/v1/x?limit=500&fieldSelector=a%3Db");
	plan.version = xstrdup("7&x");
	assert_path("/api/v1/x?watch=true&allowWatchBookmarks=true&timeoutSeconds=300&"
		    "resourceVersion=7%26x&fieldSelector=a%3Db");
}

static uint64_t decide(enum watch_outcome outcome)
{
	return watch_plan_decide(&plan, outcome, 5000, true).delay_ms;
}

/* 5000 stands for Retry-After: whatever backs off waits at least so long, whatever does not waits 0. */
static void test_plan_of_a_watch(void **state)
{
	(void)state;
	plan.version = xstrdup("7");
	assert_int_equal(decide(WATCH_ENDED), 0);
	assert_true(decide(WATCH_BROKEN) >= 5000);
	assert_int_equal(plan.attempt, 1);
	assert_true(decide(WATCH_ENDED_QUICKLY) >= 5000);
	assert_true(decide(WATCH_ENDED_QUICKLY) >= 5000);
	assert_int_equal(decide(WATCH_ENDED), 0); /* in a row alone counts */
	assert_true(decide(WATCH_ENDED_QUICKLY) >= 5000);
	assert_true(decide(WATCH_ENDED_QUICKLY) >= 5000);
	assert_string_equal(plan.version, "7");
	assert_true(decide(WATCH_ENDED_QUICKLY) >= 5000);
	assert_null(plan.version);
	plan.version = xstrdup("8");
	assert_int_equal(decide(WATCH_ENDED_SILENT), 0);
	assert_null(plan.version);
	plan.version = xstrdup("9");
	assert_true(decide(WATCH_USELESS) >= 5000);
	assert_null(plan.version);
}

static void test_plan_of_410(void **state)
{
	(void)state;
	plan.version = xstrdup("7");
	assert_true(decide(WATCH_BROKEN) >= 5000); /* the server was away and has forgotten */
	assert_int_equal(decide(WATCH_EXPIRED), 0);
	assert_null(plan.version);
	assert_false(plan.fresh);
	plan.version = xstrdup("7");
	assert_true(decide(WATCH_EXPIRED) >= 5000);
	assert_true(plan.fresh);
	assert_null(plan.version);
	watch_plan_forgive(&plan);
	plan.version = xstrdup("7");
	assert_int_equal(decide(WATCH_EXPIRED), 0);
	/* A list: once at once without resourceVersion. */
	plan.fresh = false;
	plan.next_page = xstrdup("n");
	assert_int_equal(decide(WATCH_EXPIRED), 0);
	assert_null(plan.next_page);
	assert_true(plan.fresh);
	assert_true(decide(WATCH_EXPIRED) >= 5000);
	assert_int_equal(decide(WATCH_LISTED), 0);
	assert_false(plan.fresh);
}

static void test_plan_of_lists(void **state)
{
	(void)state;
	plan.next_page = xstrdup("n");
	assert_true(decide(WATCH_BROKEN) >= 5000);
	assert_null(plan.next_page); /* from the start */
	assert_true(decide(WATCH_TOO_LARGE) >= 5000);
	assert_int_equal(plan.limit, 500);
	assert_true(plan.fresh);
	for (int i = 0; i < 12; i++)
		decide(WATCH_TOO_LARGE);
	assert_int_equal(plan.limit, 1);
	assert_int_equal(decide(WATCH_UNAUTHORIZED), 0); /* the token is read again */
	assert_true(decide(WATCH_UNAUTHORIZED) >= 5000);
	plan.retried_401 = false;
	assert_true(watch_plan_decide(&plan, WATCH_UNAUTHORIZED, 5000, false).delay_ms >= 5000);
}

/* A server that is away is asked every few seconds however long it was; one that answers with errors, ever less often. */
static void test_plan_of_absence(void **state)
{
	uint64_t longest = 0;

	(void)state;
	plan.version = xstrdup("1");
	for (int i = 0; i < 300; i++) {
		uint64_t ms = watch_plan_decide(&plan, WATCH_ABSENT, 0, false).delay_ms;

		longest = ms > longest ? ms : longest;
	}
	assert_in_range(longest, 3000, 6400);
	for (int i = 0; i < 300; i++) {
		uint64_t ms = watch_plan_decide(&plan, WATCH_BROKEN, 0, false).delay_ms;

		longest = ms > longest ? ms : longest;
	}
	assert_in_range(longest, 15000, 30000);
	plan.attempt = 6;
	watch_plan_ease(&plan);
	assert_int_equal(plan.attempt, 3);
}

static void test_outcomes(void **state)
{
	(void)state;
	assert_int_equal(watch_outcome_of_status(0), WATCH_ABSENT);
	assert_int_equal(watch_outcome_of_status(401), WATCH_UNAUTHORIZED);
	assert_int_equal(watch_outcome_of_status(403), WATCH_BROKEN);
	assert_int_equal(watch_outcome_of_status(404), WATCH_USELESS);
	assert_int_equal(watch_outcome_of_status(410), WATCH_EXPIRED);
	assert_int_equal(watch_outcome_of_status(429), WATCH_BROKEN);
	assert_int_equal(watch_outcome_of_status(503), WATCH_BROKEN);
	assert_int_equal(watch_outcome_of_end(1, 0, 0), WATCH_ENDED);
	assert_int_equal(watch_outcome_of_end(0, 3, 999), WATCH_ENDED_QUICKLY);
	assert_int_equal(watch_outcome_of_end(0, 0, 1000), WATCH_ENDED);
	assert_int_equal(watch_outcome_of_end(0, 0, 90000), WATCH_ENDED_SILENT);
	assert_int_equal(watch_outcome_of_end(0, 1, 90000), WATCH_ENDED);
}

#define plan_test(f) cmocka_unit_test_setup_teardown(f, plan_setup, plan_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_backoff_bounds), cmocka_unit_test(test_retryable),
		cmocka_unit_test(test_answers),	       plan_test(test_plan_paths),
		plan_test(test_plan_of_a_watch),       plan_test(test_plan_of_410),
		plan_test(test_plan_of_lists),	       cmocka_unit_test(test_outcomes),
		plan_test(test_plan_of_absence),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
