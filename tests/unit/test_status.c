/* SPDX-License-Identifier: Apache-2.0 */
/* The status of a diagnosis, as a function of spec, reports, nodes and time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "controller/status.h"

enum { NOW = 1800000000 };

static const char *const three_nodes[] = {"node-a", "node-b", "node-c"};

/* A diagnosis of generation 2 with this spec and status (JSON). */
static cJSON *diagnosis(const char *spec, const cJSON *status)
{
	_cleanup_free_ char *text = xasprintf(
		"{\"apiVersion\":\"memdiag.io/v1alpha1\",\"kind\":\"MemoryDiagnosis\",\"metadata\":"
		"{\"name\":\"x\",\"uid\":\"u1\",\"generation\":2},\"spec\":%s}",
		spec);
	cJSON *object = cJSON_Parse(text);

	assert_non_null(object);
	if (status)
		cJSON_AddItemToObject(object, "status", cJSON_Duplicate(status, true));
	return object;
}

static struct report_summary report(const char *node, const char *run, const char *verdict,
				    int critical, int warning)
{
	return (struct report_summary){.name = (char *)node,
				       .diagnosis = (char *)"x",
				       .node = (char *)node,
				       .run_id = (char *)run,
				       .owner_uid = (char *)"u1",
				       .verdict = (char *)verdict,
				       .critical = critical,
				       .warning = warning,
				       .reclaimable_bytes = 1 << 20};
}

static const char *condition(const cJSON *status, const char *type, const char *key)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, tree_get(status, "conditions")) {
		if (strcmp(tree_str_or_empty(item, "type"), type) == 0)
			return tree_str_or_empty(item, key);
	}
	return "absent";
}

/* Computes from these reports; the caller frees the status. */
static struct status_output compute(const char *spec, const cJSON *old,
				    const struct report_summary *reports, size_t n_reports,
				    size_t n_nodes, const cJSON *findings, time_t now)
{
	_cleanup_tree_ cJSON *object = diagnosis(spec, old);
	const struct report_summary *list[8];
	struct status_output out;
	struct status_input in = {.diagnosis = object,
				  .nodes = three_nodes,
				  .n_nodes = n_nodes,
				  .reports = list,
				  .n_reports = n_reports,
				  .top_findings = findings,
				  .now = now};

	for (size_t i = 0; i < n_reports; i++)
		list[i] = &reports[i];
	status_compute(&in, &out);
	return out;
}

