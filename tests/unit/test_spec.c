/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder: defaults, every field, and a fault that names field, value and range for each thing that is wrong. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "spec/spec.h"

#define HEAD "apiVersion: memdiag.io/v1alpha1\nkind: MemoryDiagnosis\nmetadata: {name: x}\n"

static struct spec *decode(const char *text, enum spec_mode mode, struct faults *faults)
{
	_cleanup_tree_ cJSON *doc = NULL;
	struct spec *spec = NULL;
	struct err err = {0};
	int r;

	if (tree_parse_yaml(text, strlen(text), &doc, &err) < 0)
		fail_msg("%s", err.msg);
	r = spec_decode(doc, mode, &spec, faults);
	assert_int_equal(r, faults->n ? -EINVAL : 0);
	return spec;
}

static void defaults(void **state)
{
	struct faults faults = {0};
	_cleanup_spec_ struct spec *spec = decode(HEAD, SPEC_FROM_FILE, &faults);

	(void)state;
	assert_non_null(spec);
	assert_string_equal(spec->name, "x");
	assert_int_equal(spec->window_ms, 30000);
	assert_int_equal(spec->top, 10);
	assert_int_equal(spec->cpu_budget_ms, 2000);
	assert_int_equal(spec->active_deadline_seconds, 900);
	assert_int_equal(spec->history_limit, 3);
	assert_false(spec->explicit_checks);
	assert_true(spec->checks[CHECK_PAGE_CACHE] && spec->checks[CHECK_SCHEDULING_STALL]);
	assert_int_equal(spec->fail_on, SEVERITY_NONE);
}

static void every_field(void **state)
{
	struct faults faults = {0};
	_cleanup_spec_ struct spec *spec =
		decode(HEAD "spec:\n"
			    "  target: {nodeSelector: {pool: general}}\n"
			    "  checks: [{type: SharedMemory}, {type: PageCache}]\n"
			    "  window: 1m30s\n  top: 50\n  cpuBudget: 10ms\n  schedule: '@daily'\n"
			    "  timeZone: Europe/Berlin\n  startingDeadlineSeconds: 600\n"
			    "  activeDeadlineSeconds: 100\n  concurrencyPolicy: Forbid\n"
			    "  suspend: true\n  historyLimit: 0\n  failOn: Critical\n"
			    "  thresholds: [{reason: PageCacheHigh, warning: 5%, critical: 1Gi},\n"
			    "               {reason: CgroupLeak, warning: '7'}]\n",
		       SPEC_FROM_FILE, &faults);

	(void)state;
	assert_int_equal(faults.n, 0);
	assert_true(spec->explicit_checks && spec->checks[CHECK_SHARED_MEMORY] &&
		    spec->checks[CHECK_PAGE_CACHE] && !spec->checks[CHECK_SLAB_CACHE]);
	assert_int_equal(spec->window_ms, 90000);
	assert_int_equal(spec->top, 50);
	assert_int_equal(spec->cpu_budget_ms, 10);
	assert_string_equal(spec->schedule, "@daily");
	assert_true(spec->suspend);
	assert_int_equal(spec->fail_on, SEVERITY_CRITICAL);
	assert_int_equal(spec->n_thresholds, 2);
	assert_int_equal(spec_severity(spec, "CgroupLeak", 6, 0), SEVERITY_NONE);
	assert_int_equal(spec_severity(spec, "CgroupLeak", 7, 0), SEVERITY_WARNING);
	assert_int_equal(spec_severity(spec, "CgroupLeak", 1000, 0), SEVERITY_CRITICAL);
	assert_int_equal(spec_severity(spec, "PageCacheHigh", 49, 1000), SEVERITY_NONE);
	assert_int_equal(spec_severity(spec, "PageCacheHigh", 50, 1000), SEVERITY_WARNING);
	assert_int_equal(spec_severity(spec, "PageCacheHigh", 1ULL << 30, 1ULL << 40),
			 SEVERITY_CRITICAL);
	assert_int_equal(spec_severity(spec, "SharedMemoryHigh", 100, 1000), SEVERITY_WARNING);
	assert_int_equal(spec_severity(spec, "NoSuchReason", 100, 100), SEVERITY_NONE);
}

