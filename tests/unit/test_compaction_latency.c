/* SPDX-License-Identifier: Apache-2.0 */
/* Judging compaction latency; on facts written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "checks/compaction_latency.h"

static void count(struct latency_rows *rows, const struct owner *owner, uint32_t cause,
		  uint64_t order, uint64_t ms)
{
	struct latency_row row = {.cause = cause, .target_id = order};

	hist_record(&row.hist, ms * NSEC_PER_MSEC);
	latency_rows_count(rows, owner, &row);
	hist_add(&rows->node[cause], &row.hist);
}

/* In 10 s: a container that faults huge pages, and kcompactd. */
static struct latency_rows *example(void)
{
	const struct owner app = {
		.cgroup = "/kubepods/podx/app", .ns = "shop", .pod = "db-0", .container = "db"};
	const struct owner root = {.cgroup = "/"};
	struct latency_rows *rows = xcalloc(1, sizeof(*rows));

	rows->words = compaction_words;
	rows->window_ns = 10 * NSEC_PER_SEC;
	count(rows, &app, COMPACTION_SUCCESS, 9, 400);
	count(rows, &app, COMPACTION_FAILURE, 9, 200);
	count(rows, &app, COMPACTION_FAILURE, 3, 100);
	count(rows, &app, COMPACTION_DEFERRED, 9, 0);
	count(rows, &root, COMPACTION_KCOMPACTD, 0, 5000);
	latency_rows_sort(rows);
	return rows;
}

static const struct hint *hint(const struct finding *finding, const char *id)
{
	for (size_t i = 0; i < finding->n_hints; i++)
		if (strcmp(finding->hints[i].id, id) == 0)
			return &finding->hints[i];
	return NULL;
}

static void waits_are_direct_ones(void **state)
{
	struct latency_rows *rows = example();
	struct spec *spec = spec_new();
	const struct compaction_facts facts = {
		.spec = spec,
		.rows = rows,
		.vmstat = {.compact_stall = 4},
		.zones = {.free_blocks = {512, 0, 0, 64, 0, 0, 0, 0, 0, 2}},
		.proactiveness = 20,
		.defrag = "madvise",
		.huge_order = 9,
	};
	struct check_result result = {0};
	const struct finding *finding;
	const cJSON *orders;

	(void)state;
	compaction_judge(&facts, &result);
	/* 7 % of the window: the container's, and the node's; not kcompactd's 50 %. */
	assert_int_equal(result.findings.n, 2);
	finding = &result.findings.items[0];
	assert_string_equal(finding->reason, "CompactionStalls");
	assert_int_equal(finding->severity, SEVERITY_WARNING);
	assert_string_equal(finding->subject.pod, "db-0");
	assert_non_null(strstr(finding->message, "3 times, in vain 2 times, mostly for order 9"));
	assert_string_equal(hint(finding, "thp-defer")->command,
			    "echo defer > /sys/kernel/mm/transparent_hugepage/defrag");
	assert_string_equal(hint(finding, "compaction-proactiveness")->command,
			    "sysctl -w vm.compaction_proactiveness=60");
	/* Half of the free memory is in two blocks of order 9. */
	assert_string_equal(hint(finding, "compact-now")->current,
			    "50.0 % of free memory is in pieces below order 9");
	orders = tree_get(result.result, "orders");
	assert_int_equal(cJSON_GetArraySize(orders), 2);
	assert_int_equal(tree_int_or(cJSON_GetArrayItem(orders, 1), "count", -1), 3);
	assert_int_equal(tree_int_or(result.result, "node.compactStall", -1), 4);
	check_result_done(&result);
	latency_rows_free(rows);
	spec_free(spec);
}

/* Nothing is proposed that the kernel does not have, or that is done already. */
static void remedies_fit_the_node(void **state)
{
	struct latency_rows *rows = example();
	struct spec *spec = spec_new();
	const struct compaction_facts facts = {
		.spec = spec,
		.rows = rows,
		.proactiveness = UINT64_MAX,
		.defrag = "never",
		.huge_order = 9,
	};
	struct check_result result = {0};

	(void)state;
	compaction_judge(&facts, &result);
	assert_int_equal(result.findings.n, 2);
	assert_null(hint(&result.findings.items[0], "thp-defer"));
	assert_null(hint(&result.findings.items[0], "compaction-proactiveness"));
	check_result_done(&result);
	latency_rows_free(rows);
	spec_free(spec);
}

static void choices(void **state)
{
	char out[24];

	(void)state;
	compaction_parse_choice("always defer defer+madvise [madvise] never\n", out, sizeof(out));
	assert_string_equal(out, "madvise");
	compaction_parse_choice("always never\n", out, sizeof(out));
	assert_string_equal(out, "");
	compaction_parse_choice("[never\n", out, sizeof(out));
	assert_string_equal(out, "");
	compaction_parse_choice("[a-word-that-is-longer-than-any-of-these]", out, sizeof(out));
	assert_string_equal(out, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_are_direct_ones),
		cmocka_unit_test(remedies_fit_the_node),
		cmocka_unit_test(choices),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
