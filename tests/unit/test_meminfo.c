/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's counters: strict with what is known, lenient with the rest; parts that add up to the byte. */
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
#include "instruments/cgroupfs.h"
#include "instruments/meminfo.h"
#include "report/breakdown.h"

static const char good[] =
	"MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    500 kB\n"
	"Buffers:          10 kB\nCached:          200 kB\nAnonPages:       300 kB\n"
	"Shmem:            50 kB\nSlab:             90 kB\nSReclaimable:     60 kB\n"
	"SUnreclaim:       30 kB\nPageTables:        5 kB\nKReclaimable:     61 kB\n"
	"KernelStack:       4 kB\nVmallocUsed:      20 kB\nPercpu:            6 kB\n"
	"SomethingNew:   9999 kB\nHugePages_Total:    0\n";

static int64_t line(const struct meminfo *info, const char *name)
{
	struct memory_line lines[MEMORY_LINES_MAX];
	size_t n = meminfo_lines(info, lines);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(lines[i].name, name) == 0)
			return lines[i].bytes;
	}
	fail_msg("no line %s", name);
	return 0;
}

static void parts_do_not_overlap(void **state)
{
	struct parse_notes notes = {0};
	struct meminfo info = {0};

	(void)state;
	meminfo_parse(good, &info, &notes);
	assert_int_equal(notes.n, 0);
	assert_int_equal(info.total, 1000 << 10);
	assert_int_equal(line(&info, "pageCache"), (200 + 10 - 50) << 10);
	assert_int_equal(line(&info, "vmalloc"), 16 << 10);
	assert_int_equal(line(&info, "miscReclaimable"), 1 << 10);
	assert_int_equal(line(&info, "residual"),
			 (1000 - 100 - 300 - 50 - 160 - 60 - 30 - 1 - 4 - 16 - 5 - 6) << 10);
}

/* Whatever the counters say, the lines add up to MemTotal to the byte. */
static void the_sum_is_exact(void **state)
{
	(void)state;
	srand(7);
	for (int round = 0; round < 1000; round++) {
		struct memory_line lines[MEMORY_LINES_MAX];
		uint64_t values[sizeof(struct meminfo) / sizeof(uint64_t)];
		struct meminfo info;
		int64_t sum = 0;
		size_t n;

		for (size_t i = 0; i < ARRAY_SIZE(values); i++)
			values[i] = (uint64_t)rand() << 12;
		memcpy(&info, values, sizeof(info));
		n = meminfo_lines(&info, lines);
		assert_true(n <= MEMORY_LINES_MAX);
		for (size_t i = 0; i < n; i++)
			sum += lines[i].bytes;
		assert_true(sum == (int64_t)info.total);
	}
}

