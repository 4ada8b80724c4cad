/* SPDX-License-Identifier: Apache-2.0 */
/* The controller's smaller parts: what observers are told, and where reports are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "controller/reports.h"
#include "controller/transitions.h"

/* --- transitions -------------------------------------------------------------------------------------------------------- */

#define STATUS(run, state, stalled, reason)                                                    \
	"{\"observedGeneration\":1,\"run\":{\"id\":\"" run "\",\"state\":\"" state             \
	"\",\"duration\":\"41s\"},\"summary\":{\"desired\":3,\"critical\":1,\"warning\":2},"   \
	"\"conditions\":[{\"type\":\"Complete\",\"status\":\"True\",\"message\":\"the end\"}," \
	"{\"type\":\"Stalled\",\"status\":\"" stalled "\",\"reason\":\"" reason                \
	"\",\"message\":\"why\","                                                              \
	"\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}"

static void told_once_and_in_order(void **state)
{
	static const struct {
		const char *old, *new;
		unsigned int missed;
		const char *told; /* reasons, each with ! for a warning */
	} rows[] = {
		{NULL, STATUS("g-1", "Running", "False", "RunInProgress"), 0, "RunStarted "},
		{STATUS("g-1", "Running", "False", "x"), STATUS("g-1", "Running", "False", "x"), 0,
		 ""},
		{STATUS("g-1", "Running", "False", "x"), STATUS("g-1", "Complete", "False", "x"), 0,
		 "RunCompleted "},
		{STATUS("g-1", "Complete", "False", "x"), STATUS("g-1", "Complete", "False", "x"),
		 0, ""},
		{STATUS("g-1", "Running", "False", "x"),
		 STATUS("g-1", "Failed", "True", "DeadlineExceeded"), 0, "!RunFailed "},
		/* No node: opened and over in one write. */
		{NULL, STATUS("g-1", "Failed", "True", "NoMatchingNodes"), 0, "!RunFailed "},
		{STATUS("s-1", "Running", "False", "x"), STATUS("s-2", "Running", "False", "x"), 0,
		 "RunReplaced RunStarted "},
		{STATUS("s-1", "Complete", "False", "x"), STATUS("s-9", "Running", "False", "x"), 7,
		 "!ScheduleMissed RunStarted "},
		{NULL, STATUS("", "", "True", "InvalidSchedule"), 0, "!InvalidSchedule "},
		{STATUS("", "", "True", "InvalidSchedule"),
		 STATUS("", "", "True", "InvalidSchedule"), 0, ""},
		{STATUS("", "", "True", "InvalidSchedule"),
		 STATUS("", "", "True", "InvalidTimeZone"), 0, "!InvalidTimeZone "},
		{STATUS("s-1", "Running", "False", "x"),
		 STATUS("s-1", "Complete", "True", "FindingsDetected"), 0,
		 "RunCompleted !FindingsDetected "},
		/* The same findings again: the run is told, what stands is not. */
		{STATUS("s-2", "Running", "True", "FindingsDetected"),
		 STATUS("s-2", "Complete", "True", "FindingsDetected"), 0, "RunCompleted "},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_tree_ cJSON *old = rows[i].old ? cJSON_Parse(rows[i].old) : NULL;
		_cleanup_tree_ cJSON *new = cJSON_Parse(rows[i].new);
		struct transition list[TRANSITIONS_MAX];
		char told[256] = "";
		size_t n = transitions_find(old, new, rows[i].missed, 1800000000, list);

		for (size_t j = 0; j < n; j++) {
			size_t used = strlen(told);

			(void)snprintf(told + used, sizeof(told) - used, "%s%s ",
				       list[j].warning ? "!" : "", list[j].reason);
			assert_true(strlen(list[j].note) > 2 && strlen(list[j].key) > 2);
		}
		if (strcmp(told, rows[i].told) != 0)
			fail_msg("row %zu: %s, not %s", i, told, rows[i].told);
	}
}

static void notes_say_what_happened(void **state)
{
	_cleanup_tree_ cJSON *old = cJSON_Parse(STATUS("s-1", "Running", "False", "x"));
	_cleanup_tree_ cJSON *new = cJSON_Parse(STATUS("s-1", "Complete", "False", "x"));
	struct transition list[TRANSITIONS_MAX];

	(void)state;
	assert_int_equal(transitions_find(old, new, 100, 1800000000, list), 2);
	assert_string_equal(list[0].key, "2027-01-15T08:00:00Z");
	assert_non_null(strstr(list[0].note, "at least 100 scheduled runs were missed"));
	assert_string_equal(list[1].key, "s-1");
	assert_non_null(
		strstr(list[1].note, "completed in 41s: the end; 1 critical and 2 warning"));
}

