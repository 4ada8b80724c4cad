/* SPDX-License-Identifier: Apache-2.0 */
/* Judging page cache and shared memory, on snapshots written by hand; the report around it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/tree.h"
#include "checks/page_cache.h"
#include "checks/shared_memory.h"
#include "report/render.h"
#include "report/report.h"

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

/* A node of 8 GiB: a pod's cgroup with a 256 MiB limit and a log file, one that leaks shared memory, a dying one. */
struct fixture {
	struct pages_snapshot pages;
	struct pages_file files[4];
	struct pages_charge charges[4];
	struct pages_memcg memcgs[3];
	struct pages_directory directories[1];
	struct cgroup_usage usages[3];
	struct spec *spec;
	struct cache_facts facts;
};

static void fill_files(struct fixture *f)
{
	f->charges[0] = (struct pages_charge){1, 34 * GIB / 10};
	f->charges[1] = (struct pages_charge){0, 228 * MIB};
	f->charges[2] = (struct pages_charge){2, 100 * MIB};
	f->charges[3] = (struct pages_charge){0, 4096};
	f->files[0] = (struct pages_file){.dev_minor = 21,
					  .inode = 9,
					  .kind = PAGES_SHMEM,
					  .fstype = "tmpfs",
					  .path = xstrdup("/ganglia/seg.1"),
					  .size_bytes = 34 * GIB / 10,
					  .cached_bytes = 34 * GIB / 10,
					  .charges = &f->charges[0],
					  .n_charges = 1};
	f->files[1] = (struct pages_file){.dev_major = 254,
					  .inode = 131075,
					  .kind = PAGES_FILE,
					  .fstype = "ext4",
					  .path = xstrdup("/var/log/a\nb.log"),
					  .size_bytes = 228 * MIB,
					  .cached_bytes = 228 * MIB,
					  .dirty_bytes = 28 * MIB,
					  .charges = &f->charges[1],
					  .n_charges = 1};
	f->files[2] = (struct pages_file){.dev_major = 254,
					  .inode = 77,
					  .kind = PAGES_FILE,
					  .fstype = "ext4",
					  .path = xstrdup("/var/lib/gone"),
					  .deleted = true,
					  .size_bytes = 100 * MIB,
					  .cached_bytes = 100 * MIB,
					  .charges = &f->charges[2],
					  .n_charges = 1};
	f->files[3] = (struct pages_file){.dev_major = 254,
					  .inode = 78,
					  .kind = PAGES_FILE,
					  .fstype = "ext4",
					  .path = NULL,
					  .size_bytes = 4096,
					  .cached_bytes = 4096,
					  .charges = &f->charges[3],
					  .n_charges = 1};
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	fill_files(f);
	f->memcgs[0] = (struct pages_memcg){.id = 10,
					    .path = xstrdup("/kubepods/pod1/c1"),
					    .cached_bytes = 228 * MIB + 4096,
					    .dirty_bytes = 28 * MIB,
					    .top_file = 1,
					    .top_shmem = SIZE_MAX};
	f->memcgs[1] = (struct pages_memcg){.id = 11,
					    .path = xstrdup("/"),
					    .cached_bytes = 34 * GIB / 10,
					    .shmem_bytes = 34 * GIB / 10,
					    .top_file = SIZE_MAX,
					    .top_shmem = 0};
	f->memcgs[2] = (struct pages_memcg){.id = 12,
					    .path = xstrdup("/kubepods/pod1/c1"),
					    .dying = true,
					    .cached_bytes = 100 * MIB,
					    .top_file = 2,
					    .top_shmem = SIZE_MAX};
	f->directories[0] = (struct pages_directory){.dev_minor = 21,
						     .fstype = "tmpfs",
						     .path = xstrdup("/ganglia"),
						     .files = 120000,
						     .bytes = 34 * GIB / 10};
	f->usages[0] = (struct cgroup_usage){250 * MIB, 0, 256 * MIB, UINT64_MAX};
	f->usages[1] = (struct cgroup_usage){4 * GIB, 0, UINT64_MAX, UINT64_MAX};
	f->usages[2] = (struct cgroup_usage){0, 0, UINT64_MAX, UINT64_MAX};
	f->pages = (struct pages_snapshot){.method = "bpf-page-scan",
					   .total_bytes = 34 * GIB / 10 + 328 * MIB + 4096,
					   .shmem_bytes = 34 * GIB / 10,
					   .unresolved_bytes = 4096,
					   .unresolved_files = 1,
					   .n_files = 4,
					   .files = f->files,
					   .n_files_kept = 4,
					   .memcgs = f->memcgs,
					   .n_memcgs = 3,
					   .shmem_directories = f->directories,
					   .n_shmem_directories = 1,
					   .coverage_permille = 1000,
					   .bpf_calls = 5,
					   .bpf_max_call_ns = 1500};
	f->spec = spec_new();
	f->facts = (struct cache_facts){.spec = f->spec,
					.pages = &f->pages,
					.usages = f->usages,
					.n_usages = 3,
					.cgroup_mode = CGROUP_V2,
					.cgroup_mount = "/sys/fs/cgroup",
					.mem_total_bytes = 8 * GIB};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ARRAY_SIZE(f->files); i++)
		free(f->files[i].path);
	for (size_t i = 0; i < ARRAY_SIZE(f->memcgs); i++)
		free(f->memcgs[i].path);
	free(f->directories[0].path);
	spec_free(f->spec);
	free(f);
	return 0;
}