static void a_run_from_start_to_end(void **state)
{
	struct report_summary reports[] = {report("node-a", "g-2", "Critical", 1, 2),
					   report("node-b", "g-2", "OK", 0, 0),
					   report("node-c", "g-2", "Error", 0, 0)};
	_cleanup_tree_ cJSON *findings = cJSON_Parse("[{\"id\":\"f\",\"bytes\":3}]");
	struct status_output opened, counted, waiting, ended, idle;

	(void)state;
	opened = compute("{}", NULL, NULL, 0, 3, NULL, NOW);
	assert_true(opened.urgent);
	assert_string_equal(tree_str(opened.status, "run.id"), "g-2");
	assert_string_equal(tree_str(opened.status, "run.state"), "Running");
	assert_string_equal(tree_str(opened.status, "run.trigger"), "Generation");
	assert_string_equal(tree_str(opened.status, "summary.nodes"), "0/3");
	assert_string_equal(condition(opened.status, "Reconciling", "status"), "True");
	assert_string_equal(condition(opened.status, "Ready", "status"), "False");
	assert_string_equal(condition(opened.status, "Complete", "status"), "False");
	assert_int_equal(tree_int_or(opened.status, "observedGeneration", 0), 2);

	counted = compute("{}", opened.status, reports, 1, 3, NULL, NOW + 1);
	assert_false(counted.urgent);
	assert_string_equal(tree_str(counted.status, "summary.nodes"), "1/3");
	assert_string_equal(tree_str(counted.status, "run.startTime"),
			    tree_str(opened.status, "run.startTime"));
	assert_string_equal(tree_str(counted.status, "run.deadline"),
			    tree_str(opened.status, "run.deadline"));

	idle = compute("{}", counted.status, reports, 1, 3, NULL, NOW + 2);
	assert_null(idle.status);
	assert_int_equal(idle.again_seconds, 898);

	waiting = compute("{}", counted.status, reports, 3, 3, NULL, NOW + 41);
	assert_null(waiting.status);
	assert_true(waiting.needs_findings);

	ended = compute("{}", counted.status, reports, 3, 3, findings, NOW + 41);
	assert_string_equal(tree_str(ended.status, "run.state"), "Complete");
	assert_string_equal(tree_str(ended.status, "run.duration"), "41s");
	assert_string_equal(tree_str(ended.status, "summary.nodes"), "3/3");
	assert_int_equal(tree_int_or(ended.status, "summary.critical", -1), 1);
	assert_int_equal(tree_int_or(ended.status, "summary.failed", -1), 1);
	assert_string_equal(tree_str(ended.status, "summary.reclaimable"), "3Mi");
	assert_string_equal(condition(ended.status, "Complete", "status"), "True");
	assert_string_equal(condition(ended.status, "Ready", "status"), "True");
	assert_string_equal(condition(ended.status, "Reconciling", "status"), "False");
	assert_string_equal(condition(ended.status, "Stalled", "status"), "False");
	assert_string_equal(condition(ended.status, "FindingsDetected", "status"), "True");
	assert_int_equal(cJSON_GetArraySize(tree_get(ended.status, "topFindings")), 1);

	idle = compute("{}", ended.status, reports, 3, 3, NULL, NOW + 1000);
	assert_null(idle.status);
	cJSON_Delete(opened.status);
	cJSON_Delete(counted.status);
	cJSON_Delete(ended.status);
}

static void foreign_reports_do_not_count(void **state)
{
	struct report_summary reports[] = {
		report("node-a", "g-1", "OK", 0, 0), /* an earlier run */
		report("node-z", "g-2", "OK", 5, 0), /* not targeted */
		report("node-b", "g-2", "OK", 0, 0), /* of a diagnosis that was deleted and made again */
		report("node-c", "g-2", "OK", 0, 0),
		report("node-c", "g-2", "OK", 0, 0), /* the same node twice */
	};
	struct status_output opened = compute("{}", NULL, NULL, 0, 3, NULL, NOW), out;

	(void)state;
	reports[2].owner_uid = (char *)"u0";
	out = compute("{}", opened.status, reports, 5, 3, NULL, NOW + 1);
	assert_string_equal(tree_str(out.status, "summary.nodes"), "1/3");
	assert_int_equal(tree_int_or(out.status, "summary.critical", -1), 0);
	cJSON_Delete(opened.status);
	cJSON_Delete(out.status);
}

static void deadlines(void **state)
{
	struct report_summary reports[] = {report("node-b", "g-2", "OK", 0, 0)};
	struct status_output opened =
		compute("{\"activeDeadlineSeconds\":10}", NULL, NULL, 0, 3, NULL, NOW);
	struct status_output some, none;

	(void)state;
	some = compute("{}", opened.status, reports, 1, 3, NULL, NOW + 10);
	assert_string_equal(tree_str(some.status, "run.state"), "Complete");
	assert_string_equal(condition(some.status, "Complete", "reason"), "NodesMissing");
	assert_int_equal(tree_int_or(some.status, "summary.missing", -1), 2);
	assert_int_equal(cJSON_GetArraySize(tree_get(some.status, "missingNodes")), 2);
	none = compute("{}", opened.status, NULL, 0, 3, NULL, NOW + 10);
	assert_string_equal(tree_str(none.status, "run.state"), "Failed");
	assert_string_equal(condition(none.status, "Stalled", "reason"), "DeadlineExceeded");
	cJSON_Delete(opened.status);
	cJSON_Delete(some.status);
	cJSON_Delete(none.status);
}