/* --- reports ------------------------------------------------------------------------------------------------------------ */

static struct report_summary *summary(const char *name, const char *run, const char *numbers)
{
	_cleanup_tree_ cJSON *object = cJSON_CreateObject();
	cJSON *metadata = tree_add_object(object, "metadata");

	tree_add_str(metadata, "name", name);
	tree_add_str(metadata, "uid", "ru");
	tree_add_str(metadata, "resourceVersion", "77");
	cJSON_AddStringToObject(tree_add_object(metadata, "labels"), "memdiag.io/run", run);
	cJSON_AddStringToObject(tree_add_object(metadata, "annotations"), "memdiag.io/summary",
				numbers);
	tree_add_str(tree_push_object(tree_add_array(metadata, "ownerReferences")), "uid", "ou");
	return report_summary_new(object);
}

static void a_summary_is_read(void **state)
{
	/* nodeName in the annotation is what an agent says; the name is what the API server has checked. */
	struct report_summary *s =
		summary("nightly.node-a.example.com", "s-1",
			"{\"verdict\":\"Warning\",\"nodeName\":\"other\","
			"\"critical\":-3,\"warning\":1e15,\"reclaimableBytes\":5}");
	char text[2000];

	(void)state;
	assert_non_null(s);
	assert_string_equal(s->name, "nightly.node-a.example.com");
	assert_string_equal(s->diagnosis, "nightly");
	assert_string_equal(s->node, "node-a.example.com");
	assert_string_equal(s->run_id, "s-1");
	assert_string_equal(s->uid, "ru");
	assert_string_equal(s->version, "77");
	assert_string_equal(s->owner_uid, "ou");
	assert_string_equal(s->verdict, "Warning");
	assert_int_equal(s->critical, 0);
	assert_int_equal(s->warning, 1000000);
	assert_int_equal(s->reclaimable_bytes, 5);
	report_summary_free(s);
	assert_null(summary("no-dot", "s-1", "{}"));
	assert_null(summary("a.b", "s-1", "{"));
	(void)snprintf(text, sizeof(text), "{\"verdict\":\"%01500d\"}", 0);
	assert_null(summary("a.b", "s-1", text));
}

static void count_one(void *arg, struct report_summary *s)
{
	(void)s;
	++*(size_t *)arg;
}

static void reports_are_kept_by_diagnosis(void **state)
{
	const struct report_summary *list[300];
	struct reports reports;
	size_t n = 0;
	char name[64];

	(void)state;
	reports_init(&reports);
	for (int i = 0; i < 600; i++) {
		(void)snprintf(name, sizeof(name), "%s.node-%03d", i % 2 ? "odd" : "even", i);
		reports_set(&reports, summary(name, "s-1", "{}"));
	}
	reports_set(&reports, summary("odd.node-001", "s-2", "{}")); /* the same again */
	assert_int_equal(reports.n, 600);
	assert_int_equal(reports_count(&reports, "odd"), 300);
	assert_int_equal(reports_count(&reports, "none"), 0);
	reports_list(&reports, "odd", list);
	assert_string_equal(list[0]->node, "node-001");
	assert_string_equal(list[0]->run_id, "s-2");
	assert_string_equal(list[299]->node, "node-599");
	reports_each(&reports, count_one, &n);
	assert_int_equal(n, 600);
	reports_remove(&reports, "odd.node-599");
	reports_remove(&reports, "odd.node-599");
	reports_remove(&reports, "odd");
	assert_int_equal(reports.n, 599);
	/* A list that mentions two of them. */
	reports_mark(&reports);
	for (int i = 0; i < 2; i++) {
		struct report_summary *s =
			summary(i ? "odd.node-003" : "odd.node-001", "s-3", "{}");

		s->seen = true;
		reports_set(&reports, s);
	}
	reports_sweep(&reports);
	assert_int_equal(reports.n, 2);
	assert_int_equal(reports_count(&reports, "even"), 0);
	reports_remove(&reports, "odd.node-001");
	reports_remove(&reports, "odd.node-003");
	assert_int_equal(reports.diagnoses.n, 0);
	reports_done(&reports);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(told_once_and_in_order),
		cmocka_unit_test(notes_say_what_happened),
		cmocka_unit_test(a_summary_is_read),
		cmocka_unit_test(reports_are_kept_by_diagnosis),
	};

	tree_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