static const char *hint_ids(const struct finding *finding, char out[256])
{
	out[0] = '\0';
	for (size_t i = 0; i < finding->n_hints; i++) {
		strcat(out, finding->hints[i].id);
		strcat(out, " ");
	}
	return out;
}

static void page_cache_findings(void **state)
{
	struct fixture *f = *state;
	struct check_result result = {.type = CHECK_PAGE_CACHE};
	const struct finding *finding;
	char ids[256];

	page_cache_judge(&f->facts, &result);
	/* 89 % of a 256 MiB limit; 100 MiB and shared memory of an 8 GiB node are not worth a word. */
	assert_int_equal(result.findings.n, 1);
	finding = &result.findings.items[0];
	{
		_cleanup_free_ char *id = finding_id(finding);

		assert_string_equal(id, "PageCacheHigh/cgroup/kubepods/pod1/c1");
	}
	assert_int_equal(finding->severity, SEVERITY_CRITICAL);
	assert_true(finding->bytes == 228 * MIB + 4096);
	assert_true(finding->reclaimable_bytes == 200 * MIB + 4096);
	assert_string_equal(finding->message,
			    "228Mi of page cache, 89.0 % of its memory limit of 256Mi; largest "
			    "file /var/log/a\\x0ab.log (228Mi)");
	assert_string_equal(hint_ids(finding, ids),
			    "cap-cache-memory-high reclaim-cgroup drop-caches ");
	assert_string_equal(finding->hints[0].command,
			    "echo 100M > /sys/fs/cgroup/kubepods/pod1/c1/memory.high");
	assert_string_equal(finding->hints[0].current, "max");
	assert_string_equal(finding->hints[0].proposed, "100M");
	assert_non_null(finding->hints[0].trade_off);
	check_result_done(&result);
}

static void expect_largest(struct fixture *f, const char *name)
{
	struct check_result result = {.type = CHECK_PAGE_CACHE};
	_cleanup_free_ char *expected = xasprintf("; largest file %s (228Mi)", name);

	page_cache_judge(&f->facts, &result);
	assert_int_equal(result.findings.n, 1);
	assert_non_null(strstr(result.findings.items[0].message, expected));
	check_result_done(&result);
}

static void file_has_the_containers_name(void **state)
{
	struct fixture *f = *state;
	struct cache_place places[4] = {0};

	f->facts.places = places;
	expect_largest(f, "/var/log/a\\x0ab.log");
	places[1].container_path = (char *)"/logs/b.log";
	expect_largest(f, "/logs/b.log");
	places[1].volume = (char *)"logs";
	expect_largest(f, "/logs/b.log of volume logs");
	/* Another container pays most for it, and its path is that one's. */
	f->charges[1].memcg = 2;
	expect_largest(f, "/var/log/a\\x0ab.log");
}

static void cgroup_v1_gets_v1_hints(void **state)
{
	struct fixture *f = *state;
	struct check_result result = {.type = CHECK_PAGE_CACHE};
	char ids[256];

	f->facts.cgroup_mode = CGROUP_HYBRID;
	page_cache_judge(&f->facts, &result);
	assert_string_equal(hint_ids(&result.findings.items[0], ids),
			    "empty-cgroup-cache drop-caches ");
	check_result_done(&result);

	/* A limit is proposed where there is none. */
	f->usages[0].limit = UINT64_MAX;
	f->facts.mem_total_bytes = 512 * MIB;
	result = (struct check_result){.type = CHECK_PAGE_CACHE};
	page_cache_judge(&f->facts, &result);
	assert_string_equal(hint_ids(&result.findings.items[0], ids),
			    "empty-cgroup-cache limit-cgroup drop-caches ");
	check_result_done(&result);
}

