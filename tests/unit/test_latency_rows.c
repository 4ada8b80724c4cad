/* SPDX-License-Identifier: Apache-2.0 */
/* What latency checks share: rows by container and cause, the report's object, thresholds of waits, manifests in hints. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "checks/latency_rows.h"
#include "report/hints.h"
#include "report/render.h"

static const struct latency_words words = {
	.causes = {"limit", "global", "async"},
	.n = 3,
	.background = 1U << 2,
};

static void count(struct latency_rows *rows, const struct owner *owner, uint32_t cause,
		  uint64_t target, uint64_t ns)
{
	struct latency_row row = {.cause = cause, .target_id = target};

	hist_record(&row.hist, ns);
	latency_rows_count(rows, owner, &row);
	hist_add(&rows->node[cause], &row.hist);
}

static struct latency_rows *example(void)
{
	struct latency_rows *rows = xcalloc(1, sizeof(*rows));
	const struct owner own = {
		.cgroup = "/kubepods/podx/c", .ns = "shop", .pod = "api-0", .container = "app"};
	const struct owner below = {.cgroup = "/kubepods/podx/c/child",
				    .ns = "shop",
				    .pod = "api-0",
				    .container = "app"};
	const struct owner unit = {.cgroup = "/system.slice/db.service", .unit = "db.service"};

	rows->words = words;
	rows->window_ns = 10 * NSEC_PER_SEC;
	count(rows, &unit, 0, 7, 300 * NSEC_PER_MSEC);
	count(rows, &below, 0, 5, 100 * NSEC_PER_MSEC);
	count(rows, &own, 0, 6, 200 * NSEC_PER_MSEC);
	count(rows, &own, 1, 0, 50 * NSEC_PER_MSEC);
	count(rows, &own, 2, 0, 900 * NSEC_PER_MSEC);
	latency_rows_sort(rows);
	return rows;
}

static void a_container_is_one_row(void **state)
{
	struct latency_rows *rows = example();
	struct hist hist;

	(void)state;
	assert_int_equal(rows->n, 2);
	/* 350 ms of waits, before 300 ms; the background's 900 ms do not count. */
	assert_string_equal(rows->items[0].owner.pod, "api-0");
	assert_string_equal(rows->items[0].owner.cgroup, "/kubepods/podx/c");
	assert_int_equal(rows->items[0].waits.count, 3);
	assert_int_equal(rows->items[0].waits.sum_ns, 350 * NSEC_PER_MSEC);
	/* Targets stay apart, causes can be had whole. */
	assert_int_equal(rows->items[0].n_parts, 4);
	hist = latency_container_cause(&rows->items[0], 0);
	assert_int_equal(hist.count, 2);
	assert_int_equal(hist.sum_ns, 300 * NSEC_PER_MSEC);
	assert_int_equal(latency_permille(rows, hist.sum_ns), 30);
	latency_rows_free(rows);
}

static void the_report_has_the_crds_shape(void **state)
{
	struct latency_rows *rows = example();
	_cleanup_tree_ cJSON *result = cJSON_CreateObject();
	const cJSON *list, *row, *cause;

	(void)state;
	list = latency_rows_add(rows, 1, result);
	assert_int_equal(tree_int_or(result, "windowSeconds", -1), 10);
	assert_int_equal(cJSON_GetArraySize(tree_get(result, "node.causes")), 3);
	cause = cJSON_GetArrayItem(tree_get(result, "node.causes"), 0);
	assert_string_equal(tree_str(cause, "cause"), "limit");
	assert_int_equal(tree_int_or(cause, "count", -1), 3);
	assert_int_equal(tree_int_or(cause, "sumMicros", -1), 600000);
	assert_int_equal(tree_int_or(cause, "maxMicros", -1), 300000);
	assert_int_equal(tree_int_or(cause, "p99Micros", -1), 300000);
	/* 100 ms has an edge of its own; 200 and 300 ms are in the two buckets above 131 ms. */
	assert_int_equal(cJSON_GetArraySize(tree_get(cause, "buckets")), 3);
	assert_int_equal(
		tree_int_or(cJSON_GetArrayItem(tree_get(cause, "buckets"), 0), "leMicros", -1),
		100000);
	assert_int_equal(cJSON_GetArraySize(list), 1); /* top */
	row = cJSON_GetArrayItem(list, 0);
	assert_string_equal(tree_str(row, "container"), "app");
	assert_string_equal(tree_str(row, "mainCause"), "limit");
	assert_int_equal(tree_int_or(row, "sumMicros", -1), 350000);
	assert_int_equal(cJSON_GetArraySize(tree_get(row, "causes")), 3);
	latency_rows_free(rows);
}

