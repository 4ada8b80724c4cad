/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of cgroups that add up to their usage and stand in a tree; the report of a breakdown, and how it looks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/tree.h"
#include "checks/memory_breakdown.h"
#include "instruments/cgroup_lines.h"
#include "report/breakdown.h"

#define MIB (1 << 20)

static int64_t line(const struct cgroup_stat *stat, bool v2, const char *name)
{
	struct memory_line lines[CGROUP_LINES_MAX];
	size_t n = cgroup_lines(stat, v2, lines);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(lines[i].name, name) == 0)
			return lines[i].bytes;
	}
	fail_msg("no line %s", name);
	return 0;
}

static void lines_of_v2(void **state)
{
	const struct cgroup_stat stat = {.usage = 1000,
					 .anon = 300,
					 .cache = 250,
					 .shmem = 50,
					 .kernel = 330,
					 .slab_reclaimable = 100,
					 .slab_unreclaimable = 40,
					 .kernel_stack = 16,
					 .page_tables = 20,
					 .sec_page_tables = 4,
					 .percpu = 10,
					 .vmalloc = 8,
					 .zswap = 2,
					 .socket = 60,
					 .inactive_file = 120};

	(void)state;
	assert_int_equal(line(&stat, true, "pageCache"), 200);
	assert_int_equal(line(&stat, true, "pageTables"), 24);
	/* Pipes, for example: in the kernel's sum and in no counter of their own. */
	assert_int_equal(line(&stat, true, "kernelOther"), 130);
	assert_int_equal(line(&stat, true, "residual"), 1000 - 300 - 250 - 330 - 60);
	assert_int_equal(cgroup_working_set(&stat), 880);
	assert_int_equal(cgroup_kernel_bytes(&stat), 330);
}

static void lines_of_v1(void **state)
{
	const struct cgroup_stat stat = {
		.usage = 1000, .anon = 300, .cache = 250, .shmem = 50, .kernel = 330, .socket = 60};

	(void)state;
	assert_int_equal(line(&stat, false, "kernel"), 330);
	/* kmem.tcp is no part of usage. */
	assert_int_equal(line(&stat, false, "residual"), 1000 - 300 - 250 - 330);
}

/* Before 5.18 v2 has no sum of all kernel memory. */
static void without_the_kernels_sum(void **state)
{
	const struct cgroup_stat stat = {.usage = 100, .slab_reclaimable = 30, .percpu = 5};

	(void)state;
	assert_int_equal(cgroup_kernel_bytes(&stat), 35);
	assert_int_equal(line(&stat, true, "kernelOther"), 0);
	assert_int_equal(line(&stat, true, "residual"), 65);
}

/* Whatever the counters say. */
static void the_sum_is_the_usage(void **state)
{
	(void)state;
	srand(9);
	for (int round = 0; round < 2000; round++) {
		struct memory_line lines[CGROUP_LINES_MAX];
		uint64_t values[sizeof(struct cgroup_stat) / sizeof(uint64_t)];
		struct cgroup_stat stat;
		int64_t sum = 0;
		size_t n;

		for (size_t i = 0; i < ARRAY_SIZE(values); i++)
			values[i] = (uint64_t)rand() << 12;
		memcpy(&stat, values, sizeof(stat));
		n = cgroup_lines(&stat, round % 2, lines);
		assert_true(n <= CGROUP_LINES_MAX);
		for (size_t i = 0; i < n; i++)
			sum += lines[i].bytes;
		assert_true(sum == (int64_t)stat.usage);
	}
}

/* --- the tree --------------------------------------------------------------------------------------------------------- */

static struct breakdown_row make(const char *cgroup, enum cgroup_kind kind, uint64_t usage)
{
	return (struct breakdown_row){.owner = {.cgroup = xstrdup(cgroup)},
				      .kind = kind,
				      .stat = {.usage = usage, .limit = UINT64_MAX}};
}

static void release(struct breakdown_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		owner_done(&rows[i].owner);
}

