/* SPDX-License-Identifier: Apache-2.0 */
/* Events: what is sent, what is not sent twice, and how many at most. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "kube/events.h"
#include "kube/timing.h"
#include "node/pod_events.h"
#include "support/http_rig.h"

static struct kube_events *events;

static int setup(void **state)
{
	return http_rig_setup(state);
}

static int teardown(void **state)
{
	kube_events_free(events);
	events = NULL;
	return http_rig_teardown(state);
}

static void begin(void)
{
	http_rig_connect();
	events = kube_events_new(rig.client, "memdiag.io/test", "me");
}

static const struct kube_event example = {.api_version = "memdiag.io/v1alpha1",
					  .kind = "MemoryDiagnosis",
					  .name = "nightly",
					  .uid = "u1",
					  .warning = true,
					  .reason = "RunFailed",
					  .action = "Diagnose",
					  .note = "no\x01 node",
					  .key = "s-1"};

/* The name in the body of request i; the caller frees it. */
static char *name_sent(size_t i)
{
	const char *body = strstr(http_request(rig.server, i), "\r\n\r\n");
	_cleanup_tree_ cJSON *tree = cJSON_Parse(body + 4);

	return xstrdup(tree_str_or_empty(tree, "metadata.name"));
}

static void what_is_sent(void **state)
{
	(void)state;
	begin();
	http_say_json(rig.server, "201 Created", "{}");
	kube_events_emit(events, &example);
	http_rig_run_asked(1);
	http_rig_run(50);
	http_rig_asked(0, "POST /apis/events.k8s.io/v1/namespaces/default/events ");
	http_rig_asked(0, "\"type\":\"Warning\"");
	http_rig_asked(0, "\"reason\":\"RunFailed\"");
	http_rig_asked(0, "\"reportingController\":\"memdiag.io/test\"");
	http_rig_asked(0, "\"reportingInstance\":\"me\"");
	http_rig_asked(0, "\"note\":\"no\\\\x01 node\"");
	http_rig_asked(0, "\"regarding\":{\"apiVersion\":\"memdiag.io/v1alpha1\"");
	assert_int_equal(kube_events_stats(events).sent, 1);
}

/* The name is made of what the event is about: the same for whoever sends it. */
static void the_same_has_the_same_name(void **state)
{
	struct kube_event other = example;
	char *names[4];

	(void)state;
	begin();
	http_say_json(rig.server, "201 Created", "{}");
	http_say_json(rig.server, "409 Conflict", "{\"reason\":\"AlreadyExists\"}");
	http_say_json(rig.server, "201 Created", "{}");
	http_say_json(rig.server, "201 Created", "{}");
	kube_events_emit(events, &example);
	other.note = "in other words";
	kube_events_emit(events, &other);
	other.key = "s-2";
	kube_events_emit(events, &other);
	other.key = "s-1";
	other.uid = "u2";
	kube_events_emit(events, &other);
	http_rig_run_asked(4);
	http_rig_run(50);
	for (size_t i = 0; i < 4; i++)
		names[i] = name_sent(i);
	assert_string_equal(names[0], names[1]);
	assert_string_not_equal(names[0], names[2]);
	assert_string_not_equal(names[0], names[3]);
	assert_true(strncmp(names[0], "nightly.", 8) == 0);
	for (size_t i = 0; i < 4; i++)
		free(names[i]);
	assert_int_equal(kube_events_stats(events).sent, 3);
	assert_int_equal(kube_events_stats(events).known, 1);
}

static void failures_are_tried_again_a_few_times(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 4; i++)
		http_say_json(rig.server, "503 Service Unavailable", "");
	kube_events_emit(events, &example);
	http_rig_run_asked(4);
	http_rig_run(100);
	assert_int_equal(http_requests(rig.server), 4);
	assert_int_equal(kube_events_stats(events).failed, 1);
	/* A namespace that is being deleted, for example: not again. */
	http_say_json(rig.server, "404 Not Found", "{}");
	kube_events_emit(events, &example);
	http_rig_run_asked(5);
	http_rig_run(100);
	assert_int_equal(http_requests(rig.server), 5);
	assert_int_equal(kube_events_stats(events).failed, 2);
}