static void what_is_missing_is_said(void **state)
{
	struct latency_rows *rows = example();
	struct check_result result = {0};

	(void)state;
	latency_rows_describe(rows, &result);
	assert_null(result.reason);
	assert_int_equal(result.coverage_permille, 1000);
	rows->unnamed = 2;
	latency_rows_describe(rows, &result);
	assert_string_equal(result.reason, "NamesMissing");
	rows->lost = 5;
	latency_rows_describe(rows, &result);
	assert_string_equal(result.reason, "EventsLost");
	assert_int_equal(result.coverage_permille, 500);
	assert_non_null(strstr(result.message, "5 of 10 events"));
	latency_rows_free(rows);
}

static void waits_have_two_kinds_of_limits(void **state)
{
	struct spec *spec = spec_new();
	const char *reason = "LimitReclaimStalls";

	(void)state;
	/* 5 % and 20 % of 10 s. */
	assert_int_equal(spec_severity_wait(spec, reason, 499999, 499999, 10000000), SEVERITY_NONE);
	assert_int_equal(spec_severity_wait(spec, reason, 500000, 1, 10000000), SEVERITY_WARNING);
	assert_int_equal(spec_severity_wait(spec, reason, 2000000, 1, 10000000), SEVERITY_CRITICAL);
	spec->thresholds[spec->n_thresholds++] = (struct spec_threshold){
		.reason = reason_find(reason),
		.warning = {THRESHOLD_MICROS, 100000},
	};
	assert_int_equal(spec_severity_wait(spec, reason, 600000, 99999, 10000000), SEVERITY_NONE);
	assert_int_equal(spec_severity_wait(spec, reason, 100000, 100000, 10000000),
			 SEVERITY_WARNING);
	spec_free(spec);
}

/* Braces of JSON stay, names are filled in, and lines stay lines from the rule to the terminal. */
static void manifests_stay_readable(void **state)
{
	struct hint_facts facts = {0};
	struct finding finding = {.reason = "GlobalReclaimStalls", .message = xstrdup("x")};
	_cleanup_tree_ cJSON *report = cJSON_CreateObject(), *manifest = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(65536), yaml = BUF_INIT(65536);
	struct findings findings = {0};
	const char *text = NULL;

	(void)state;
	hint_facts_set(&facts, "scale", "150");
	hint_facts_set(&facts, "scale_now", "10");
	hints_apply(&facts, &finding);
	*findings_add(&findings) = finding;
	finding_to_tree(&finding, "node-a", tree_add_array(report, "findings"));
	for (size_t i = 0; i < finding.n_hints; i++) {
		if (strcmp(finding.hints[i].id, "koordinator-watermark") == 0)
			text = tree_str(cJSON_GetArrayItem(
						tree_get(cJSON_GetArrayItem(
								 tree_get(report, "findings"), 0),
							 "hints"),
						(int)i),
					"manifest");
	}
	assert_non_null(text);
	assert_int_equal(tree_parse_yaml(text, strlen(text), &manifest, NULL), 0);
	assert_string_equal(tree_str(manifest, "metadata.name"), "slo-controller-config");
	assert_non_null(strstr(tree_str(tree_get(manifest, "data"), "system-config"),
			       "{\"clusterStrategy\":{\"watermarkScaleFactor\":150}}"));
	assert_int_equal(render_report(report, &out), 0);
	assert_non_null(strstr(out.data, "\n       |   system-config: |\n"));
	assert_int_equal(tree_print_yaml(report, &yaml), 0);
	assert_null(strstr(yaml.data, "\\x0a"));
	hint_facts_done(&facts);
	findings_done(&findings);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_container_is_one_row),
		cmocka_unit_test(the_report_has_the_crds_shape),
		cmocka_unit_test(what_is_missing_is_said),
		cmocka_unit_test(waits_have_two_kinds_of_limits),
		cmocka_unit_test(manifests_stay_readable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