static void rows_stand_in_a_tree(void **state)
{
	struct breakdown_row rows[] = {
		make("/p/pod-a", CGROUP_KIND_POD, 500),
		make("/p/pod-a/c1", CGROUP_KIND_CONTAINER, 100),
		make("/p/pod-a/c1/init", CGROUP_KIND_CONTAINER, 90), /* systemd inside */
		make("/p/pod-b", CGROUP_KIND_POD, 900),
		make("/p/pod-a/c2", CGROUP_KIND_CONTAINER, 300),
		make("/p/pod-a-2", CGROUP_KIND_POD, 50), /* '-' sorts before '/' */
		make("/p", CGROUP_KIND_UNIT, 2000),
		make("/s.service", CGROUP_KIND_UNIT, 10),
	};
	static const struct {
		const char *cgroup;
		unsigned int depth;
		uint64_t own;
	} want[] = {
		{"/p", 0, 550},		 {"/p/pod-b", 1, 900},	  {"/p/pod-a", 1, 100},
		{"/p/pod-a/c2", 2, 300}, {"/p/pod-a/c1", 2, 100}, {"/p/pod-a-2", 1, 50},
		{"/s.service", 0, 10},
	};
	uint64_t not_kept = 99;
	size_t n = breakdown_rows_arrange(rows, ARRAY_SIZE(rows), 100, &not_kept);

	(void)state;
	assert_int_equal(n, ARRAY_SIZE(want));
	assert_int_equal(not_kept, 0);
	for (size_t i = 0; i < n; i++) {
		assert_string_equal(rows[i].owner.cgroup, want[i].cgroup);
		assert_int_equal(rows[i].depth, want[i].depth);
		assert_int_equal(rows[i].own, want[i].own);
	}
	release(rows, n);
}

static void the_largest_are_kept_with_what_is_above(void **state)
{
	struct breakdown_row rows[] = {
		make("/a", CGROUP_KIND_POD, 300),	  make("/a/1", CGROUP_KIND_CONTAINER, 290),
		make("/a/2", CGROUP_KIND_CONTAINER, 5),	  make("/b", CGROUP_KIND_POD, 200),
		make("/b/1", CGROUP_KIND_CONTAINER, 199),
	};
	uint64_t not_kept = 0;
	size_t n = breakdown_rows_arrange(rows, ARRAY_SIZE(rows), 3, &not_kept);

	(void)state;
	assert_int_equal(n, 3);
	assert_int_equal(not_kept, 2);
	assert_string_equal(rows[0].owner.cgroup, "/a");
	assert_string_equal(rows[1].owner.cgroup, "/a/1");
	assert_string_equal(rows[2].owner.cgroup, "/b");
	/* Of all its containers, listed or not. */
	assert_int_equal(rows[0].own, 5);
	assert_int_equal(rows[2].own, 1);
	assert_true(rows[2].has_children);
	release(rows, n);
	assert_int_equal(breakdown_rows_arrange(NULL, 0, 3, &not_kept), 0);
}

/* --- the report ------------------------------------------------------------------------------------------------------- */

static const struct meminfo node = {.total = 1000 * MIB,
				    .free = 300 * MIB,
				    .anon_pages = 200 * MIB,
				    .cached = 400 * MIB,
				    .active_file = 100 * MIB,
				    .inactive_file = 290 * MIB,
				    .dirty = 30 * MIB,
				    .slab = 50 * MIB,
				    .s_reclaimable = 30 * MIB,
				    .s_unreclaim = 20 * MIB,
				    .socket = 7 * MIB,
				    .balloon = 64 * MIB};

static size_t fill_rows(struct breakdown_row rows[3])
{
	static char ns[] = "shop", pod[] = "api-with-a-rather-long-name-7d9c5b6f4-x2x7k",
		    app[] = "app", side[] = "a-sidecar-whose-name-is-as-long-as-dns-labels-may-be";
	uint64_t not_kept;

	rows[0] = make("/kubepods/pod1", CGROUP_KIND_POD, 260 * MIB);
	rows[1] = make("/kubepods/pod1/c1", CGROUP_KIND_CONTAINER, 250 * MIB);
	rows[2] = make("/kubepods/pod1/c2", CGROUP_KIND_CONTAINER, 4 * MIB);
	for (int i = 0; i < 3; i++) {
		rows[i].owner.ns = xstrdup(ns);
		rows[i].owner.pod = xstrdup(pod);
	}
	rows[1].owner.container = xstrdup(app);
	rows[2].owner.container = xstrdup(side);
	rows[1].stat.limit = 256 * MIB;
	rows[1].stat.cache = 150 * MIB;
	rows[1].stat.shmem = 50 * MIB;
	rows[1].stat.anon = 90 * MIB;
	rows[1].stat.kernel = 8 * MIB;
	rows[1].stat.slab_reclaimable = 5 * MIB;
	rows[1].stat.inactive_file = 100 * MIB;
	return breakdown_rows_arrange(rows, 3, 100, &not_kept);
}