/* First one that waits for another try, then one that waits for its answer. */
static void what_is_cancelled_is_not_sent_any_more(void **state)
{
	(void)state;
	kube_timing.retry_after_max_ms = 100;
	begin();
	http_say_json(rig.server, "503 Service Unavailable\r\nRetry-After: 1", "");
	kube_events_emit(events, &example);
	http_rig_run_asked(1);
	http_rig_run(30);
	kube_events_cancel(events);
	http_rig_run(200);
	assert_int_equal(http_requests(rig.server), 1);
	kube_events_emit(events, &example);
	http_rig_run_asked(2);
	kube_events_cancel(events);
	assert_int_equal(kube_events_stats(events).dropped, 2);
	/* What comes later is sent. */
	http_say_json(rig.server, "201 Created", "{}");
	kube_events_emit(events, &example);
	http_rig_run_asked(3);
	http_rig_run(50);
	assert_int_equal(kube_events_stats(events).sent, 1);
}

static void a_flood_is_cut(void **state)
{
	(void)state;
	begin();
	for (int i = 0; i < 25; i++)
		http_say_json(rig.server, "201 Created", "{}");
	for (int i = 0; i < 1000; i++)
		kube_events_emit(events, &example);
	http_rig_run_asked(25);
	http_rig_run(100);
	assert_true(http_requests(rig.server) <= 27);
	assert_true(kube_events_stats(events).dropped >= 970);
}

/* --- of findings ---------------------------------------------------------------------------------------------------------- */

#define FINDING(id, severity, uid)                           \
	"{\"id\":\"" id "\",\"severity\":\"" severity        \
	"\",\"reason\":\"PageCacheHigh\",\"message\":\"m\"," \
	"\"subject\":{\"namespace\":\"ns\",\"pod\":\"p\",\"podUID\":\"" uid "\"}}"
#define REPORT(findings) \
	"{\"metadata\":{\"name\":\"x.n\"},\"run\":{\"id\":\"g-1\"},\"findings\":[" findings "]}"

static void expect_events(size_t n, const char *previous, const char *report)
{
	_cleanup_tree_ cJSON *old = previous ? cJSON_Parse(previous) : NULL;
	_cleanup_tree_ cJSON *new = cJSON_Parse(report);
	size_t before = http_requests(rig.server);

	for (size_t i = 0; i < n; i++)
		http_say_json(rig.server, "201 Created", "{}");
	pod_events_emit(events, new, old);
	http_rig_run_asked(before + n);
	http_rig_run(60);
	assert_int_equal(http_requests(rig.server), before + n);
}

static void new_critical_findings_are_told_to_their_pods(void **state)
{
	(void)state;
	begin();
	expect_events(1, NULL, REPORT(FINDING("a", "Critical", "u1")));
	http_rig_asked(0, "POST /apis/events.k8s.io/v1/namespaces/ns/events ");
	http_rig_asked(0,
		       "\"regarding\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"namespace\":\"ns\","
		       "\"name\":\"p\",\"uid\":\"u1\"}");
	http_rig_asked(0, "\"reason\":\"PageCacheHigh\"");
	http_rig_asked(0, "kubectl get memreport x.n");
	/* Known; only a warning; without a pod. */
	expect_events(0, REPORT(FINDING("a", "Critical", "u1")),
		      REPORT(FINDING("a", "Critical", "u1")));
	expect_events(0, NULL, REPORT(FINDING("a", "Warning", "u1")));
	expect_events(0, NULL, REPORT("{\"id\":\"a\",\"severity\":\"Critical\"}"));
}

static void worse_and_other_pods_are_new(void **state)
{
	(void)state;
	begin();
	expect_events(1, REPORT(FINDING("a", "Warning", "u1")),
		      REPORT(FINDING("a", "Critical", "u1")));
	expect_events(1, REPORT(FINDING("a", "Critical", "u1")),
		      REPORT(FINDING("a", "Critical", "u2")));
}

#define events_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		events_test(what_is_sent),
		events_test(the_same_has_the_same_name),
		events_test(failures_are_tried_again_a_few_times),
		events_test(what_is_cancelled_is_not_sent_any_more),
		events_test(a_flood_is_cut),
		events_test(new_critical_findings_are_told_to_their_pods),
		events_test(worse_and_other_pods_are_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
