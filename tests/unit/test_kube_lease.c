/* SPDX-License-Identifier: Apache-2.0 */
/* The lease against a scripted server: what is taken, what is left alone, when leading ends. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/lease.h"
#include "support/http_rig.h"

#define LEASE_PATH "/apis/coordination.k8s.io/v1/namespaces/ns/leases"
#define LEASE_JSON(version, holder, seconds)                                         \
	"{\"metadata\":{\"name\":\"l\",\"uid\":\"u\",\"resourceVersion\":\"" version \
	"\"},\"spec\":"                                                              \
	"{\"holderIdentity\":\"" holder "\",\"leaseDurationSeconds\":" seconds       \
	",\"acquireTime\":\"2026-01-01T00:00:00.000000Z\",\"leaseTransitions\":3}}"

static struct {
	struct kube_lease *lease;
	unsigned int told, released;
	bool held;
} us;

static void on_change(void *arg, bool held)
{
	(void)arg;
	us.told++;
	us.held = held;
	loop_stop(rig.loop);
}

static void on_release(void *arg)
{
	(void)arg;
	us.released++;
	loop_stop(rig.loop);
}

static int setup(void **state)
{
	memset(&us, 0, sizeof(us));
	if (http_rig_setup(state) != 0)
		return -1;
	kube_timing.lease_ms = 1000;
	kube_timing.lease_renew_ms = 300;
	kube_timing.lease_retry_ms = 20;
	return 0;
}

static int teardown(void **state)
{
	kube_lease_free(us.lease);
	us.lease = NULL;
	return http_rig_teardown(state);
}

static void begin(void)
{
	const struct kube_lease_opts opts = {
		.namespace = "ns", .name = "l", .identity = "me", .changed = on_change};

	http_rig_connect();
	us.lease = kube_lease_new(rig.client, &opts);
	assert_false(kube_lease_held(us.lease));
}

/* Until changed() is called, or for that long. */
static void run_on(uint64_t ms)
{
	http_rig_run(ms);
}

static void one_that_is_missing_is_made(void **state)
{
	(void)state;
	http_say_json(rig.server, "404 Not Found", "{\"kind\":\"Status\",\"reason\":\"NotFound\"}");
	http_say_json(rig.server, "201 Created", LEASE_JSON("1", "me", "1"));
	begin();
	run_on(2000);
	assert_true(us.held && kube_lease_held(us.lease));
	http_rig_asked(0, "GET " LEASE_PATH "/l ");
	http_rig_asked(1, "POST " LEASE_PATH " ");
	http_rig_asked(1, "\"holderIdentity\":\"me\"");
	http_rig_asked(1, "\"leaseDurationSeconds\":1");
	http_rig_asked(1, "\"leaseTransitions\":0");
	assert_null(strstr(http_request(rig.server, 1), "resourceVersion"));
}

static void one_that_was_given_up_is_taken(void **state)
{
	(void)state;
	http_say_json(rig.server, "200 OK", LEASE_JSON("7", "", "1"));
	http_say_json(rig.server, "200 OK", LEASE_JSON("8", "me", "1"));
	http_say_json(rig.server, "200 OK", LEASE_JSON("9", "me", "1"));
	begin();
	run_on(2000);
	assert_true(us.held);
	http_rig_asked(1, "PUT " LEASE_PATH "/l ");
	http_rig_asked(1, "\"resourceVersion\":\"7\"");
	http_rig_asked(1, "\"leaseTransitions\":4");
	/* Renewed, resting on the answer; acquireTime stays. */
	http_rig_run_asked(3);
	http_rig_asked(2, "\"resourceVersion\":\"8\"");
	http_rig_asked(2, "\"leaseTransitions\":3");
	http_rig_asked(2, "\"acquireTime\":\"2026-01-01T00:00:00.000000Z\"");
}

/* Another's is left alone for as long as it says, from when it was last seen to change. */
static void anothers_is_taken_when_it_no_longer_changes(void **state)
{
	size_t at = 4;
	uint64_t changed;

	(void)state;
	kube_timing.lease_retry_ms = 100;
	for (int i = 0; i < 3; i++)
		http_say_json(rig.server, "200 OK", LEASE_JSON("7", "other", "2"));
	/* From here on it does not change, however often it is asked for: a request without an answer would hang. */
	for (int i = 0; i < 200; i++)
		http_say_json(rig.server, "200 OK", LEASE_JSON("8", "other", "2"));
	begin();
	http_rig_run_asked(4);
	changed = clock_mono_ns();
	while (clock_mono_ns() - changed < 20 * NSEC_PER_SEC) {
		if (at == http_requests(rig.server))
			run_on(20);
		else if (strncmp(http_request(rig.server, at), "PUT", 3) == 0)
			break;
		else
			at++;
	}
	assert_true(clock_mono_ns() - changed >= 1900 * NSEC_PER_MSEC);
	http_rig_asked(at, "PUT ");
	http_rig_asked(at, "\"resourceVersion\":\"8\"");
}