static void no_node_matches(void **state)
{
	struct status_output out = compute("{}", NULL, NULL, 0, 0, NULL, NOW);

	(void)state;
	assert_string_equal(tree_str(out.status, "run.state"), "Failed");
	assert_string_equal(condition(out.status, "Stalled", "reason"), "NoMatchingNodes");
	assert_string_equal(condition(out.status, "Complete", "status"), "False");
	cJSON_Delete(out.status);
}

/* A pod's node is told in the run: agents can't look pods up. Without one the reason is the pod's. */
static void pod_targets(void **state)
{
	static const char spec[] = "{\"target\":{\"pod\":{\"namespace\":\"a\",\"name\":\"b\"}}}";
	_cleanup_tree_ cJSON *object = diagnosis(spec, NULL);
	struct status_input in = {
		.diagnosis = object, .nodes = three_nodes, .n_nodes = 1, .now = NOW};
	struct status_output out;

	(void)state;
	status_compute(&in, &out);
	assert_string_equal(tree_str(out.status, "run.state"), "Running");
	assert_string_equal(tree_str(out.status, "run.nodeName"), "node-a");
	cJSON_Delete(out.status);

	in.n_nodes = 0;
	in.no_nodes_reason = "PodNotFound";
	in.no_nodes_message = "pod a/b does not exist";
	status_compute(&in, &out);
	assert_string_equal(tree_str(out.status, "run.state"), "Failed");
	assert_string_equal(condition(out.status, "Stalled", "reason"), "PodNotFound");
	assert_string_equal(condition(out.status, "Stalled", "message"), "pod a/b does not exist");
	cJSON_Delete(out.status);
}