/* Each text has one thing wrong; the fault must hold all of the words. */
static const struct {
	const char *text;
	const char *field, *value, *range;
} bad[] = {
	{HEAD "spec: {top: 0}", "spec.top:", "0", "from 1 to 50"},
	{HEAD "spec: {top: 1000000000}", "spec.top:", "1000000000", "from 1 to 50"},
	{HEAD "spec: {top: 1.5}", "spec.top:", "1.5", "from 1 to 50"},
	{HEAD "spec: {top: -1}", "spec.top:", "-1", "from 1 to 50"},
	{HEAD "spec: {top: '5'}", "spec.top:", "5", "whole number"},
	{HEAD "spec: {window: 0s}", "spec.window:", "0s", "1s to 10m"},
	{HEAD "spec: {window: 11m}", "spec.window:", "11m", "1s to 10m"},
	{HEAD "spec: {window: abc}", "spec.window:", "abc", "1s to 10m"},
	{HEAD "spec: {window: 30}", "spec.window:", "30", "1s to 10m"},
	{HEAD "spec: {cpuBudget: 9ms}", "spec.cpuBudget:", "9ms", "10ms to 5m"},
	{HEAD "spec: {checks: [{type: PageCash}]}", "spec.checks[0].type:", "PageCash",
	 "SlabCache"},
	{HEAD "spec: {checks: [{type: PageCache}, {type: PageCache}]}",
	 "spec.checks[1].type:", "PageCache", "twice"},
	{HEAD "spec: {checks: [PageCache]}", "spec.checks[0].type:", "", "must be"},
	{HEAD "spec: {checks: PageCache}", "spec.checks:", "PageCache", "list"},
	{HEAD "spec: {checks: [{type: PageCache, window: 5s}]}", "spec.checks[0].window", "",
	 "unknown"},
	{HEAD "spec: {colour: red}", "spec.colour:", "unknown field", "historyLimit"},
	{HEAD "sepc: {}", "sepc:", "unknown field", "spec"},
	{HEAD "spec: {target: {node: a}}", "spec.target.node:", "unknown", "nodeName"},
	{HEAD "spec: {target: {nodeName: a, nodeSelector: {b: c}}}", "spec.target.nodeSelector", "",
	 "together"},
	{HEAD "spec: {target: {nodeSelector: {b: 5}}}", "spec.target.nodeSelector.b", "5",
	 "string"},
	{HEAD "spec: {target: a}", "spec.target", "a", "mapping"},
	{HEAD "spec: {target: {namespaces: a}}", "spec.target.namespaces", "a", "list"},
	{HEAD "spec: {target: {namespaces: [5]}}", "spec.target.namespaces", "5", "1 to 63"},
	{HEAD "spec: {target: {podSelector: {matchLabels: {a: 5}}}}", "spec.target.podSelector",
	 "5", "label selector"},
	{HEAD "spec: {target: {podSelector: {labels: {a: b}}}}", "spec.target.podSelector",
	 "labels", "matchLabels"},
	{HEAD "spec: {target: {podSelector: {matchExpressions: [{key: a, operator: In}]}}}",
	 "spec.target.podSelector", "In", "values"},
	{HEAD "spec: {target: {pod: {name: a}}}", "spec.target.pod", "a", "namespace"},
	{HEAD "spec: {target: {pod: {name: a, namespace: b}, namespaces: [c]}}", "spec.target.pod",
	 "", "excludes"},
	{HEAD "spec: {suspend: 1}", "spec.suspend", "1", "true or false"},
	{HEAD "spec: {failOn: Always}", "spec.failOn", "Always", "Never, Warning or Critical"},
	{HEAD "spec: {historyLimit: 11}", "spec.historyLimit", "11", "0 to 10"},
	{HEAD "spec: {thresholds: [{reason: PageCacheHihg, warning: 1%}]}",
	 "spec.thresholds[0].reason", "PageCacheHihg", "PageCacheHigh, SharedMemoryHigh"},
	{HEAD "spec: {thresholds: [{reason: PageCacheHigh}]}", "spec.thresholds[0]",
	 "PageCacheHigh", "neither"},
	{HEAD "spec: {thresholds: [{reason: PageCacheHigh, warning: 101%}]}",
	 "spec.thresholds[0].warning", "101%", "percentage"},
	{HEAD "spec: {thresholds: [{reason: PageCacheHigh, critical: 200ms}]}",
	 "spec.thresholds[0].critical", "200ms", "size"},
	{HEAD "spec: {thresholds: [{reason: CgroupLeak, warning: 512Mi}]}",
	 "spec.thresholds[0].warning", "512Mi", "number"},
	{HEAD "spec: {thresholds: [{reason: PageCacheHigh, warning: 5m}]}",
	 "spec.thresholds[0].warning", "5m", "size"},
	{"apiVersion: v1\nkind: MemoryDiagnosis", "apiVersion", "v1", "memdiag.io/v1alpha1"},
	{"kind: MemoryDiagnosis", "apiVersion", "missing", "memdiag.io/v1alpha1"},
	{"apiVersion: memdiag.io/v1alpha1\nkind: Pod", "kind", "Pod", "MemoryDiagnosis"},
	{"apiVersion: memdiag.io/v1alpha1\nkind: MemoryDiagnosis\nmetadata: {name: A.b}",
	 "metadata.name", "A.b", "1 to 40"},
	{"[]", "document", "[]", "mapping"},
	{"just text", "document", "just text", "mapping"},
};