static void dying_cgroups_keep_apart(void **state)
{
	struct fixture *f = *state;
	struct check_result result = {.type = CHECK_PAGE_CACHE};
	char ids[256];

	f->spec->thresholds[0] = (struct spec_threshold){.reason = reason_find("PageCacheHigh"),
							 .warning = {THRESHOLD_BYTES, 50 * MIB}};
	f->spec->n_thresholds = 1;
	page_cache_judge(&f->facts, &result);
	assert_int_equal(result.findings.n, 2);
	{
		_cleanup_free_ char *id = finding_id(&result.findings.items[1]);

		assert_string_equal(id, "PageCacheHigh/cgroup/kubepods/pod1/c1@12");
	}
	/* Its file is deleted, and there is no directory to write a limit to. */
	assert_string_equal(hint_ids(&result.findings.items[1], ids),
			    "release-deleted-file drop-caches ");
	check_result_done(&result);
}

static void shared_memory_findings(void **state)
{
	struct fixture *f = *state;
	struct check_result result = {.type = CHECK_SHARED_MEMORY};
	const struct finding *finding;

	shared_memory_judge(&f->facts, &result);
	assert_int_equal(result.findings.n, 1);
	finding = &result.findings.items[0];
	assert_int_equal(finding->severity, SEVERITY_CRITICAL);
	assert_string_equal(finding->reason, "SharedMemoryHigh");
	assert_true(finding->reclaimable_bytes == 0);
	assert_non_null(strstr(finding->message, "42.4 % of the node's memory"));
	assert_true(tree_int_or(result.result, "totalBytes", 0) == (int64_t)(34 * GIB / 10));
	assert_int_equal(cJSON_GetArraySize(tree_get(result.result, "files")), 1);
	assert_int_equal(tree_int_or(cJSON_GetArrayItem(tree_get(result.result, "directories"), 0),
				     "files", 0),
			 120000);
	check_result_done(&result);
}

static struct report *make_report(struct fixture *f)
{
	struct report *report = xcalloc(1, sizeof(*report));

	(void)snprintf(report->diagnosis, sizeof(report->diagnosis), "nightly");
	(void)snprintf(report->node_name, sizeof(report->node_name), "node-a");
	report->cgroup_mode = "v2";
	report->n_results = 2;
	report->results[0].type = CHECK_PAGE_CACHE;
	report->results[1].type = CHECK_SHARED_MEMORY;
	page_cache_judge(&f->facts, &report->results[0]);
	shared_memory_judge(&f->facts, &report->results[1]);
	for (size_t i = 0; i < report->n_results; i++)
		findings_move(&report->findings, &report->results[i].findings);
	findings_sort(&report->findings);
	return report;
}

static void a_report_has_what_the_contract_says(void **state)
{
	struct report *report = make_report(*state);
	_cleanup_tree_ cJSON *tree = report_to_tree(report);
	const cJSON *check = cJSON_GetArrayItem(tree_get(tree, "checks"), 0);
	const cJSON *files = tree_get(check, "pageCache.files");

	assert_string_equal(tree_str(tree, "metadata.name"), "nightly.node-a");
	assert_string_equal(tree_str(tree, "verdict"), "Critical");
	assert_int_equal(tree_int_or(tree, "summary.critical", -1), 2);
	assert_string_equal(tree_str(tree, "summary.reclaimable"), "200Mi");
	assert_string_equal(tree_str(check, "state"), "Complete");
	assert_int_equal(tree_int_or(check, "bpfMaxCallMicros", 0), 2);
	assert_int_equal(cJSON_GetArraySize(files), 4);
	/* A file without a name is told by device and inode. */
	assert_null(tree_get(cJSON_GetArrayItem(files, 3), "path"));
	assert_string_equal(tree_str(cJSON_GetArrayItem(files, 3), "device"), "254:0");
	assert_string_equal(tree_str(cJSON_GetArrayItem(files, 3), "inode"), "78");
	/* The most severe and largest first. */
	assert_string_equal(tree_str(cJSON_GetArrayItem(tree_get(tree, "findings"), 0), "reason"),
			    "SharedMemoryHigh");
	report_free(report);
}