static void bad_lines_are_named(void **state)
{
	static const struct {
		const char *text, *note;
	} rows[] = {
		{"MemFree: x kB\n", "MemFree: x kB: not a number"},
		{"MemFree: -5 kB\n", "not a number"},
		{"MemFree: 99999999999999999999 kB\n", "too large"},
		{"MemFree: 18446744073709551615 kB\n", "too large"}, /* overflows when in bytes */
		{"MemFree: 12", "12: not a number"},		     /* the file was cut here */
		{"MemFree: 1 kB\nMemFree: 2 kB\n", "comes twice"},
		{"", "MemTotal: is missing"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct parse_notes notes = {0};
		struct meminfo info = {0};
		bool found = false;

		meminfo_parse(rows[i].text, &info, &notes);
		for (size_t k = 0; k < notes.n; k++)
			found |= strstr(notes.lines[k], rows[i].note) != NULL;
		if (!found)
			fail_msg("\"%s\": %s", rows[i].text,
				 notes.n ? notes.lines[0] : "(no note)");
	}
}

static void the_rest_is_used(void **state)
{
	struct parse_notes notes = {0};
	struct meminfo info = {0};

	(void)state;
	meminfo_parse("MemTotal: 10 kB\nMemFree: x\nCached: 7 kB\n", &info, &notes);
	assert_int_equal(info.total, 10 << 10);
	assert_int_equal(info.cached, 7 << 10);
	assert_int_equal(info.free, 0);
	/* Six required keys are missing or bad; the first four are named, the rest counted. */
	assert_int_equal(notes.n, NOTES_MAX);
	assert_true(notes.dropped > 0);
}

static void other_files(void **state)
{
	static const char zones[] =
		"Node 0, zone      DMA\n  pagesets\n    cpu: 0\n              count:    5\n"
		"              high:     9\n    cpu: 1\n              count:    7\n"
		"Node 0, zone   Normal\n    cpu: 0\n              count: 100\n";
	struct parse_notes notes = {0};
	struct cgroup_stat v1 = {0}, v2 = {0};

	(void)state;
	assert_int_equal(meminfo_parse_pcp(zones, 4096, &notes), 112 * 4096);
	assert_int_equal(
		meminfo_parse_sockets(
			"sockets: used 9\nTCP: inuse 5 orphan 0 mem 3\nUDP: inuse 2 mem 4\n", 4096,
			&notes),
		7 * 4096);
	assert_int_equal(notes.n, 0);
	assert_int_equal(meminfo_parse_pcp(" count: zz\n count: 3\n", 4096, &notes), 3 * 4096);
	assert_int_equal(notes.n, 1);
	cgroupfs_parse_stat("cache 1\nrss 2\ntotal_cache 10\ntotal_rss 20\ntotal_shmem 3\n", false,
			    &v1, NULL);
	assert_int_equal(v1.cache, 10);
	assert_int_equal(v1.anon, 20);
	cgroupfs_parse_stat("anon 5\nfile 6\nkernel 7\nslab_reclaimable 8\n", true, &v2, NULL);
	assert_int_equal(v2.anon, 5);
	assert_int_equal(v2.cache, 6);
	assert_int_equal(v2.kernel, 7);
}

static void the_report_names_sources_and_fits(void **state)
{
	struct breakdown_row row = {.owner = {.cgroup = (char *)"/kubepods/x",
					      .ns = (char *)"shop",
					      .pod = (char *)"api-0",
					      .container = (char *)"app"},
				    .stat = {.usage = 250 << 20,
					     .inactive_file = 100 << 20,
					     .cache = 150 << 20,
					     .shmem = 50 << 20,
					     .limit = 256 << 20}};
	struct breakdown_facts facts = {.spec = spec_new(), .rows = &row, .n_rows = 1};
	struct check_result result = {.type = CHECK_MEMORY_BREAKDOWN};
	_cleanup_tree_ cJSON *check = cJSON_CreateObject();
	_cleanup_buf_ struct buf out = BUF_INIT(65536);
	const cJSON *pod, *part;
	char *rest, *text;
	int64_t sum = 0;

	(void)state;
	meminfo_parse(good, &facts.node, &facts.notes);
	memory_breakdown_judge(&facts, &result);
	pod = cJSON_GetArrayItem(tree_get(result.result, "pods"), 0);
	assert_string_equal(tree_str(pod, "pod"), "api-0");
	assert_int_equal(tree_int_or(pod, "workingSetBytes", 0), 150 << 20);
	assert_int_equal(tree_int_or(pod, "pageCacheBytes", 0), 100 << 20);
	cJSON_ArrayForEach (part, tree_get(result.result, "node.lines")) {
		assert_true(*tree_str_or_empty(part, "source"));
		sum += tree_int_or(part, "bytes", 0);
	}
	assert_int_equal(sum, 1000 << 10);
	cJSON_AddItemReferenceToObject(check, "memoryBreakdown", result.result);
	render_breakdown(check, &out);
	rest = out.data;
	while ((text = strsep(&rest, "\n")))
		assert_true(strlen(text) <= 100);
	spec_free((struct spec *)facts.spec);
	check_result_done(&result);
}

static void the_residual_that_is_believed(void **state)
{
	static const int64_t one[] = {7}, odd[] = {90, 12, 11, 80, 13, 10, 70, 14, 60},
			     moved[] = {-5, -9, -1, 30, 20}, all_moved[] = {-5, -1, -9},
			     same[] = {4, 4, 4, 4};

	(void)state;
	assert_int_equal(meminfo_choose(one, ARRAY_SIZE(one)), 0);
	/* Ascending 10 11 12: the third of nine. */
	assert_int_equal(meminfo_choose(odd, ARRAY_SIZE(odd)), 1);
	/* The smallest that is not negative; with none, the nearest to it. */
	assert_int_equal(meminfo_choose(moved, ARRAY_SIZE(moved)), 4);
	assert_int_equal(meminfo_choose(all_moved, ARRAY_SIZE(all_moved)), 1);
	assert_int_equal(meminfo_choose(same, ARRAY_SIZE(same)), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_do_not_overlap),
		cmocka_unit_test(the_sum_is_exact),
		cmocka_unit_test(bad_lines_are_named),
		cmocka_unit_test(the_rest_is_used),
		cmocka_unit_test(other_files),
		cmocka_unit_test(the_report_names_sources_and_fits),
		cmocka_unit_test(the_residual_that_is_believed),
	};

	tree_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