static void what_cannot_run_is_stalled_once(void **state)
{
	static const struct {
		const char *spec, *reason, *text;
	} rows[] = {
		{"{\"schedule\":\"0 0 31 2 *\"}", "InvalidSchedule", "never fires"},
		{"{\"thresholds\":[{\"reason\":\"PageCacheHihg\",\"warning\":\"1%\"}]}",
		 "InvalidSpec", "PageCacheHihg"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct status_output out = compute(rows[i].spec, NULL, NULL, 0, 3, NULL, NOW);
		struct status_output again =
			compute(rows[i].spec, out.status, NULL, 0, 3, NULL, NOW + 5);

		assert_string_equal(condition(out.status, "Stalled", "status"), "True");
		assert_string_equal(condition(out.status, "Stalled", "reason"), rows[i].reason);
		assert_non_null(strstr(condition(out.status, "Stalled", "message"), rows[i].text));
		assert_string_equal(condition(out.status, "Ready", "status"), "False");
		assert_null(again.status);
		cJSON_Delete(out.status);
	}
}

static void fail_on_degrades(void **state)
{
	struct report_summary warning[] = {report("node-a", "g-2", "Warning", 0, 1)};
	_cleanup_tree_ cJSON *findings = cJSON_CreateArray();
	static const struct {
		const char *spec, *ready;
	} rows[] = {{"{}", "True"},
		    {"{\"failOn\":\"Critical\"}", "True"},
		    {"{\"failOn\":\"Warning\"}", "False"}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct status_output opened = compute(rows[i].spec, NULL, NULL, 0, 1, NULL, NOW);
		struct status_output out =
			compute(rows[i].spec, opened.status, warning, 1, 1, findings, NOW + 1);

		assert_string_equal(condition(out.status, "Ready", "status"), rows[i].ready);
		assert_string_equal(condition(out.status, "Complete", "status"), "True");
		cJSON_Delete(opened.status);
		cJSON_Delete(out.status);
	}
}

static void suspended(void **state)
{
	struct status_output out = compute("{\"suspend\":true}", NULL, NULL, 0, 3, NULL, NOW);

	(void)state;
	assert_null(tree_get(out.status, "run"));
	assert_string_equal(condition(out.status, "Ready", "reason"), "Suspended");
	cJSON_Delete(out.status);
}

static void transition_times_move_with_the_status(void **state)
{
	struct report_summary reports[] = {report("node-a", "g-2", "OK", 0, 0)};
	struct status_output opened = compute("{}", NULL, NULL, 0, 3, NULL, NOW);
	struct status_output counted = compute("{}", opened.status, reports, 1, 3, NULL, NOW + 100);

	(void)state;
	assert_string_equal(condition(counted.status, "Ready", "lastTransitionTime"),
			    condition(opened.status, "Ready", "lastTransitionTime"));
	cJSON_Delete(opened.status);
	cJSON_Delete(counted.status);
}

static void worst_reports_and_findings_first(void **state)
{
	static const char text[] =
		"{\"nodeName\":\"n\",\"metadata\":{\"name\":\"x.n\"},\"findings\":["
		"{\"id\":\"w\",\"severity\":\"Warning\",\"bytes\":9,\"message\":\"m\"},"
		"{\"id\":\"c1\",\"severity\":\"Critical\",\"bytes\":1,\"message\":\"m\",\"hints\":"
		"[{\"summary\":\"do\",\"command\":\"it\"}]},"
		"{\"id\":\"c2\",\"severity\":\"Critical\",\"bytes\":2,\"message\":\"m\","
		"\"subject\":{\"controller\":\"CronJob/x\",\"ofANewerAgent\":1}}]}";
	_cleanup_tree_ cJSON *body = cJSON_Parse(text), *list = cJSON_CreateArray();
	struct report_summary all[30];
	const struct report_summary *in_reports[30], *picked[STATUS_MAX_TOP_FINDINGS];
	_cleanup_tree_ cJSON *status = cJSON_Parse("{\"run\":{\"id\":\"g-2\"}}");
	_cleanup_tree_ cJSON *object = diagnosis("{}", status);
	struct status_input in = {.diagnosis = object, .reports = in_reports, .n_reports = 30};

	(void)state;
	for (int i = 0; i < 30; i++) {
		all[i] = report("node-a", "g-2", "Critical", i, 1);
		in_reports[i] = &all[i];
	}
	assert_int_equal(status_reports_to_read(&in, picked), STATUS_MAX_TOP_FINDINGS);
	for (int i = 0; i < STATUS_MAX_TOP_FINDINGS; i++)
		assert_int_equal(picked[i]->critical, 29 - i);
	for (int i = 0; i < 10; i++)
		status_merge_findings(list, body);
	assert_int_equal(cJSON_GetArraySize(list), STATUS_MAX_TOP_FINDINGS);
	assert_string_equal(tree_str(cJSON_GetArrayItem(list, 0), "id"), "c2");
	/* What the CRD does not know would have the server refuse the status. */
	assert_string_equal(tree_str(cJSON_GetArrayItem(list, 0), "subject.controller"),
			    "CronJob/x");
	assert_int_equal(cJSON_GetArraySize(tree_get(cJSON_GetArrayItem(list, 0), "subject")), 1);
	assert_string_equal(tree_str(cJSON_GetArrayItem(list, 10), "id"), "c1");
	assert_string_equal(tree_str(cJSON_GetArrayItem(list, 10), "hint"), "do: it");
	assert_string_equal(tree_str(cJSON_GetArrayItem(list, 10), "report"), "x.n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_from_start_to_end),
		cmocka_unit_test(foreign_reports_do_not_count),
		cmocka_unit_test(deadlines),
		cmocka_unit_test(no_node_matches),
		cmocka_unit_test(pod_targets),
		cmocka_unit_test(what_cannot_run_is_stalled_once),
		cmocka_unit_test(fail_on_degrades),
		cmocka_unit_test(suspended),
		cmocka_unit_test(transition_times_move_with_the_status),
		cmocka_unit_test(worst_reports_and_findings_first),
	};

	tree_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