static void a_report_is_trimmed_and_counts_it(void **state)
{
	struct report *report = make_report(*state);
	_cleanup_tree_ cJSON *tree = report_to_tree(report);
	cJSON *findings = cJSON_GetObjectItemCaseSensitive(tree, "findings");
	cJSON *files = (cJSON *)tree_get(cJSON_GetArrayItem(tree_get(tree, "checks"), 0),
					 "pageCache.files");
	_cleanup_free_ char *json = NULL;

	for (int i = 0; i < 48; i++)
		cJSON_AddItemToArray(findings,
				     cJSON_Duplicate(cJSON_GetArrayItem(findings, 0), true));
	for (int i = 0; i < 400; i++)
		cJSON_AddItemToArray(files, cJSON_Duplicate(cJSON_GetArrayItem(files, 0), true));
	report_trim(tree, REPORT_MAX_BYTES);
	json = tree_print_json(tree, false);
	assert_true(strlen(json) <= REPORT_MAX_BYTES);
	assert_int_equal(cJSON_GetArraySize(findings) +
				 tree_int_or(tree, "summary.findingsDropped", -1),
			 50);
	assert_int_equal(cJSON_GetArraySize(files) + tree_int_or(tree, "summary.rowsDropped", -1),
			 404);
	assert_true(cJSON_GetArraySize(files) > 10);
	report_free(report);
}

static void history_keeps_its_limit(void **state)
{
	_cleanup_tree_ cJSON *previous = NULL;

	(void)state;
	for (int run = 0; run < 5; run++) {
		cJSON *tree = cJSON_CreateObject();
		char id[16];

		(void)snprintf(id, sizeof(id), "g-%d", run);
		tree_add_str(tree_add_object(tree, "run"), "id", id);
		tree_add_str(tree, "verdict", "OK");
		report_add_history(tree, previous, 3);
		cJSON_Delete(previous);
		previous = tree;
	}
	assert_int_equal(cJSON_GetArraySize(tree_get(previous, "history")), 3);
	assert_string_equal(tree_str(cJSON_GetArrayItem(tree_get(previous, "history"), 0), "runID"),
			    "g-3");
	assert_string_equal(tree_str(cJSON_GetArrayItem(tree_get(previous, "history"), 2), "runID"),
			    "g-1");
}

/* No line of a table is wider than a terminal; commands alone are never broken. */
static void tables_fit(void **state)
{
	struct report *report = make_report(*state);
	_cleanup_tree_ cJSON *tree = report_to_tree(report);
	_cleanup_buf_ struct buf text = BUF_INIT(1 << 20);
	char *rest, *line;

	assert_int_equal(render_report(tree, &text), 0);
	assert_non_null(strstr(text.data, "(no name) 254:0:78"));
	assert_non_null(strstr(text.data, "Verdict: Critical (2 critical, 0 warning"));
	assert_non_null(strstr(text.data, "a\\x0ab.log"));
	rest = text.data;
	while ((line = strsep(&rest, "\n"))) {
		assert_true(!*line || line[strlen(line) - 1] != ' ');
		if (strlen(line) > RENDER_WIDTH && !strstr(line, "$ "))
			fail_msg("%zu columns: %s", strlen(line), line);
	}
	report_free(report);
}

static void verdicts(void **state)
{
	struct report report = {.n_results = 1};

	(void)state;
	report.results[0].state = CHECK_SKIPPED;
	assert_string_equal(report_verdict(&report), "Error");
	report.results[0].state = CHECK_FAILED;
	assert_string_equal(report_verdict(&report), "Error");
	report.results[0].state = CHECK_TRUNCATED;
	assert_string_equal(report_verdict(&report), "OK");
}

static void a_budget_that_ran_out_is_said(void **state)
{
	struct fixture *f = *state;
	struct check_result result = {.type = CHECK_PAGE_CACHE};

	f->pages.coverage_permille = 345;
	page_cache_judge(&f->facts, &result);
	assert_int_equal(result.state, CHECK_TRUNCATED);
	assert_int_equal(result.coverage_permille, 345);
	assert_non_null(strstr(result.message, "34.5 %"));
	check_result_done(&result);
}

#define with_fixture(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_fixture(page_cache_findings),
		with_fixture(file_has_the_containers_name),
		with_fixture(cgroup_v1_gets_v1_hints),
		with_fixture(dying_cgroups_keep_apart),
		with_fixture(shared_memory_findings),
		with_fixture(a_report_has_what_the_contract_says),
		with_fixture(a_report_is_trimmed_and_counts_it),
		with_fixture(tables_fit),
		with_fixture(a_budget_that_ran_out_is_said),
		cmocka_unit_test(history_keeps_its_limit),
		cmocka_unit_test(verdicts),
	};

	tree_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