static void of_two_one_gets_it(void **state)
{
	(void)state;
	http_say_json(rig.server, "200 OK", LEASE_JSON("7", "", "1"));
	http_say_json(rig.server, "409 Conflict", "{\"kind\":\"Status\",\"reason\":\"Conflict\"}");
	http_say_json(rig.server, "200 OK", LEASE_JSON("8", "other", "1"));
	begin();
	http_rig_run_asked(3);
	run_on(100);
	assert_int_equal(us.told, 0);
	http_rig_asked(2, "GET ");
}

/* A server that says nothing any more: leading ends when the last renewal that worked is 300 ms old. */
static void leading_ends_before_the_lease_does(void **state)
{
	uint64_t start;

	(void)state;
	http_say_json(rig.server, "200 OK", LEASE_JSON("7", "me", "1"));
	http_say_json(rig.server, "200 OK", LEASE_JSON("8", "me", "1"));
	begin();
	start = clock_mono_ns();
	run_on(2000);
	assert_true(us.held);
	run_on(2000);
	assert_int_equal(us.told, 2);
	assert_false(us.held || kube_lease_held(us.lease));
	assert_true(clock_mono_ns() - start >= 300 * NSEC_PER_MSEC);
}

/* Asked before each write: true no longer than that, even when the loop has not come round. */
static void held_is_about_now(void **state)
{
	const struct timespec nap = {.tv_nsec = 350 * 1000 * 1000};

	(void)state;
	http_say_json(rig.server, "200 OK", LEASE_JSON("7", "me", "1"));
	http_say_json(rig.server, "200 OK", LEASE_JSON("8", "me", "1"));
	begin();
	run_on(2000);
	assert_true(kube_lease_held(us.lease));
	assert_int_equal(nanosleep(&nap, NULL), 0);
	assert_false(kube_lease_held(us.lease));
}

static void one_that_another_took_is_lost(void **state)
{
	(void)state;
	http_say_json(rig.server, "200 OK", LEASE_JSON("7", "me", "1"));
	http_say_json(rig.server, "200 OK", LEASE_JSON("8", "me", "1"));
	http_say_json(rig.server, "409 Conflict", "{\"kind\":\"Status\",\"reason\":\"Conflict\"}");
	http_say_json(rig.server, "200 OK", LEASE_JSON("9", "other", "1"));
	begin();
	run_on(2000);
	assert_true(us.held);
	run_on(2000);
	assert_false(us.held);
	assert_int_equal(us.told, 2);
}

static void it_is_given_up(void **state)
{
	(void)state;
	http_say_json(rig.server, "200 OK", LEASE_JSON("7", "me", "1"));
	http_say_json(rig.server, "200 OK", LEASE_JSON("8", "me", "1"));
	begin();
	run_on(2000);
	http_say_json(rig.server, "200 OK", LEASE_JSON("9", "", "1"));
	kube_lease_release(us.lease, on_release, NULL);
	assert_int_equal(us.released, 0);
	assert_false(kube_lease_held(us.lease));
	assert_int_equal(us.told, 2);
	for (int i = 0; i < 100 && !us.released; i++)
		run_on(100);
	assert_int_equal(us.released, 1);
	http_rig_asked(2, "\"holderIdentity\":\"\"");
	http_rig_asked(2, "\"resourceVersion\":\"8\"");
	/* Nothing to give up: done all the same. */
	kube_lease_release(us.lease, on_release, NULL);
	for (int i = 0; i < 100 && us.released < 2; i++)
		run_on(100);
	assert_int_equal(us.released, 2);
	assert_int_equal(http_requests(rig.server), 3);
}

#define lease_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		lease_test(one_that_is_missing_is_made),
		lease_test(one_that_was_given_up_is_taken),
		lease_test(anothers_is_taken_when_it_no_longer_changes),
		lease_test(of_two_one_gets_it),
		lease_test(leading_ends_before_the_lease_does),
		lease_test(held_is_about_now),
		lease_test(one_that_another_took_is_lost),
		lease_test(it_is_given_up),
	};

	tree_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