static void faults_name_field_value_and_range(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct faults faults = {0};
		struct spec *spec = decode(bad[i].text, SPEC_FROM_FILE, &faults);

		assert_null(spec);
		if (faults.n != 1 || !strstr(faults.lines[0], bad[i].field) ||
		    !strstr(faults.lines[0], bad[i].value) ||
		    !strstr(faults.lines[0], bad[i].range))
			fail_msg("%s: %zu faults, first: %s", bad[i].text, faults.n,
				 faults.n ? faults.lines[0] : "(none)");
		faults_done(&faults);
	}
}

static void many_faults_are_counted(void **state)
{
	_cleanup_buf_ struct buf text = BUF_INIT(65536);
	_cleanup_faults_ struct faults faults = {0};

	(void)state;
	(void)buf_printf(&text, HEAD "spec:\n");
	for (int i = 0; i < 100; i++)
		(void)buf_printf(&text, "  bad%d: 1\n", i);
	assert_null(decode(text.data, SPEC_FROM_FILE, &faults));
	assert_int_equal(faults.n, FAULTS_MAX);
	assert_int_equal(faults.dropped, 100 - FAULTS_MAX);
}

static void hostile_values_stay_short_and_plain(void **state)
{
	_cleanup_faults_ struct faults faults = {0};
	char text[2048] = HEAD "spec: {window: \"\\e[31m";

	(void)state;
	for (int i = 0; i < 100; i++)
		strcat(text, "0123456789");
	strcat(text, "\"}");
	assert_null(decode(text, SPEC_FROM_FILE, &faults));
	assert_true(strlen(faults.lines[0]) < 250);
	assert_null(strchr(faults.lines[0], '\x1b'));
}

static void newer_fields_of_the_server_are_passed_over(void **state)
{
	_cleanup_faults_ struct faults faults = {0};
	_cleanup_spec_ struct spec *spec =
		decode(HEAD "spec: {colour: red, checks: [{type: PageCache, depth: 3}]}",
		       SPEC_FROM_API, &faults);

	(void)state;
	assert_non_null(spec);
	assert_int_equal(faults.n, 0);
}

static void schedules(void **state)
{
	struct faults faults = {0};
	_cleanup_spec_ struct spec *none = decode(HEAD, SPEC_FROM_API, &faults);
	_cleanup_spec_ struct spec *all = decode(
		HEAD
		"spec: {schedule: '@daily', timeZone: Europe/Berlin, startingDeadlineSeconds: 600, "
		"concurrencyPolicy: Replace, suspend: true}",
		SPEC_FROM_FILE, &faults);
	_cleanup_spec_ struct spec *ttl =
		decode(HEAD "spec: {ttlSecondsAfterFinished: 0}", SPEC_FROM_FILE, &faults);

	(void)state;
	assert_int_equal(faults.n, 0);
	assert_true(!none->schedule && !none->starting_deadline_set && !none->replace &&
		    !none->ttl_set);
	assert_string_equal(all->schedule, "@daily");
	assert_string_equal(all->time_zone, "Europe/Berlin");
	assert_true(all->starting_deadline_set && all->replace && all->suspend);
	assert_int_equal(all->starting_deadline_seconds, 600);
	assert_true(ttl->ttl_set);
	assert_int_equal(ttl->ttl_seconds, 0);
}

static void targets(void **state)
{
	struct faults faults = {0};
	_cleanup_spec_ struct spec *all = decode(HEAD, SPEC_FROM_API, &faults);
	_cleanup_spec_ struct spec *one =
		decode(HEAD "spec: {target: {nodeName: a}}", SPEC_FROM_API, &faults);
	_cleanup_spec_ struct spec *some = decode(
		HEAD "spec: {target: {nodeSelector: {pool: x, zone: ''}}}", SPEC_FROM_API, &faults);
	_cleanup_tree_ cJSON *labels = cJSON_Parse("{\"pool\":\"x\",\"zone\":\"\"}");
	_cleanup_tree_ cJSON *other = cJSON_Parse("{\"pool\":\"x\"}");

	(void)state;
	assert_true(spec_targets_node(all, "b", NULL));
	assert_true(spec_targets_node(one, "a", NULL));
	assert_false(spec_targets_node(one, "b", NULL));
	assert_true(spec_targets_node(some, "b", labels));
	assert_false(spec_targets_node(some, "b", other));
	assert_false(spec_targets_node(some, "b", NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults),
		cmocka_unit_test(every_field),
		cmocka_unit_test(faults_name_field_value_and_range),
		cmocka_unit_test(many_faults_are_counted),
		cmocka_unit_test(hostile_values_stay_short_and_plain),
		cmocka_unit_test(newer_fields_of_the_server_are_passed_over),
		cmocka_unit_test(schedules),
		cmocka_unit_test(targets),
	};

	tree_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