static void check_pods(const cJSON *result)
{
	const cJSON *pods = tree_get(result, "pods"), *pod = cJSON_GetArrayItem(pods, 0),
		    *container = cJSON_GetArrayItem(pods, 1), *row, *part;

	assert_string_equal(tree_str(pod, "kind"), "Pod");
	assert_int_equal(tree_int_or(pod, "ownBytes", 0), 6 * MIB);
	assert_string_equal(tree_str(container, "container"), "app");
	assert_int_equal(tree_int_or(container, "depth", 0), 1);
	assert_int_equal(tree_int_or(container, "workingSetBytes", 0), 150 * MIB);
	assert_int_equal(tree_int_or(container, "pageCacheBytes", 0), 100 * MIB);
	assert_int_equal(tree_int_or(container, "kernelBytes", 0), 8 * MIB);
	assert_int_equal(tree_int_or(container, "slabReclaimableBytes", 0), 5 * MIB);
	cJSON_ArrayForEach (row, pods) {
		int64_t sum = 0;

		cJSON_ArrayForEach (part, tree_get(result, "podLines")) {
			_cleanup_free_ char *field =
				xasprintf("%sBytes", tree_str_or_empty(part, "name"));

			assert_true(*tree_str_or_empty(part, "source"));
			sum += tree_int_or(row, field, 0);
		}
		assert_int_equal(sum, tree_int_or(row, "usageBytes", -1));
	}
}

static void the_report_adds_up_and_names_sources(void **state)
{
	struct breakdown_row rows[3];
	const struct breakdown_facts facts = {.node = node,
					      .v2 = true,
					      .rows = rows,
					      .n_rows = fill_rows(rows),
					      .not_listed = 4,
					      .not_read = 2};
	struct check_result result = {.type = CHECK_MEMORY_BREAKDOWN};
	const cJSON *part;
	int64_t sum = 0;

	(void)state;
	memory_breakdown_judge(&facts, &result);
	cJSON_ArrayForEach (part, tree_get(result.result, "node.lines")) {
		assert_true(*tree_str_or_empty(part, "source"));
		sum += tree_int_or(part, "bytes", 0);
	}
	assert_int_equal(sum, 1000 * MIB);
	assert_int_equal(tree_int_or(result.result, "node.otherFileBytes", 0), 10 * MIB);
	assert_int_equal(tree_int_or(result.result, "node.balloonBytes", 0), 64 * MIB);
	check_pods(result.result);
	assert_int_equal(tree_int_or(result.result, "podsNotListed", 0), 4);
	/* Nothing is left out without a word. */
	assert_string_equal(result.reason, "RowsMissing");
	assert_non_null(strstr(result.message, "2 cgroups"));
	check_result_done(&result);
	release(rows, 3);
}

static void what_is_missing_is_named(void **state)
{
	struct breakdown_facts facts = {.node = node,
					.problem = "this host has no memory controller"};
	struct check_result result = {.type = CHECK_MEMORY_BREAKDOWN};

	(void)state;
	parse_note(&facts.notes, "meminfo", "Slab: x", "not a number");
	memory_breakdown_judge(&facts, &result);
	assert_string_equal(result.reason, "LinesNotRead");
	assert_string_equal(result.message,
			    "meminfo: Slab: x: not a number; nothing about pods and "
			    "units: this host has no memory controller");
	assert_int_equal(result.state, CHECK_COMPLETE);
	assert_int_equal(tree_int_or(result.result, "node.totalBytes", 0), 1000 * MIB);
	check_result_done(&result);
}

static void it_fits_a_terminal(void **state)
{
	struct breakdown_row rows[3];
	const struct breakdown_facts facts = {
		.node = node, .rows = rows, .n_rows = fill_rows(rows)};
	struct check_result result = {.type = CHECK_MEMORY_BREAKDOWN};
	_cleanup_tree_ cJSON *check = cJSON_CreateObject();
	_cleanup_buf_ struct buf out = BUF_INIT(65536);
	char *rest, *text;

	(void)state;
	memory_breakdown_judge(&facts, &result);
	cJSON_AddItemReferenceToObject(check, "memoryBreakdown", result.result);
	render_breakdown(check, &out);
	/* 40 % of the node: 8 of 20. */
	assert_non_null(strstr(out.data, " 40.0 %  --------     "));
	assert_non_null(strstr(out.data, "+ page cache"));
	assert_non_null(strstr(out.data, ". reclaimed first"));
	assert_non_null(strstr(out.data, "7Mi sockets (in slab"));
	/* A pod's bar, its containers below it, and what is neither's. */
	assert_non_null(strstr(out.data, "  aaaaccccc"));
	assert_non_null(strstr(out.data, "   + app\n"));
	assert_non_null(strstr(out.data, "   + (no container)\n"));
	rest = out.data;
	while ((text = strsep(&rest, "\n"))) {
		if (strlen(text) > 100)
			fail_msg("%zu columns: %s", strlen(text), text);
	}
	check_result_done(&result);
	release(rows, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_v2),
		cmocka_unit_test(lines_of_v1),
		cmocka_unit_test(without_the_kernels_sum),
		cmocka_unit_test(the_sum_is_the_usage),
		cmocka_unit_test(rows_stand_in_a_tree),
		cmocka_unit_test(the_largest_are_kept_with_what_is_above),
		cmocka_unit_test(the_report_adds_up_and_names_sources),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(it_fits_a_terminal),
	};

	tree_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
