/* SPDX-License-Identifier: Apache-2.0 */
/* Judging reclaim latency, the remedies computed from measurements, and the counters beside it; on facts written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "checks/reclaim_latency.h"

#define MIB ((uint64_t)1 << 20)

/* A container at its pod's limit, one that waits for the node, a unit above memory.high: in 10 s. */
struct fixture {
	struct latency_rows *rows;
	struct reclaim_place places[3];
	struct reclaim_target targets[1];
	struct reclaim_outlier outliers[1];
	struct reclaim_facts facts;
	struct check_result result;
};

enum { POD_LIMIT = 70 };

static void count(struct fixture *f, const struct owner *owner, enum reclaim_cause cause,
		  uint64_t target, uint64_t ms)
{
	struct latency_row row = {.cause = cause, .target_id = target};

	hist_record(&row.hist, ms * NSEC_PER_MSEC);
	latency_rows_count(f->rows, owner, &row);
	hist_add(&f->rows->node[cause], &row.hist);
}

static int setup(void **state)
{
	static struct owner pod = {.cgroup = "/kubepods/podx", .cgroup_id = POD_LIMIT};
	struct owner app = {.cgroup = "/kubepods/podx/app",
			    .ns = "shop",
			    .pod = "api-7c9f8b6d5-x2x4z",
			    .container = "app"};
	struct owner web = {
		.cgroup = "/kubepods/pody/web", .ns = "shop", .pod = "web-0", .container = "web"};
	struct owner unit = {.cgroup = "/system.slice/db.service", .unit = "db.service"};
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->rows = xcalloc(1, sizeof(*f->rows));
	f->rows->words = reclaim_words;
	f->rows->window_ns = 10 * NSEC_PER_SEC;
	count(f, &app, RECLAIM_LIMIT, POD_LIMIT, 3000);
	count(f, &web, RECLAIM_GLOBAL, 0, 300);
	count(f, &web, RECLAIM_ASYNC, 0, 9000);
	count(f, &unit, RECLAIM_HIGH, 80, 1500);
	latency_rows_sort(f->rows);
	f->places[0] = (struct reclaim_place){
		{500 * MIB, 20 * MIB, 512 * MIB, UINT64_MAX}, 256 * MIB, UINT64_MAX};
	f->places[1] = (struct reclaim_place){{80 * MIB, 40 * MIB, 512 * MIB, 96 * MIB}, 0, 7};
	f->places[2] = (struct reclaim_place){
		{200 * MIB, 150 * MIB, 256 * MIB, UINT64_MAX}, 100 * MIB, UINT64_MAX};
	f->targets[0] = (struct reclaim_target){POD_LIMIT, pod};
	f->outliers[0] = (struct reclaim_outlier){.owner = app,
						  .cause = RECLAIM_LIMIT,
						  .duration_ns = 3000 * NSEC_PER_MSEC,
						  .pid = 42,
						  .comm = "api",
						  .frames = {"shrink_node+0x1"},
						  .n_frames = 1};
	f->facts = (struct reclaim_facts){
		.spec = spec_new(),
		.rows = f->rows,
		.places = f->places,
		.targets = f->targets,
		.n_targets = 1,
		.outliers = f->outliers,
		.n_outliers = 1,
		.vmstat = {.allocstall = 1, .pgalloc = 2000000},
		.stall = {true, 400000, 100000},
		.zones = {.managed = 6000000, .min = 16896, .low = 23000},
		.scale = 10,
		.page_size = 4096,
		.cgroup_mode = CGROUP_V2,
		.cgroup_mount = "/sys/fs/cgroup",
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	spec_free((struct spec *)f->facts.spec);
	latency_rows_free(f->rows);
	check_result_done(&f->result);
	free(f);
	return 0;
}

static const struct finding *find(const struct fixture *f, const char *reason, const char *who)
{
	for (size_t i = 0; i < f->result.findings.n; i++) {
		const struct finding *finding = &f->result.findings.items[i];
		_cleanup_free_ char *id = finding_id(finding);

		if (strcmp(finding->reason, reason) == 0 && strstr(id, who))
			return finding;
	}
	return NULL;
}

static const struct hint *hint(const struct finding *finding, const char *id)
{
	for (size_t i = 0; i < finding->n_hints; i++)
		if (strcmp(finding->hints[i].id, id) == 0)
			return &finding->hints[i];
	return NULL;
}

static void who_waits_why_and_at_whose_limit(void **state)
{
	struct fixture *f = *state;
	const struct finding *finding;
	const cJSON *row;

	reclaim_judge(&f->facts, &f->result);
	/* web waited for 3 % of the window, and so did the node with it; async work is nobody's wait. */
	assert_int_equal(f->result.findings.n, 4);
	finding = find(f, "LimitReclaimStalls", "/shop/api-7c9f8b6d5-x2x4z/app");
	assert_non_null(finding);
	assert_int_equal(finding->severity, SEVERITY_CRITICAL); /* 30 % */
	assert_non_null(
		strstr(finding->message, "a memory limit of /kubepods/podx: 3.0s within 10.0s"));
	finding = find(f, "GlobalReclaimStalls", "/shop/web-0/web");
	assert_int_equal(finding->severity, SEVERITY_WARNING);
	assert_non_null(find(f, "GlobalReclaimStalls", "/node"));
	assert_int_equal(find(f, "HighReclaimStalls", "db.service")->severity, SEVERITY_WARNING);
	row = cJSON_GetArrayItem(tree_get(f->result.result, "containers"), 0);
	assert_string_equal(tree_str(cJSON_GetArrayItem(tree_get(row, "limits"), 0), "cgroup"),
			    "/kubepods/podx");
	assert_int_equal(tree_int_or(f->result.result, "node.pressureSomeMicros", -1), 400000);
	row = cJSON_GetArrayItem(tree_get(f->result.result, "outliers"), 0);
	assert_string_equal(tree_str(row, "comm"), "api");
	assert_string_equal(f->result.method, "bpf-tracepoints");
}

static void remedies_are_computed(void **state)
{
	struct fixture *f = *state;
	const struct finding *finding;

	reclaim_judge(&f->facts, &f->result);
	finding = find(f, "LimitReclaimStalls", "app");
	/* 512 Mi by 1.25; the working set of 480 Mi asks for less. Of the pod's cgroup, whose limit it is. */
	assert_string_equal(hint(finding, "raise-limit")->proposed, "limit 640Mi");
	assert_string_equal(hint(finding, "raise-limit")->command,
			    "echo 671088640 > /sys/fs/cgroup/kubepods/podx/memory.max");
	assert_null(hint(finding, "cap-own-cache"));
	/* 256 + 0.9 x (512 - 256) = 486.4 Mi. */
	assert_string_equal(hint(finding, "memory-high")->proposed, "memory.high 486Mi");
	/* The working set is above the request; the limit for throttling is 1.05 times it: 504 Mi. */
	assert_string_equal(hint(finding, "koordinator-memory-qos")->proposed,
			    "lowLimitPercent 100, throttlingPercent 96");
	assert_non_null(strstr(hint(finding, "koordinator-memory-qos")->manifest,
			       "\"lowLimitPercent\":100,\"throttlingPercent\":96,"));
	finding = find(f, "GlobalReclaimStalls", "/node");
	/* 200,000 pages a second x 0.9 s of 6,000,000 are 3 %: 300, and one for rounding. */
	assert_string_equal(hint(finding, "watermark-scale-factor")->command,
			    "sysctl -w vm.watermark_scale_factor=301");
	finding = find(f, "HighReclaimStalls", "db.service");
	assert_string_equal(hint(finding, "raise-high")->proposed, "memory.high 128Mi");
}

static void a_limit_full_of_cache_is_not_raised(void **state)
{
	struct fixture *f = *state;
	const struct finding *finding;

	f->places[0].usage.inactive_file = 400 * MIB;
	reclaim_judge(&f->facts, &f->result);
	finding = find(f, "LimitReclaimStalls", "app");
	assert_null(hint(finding, "raise-limit"));
	assert_non_null(hint(finding, "cap-own-cache"));
}

/* Its own limit, on v1: written down in its Deployment; nothing of v2 is proposed. */
static void v1_has_its_own_remedies(void **state)
{
	struct fixture *f = *state;
	const struct finding *finding;

	f->facts.cgroup_mode = CGROUP_HYBRID;
	f->facts.n_targets = 0;
	reclaim_judge(&f->facts, &f->result);
	finding = find(f, "LimitReclaimStalls", "app");
	assert_string_equal(hint(finding, "raise-limit")->command,
			    "kubectl -n shop set resources Deployment/api -c app "
			    "--limits=memory=640Mi");
	assert_null(hint(finding, "memory-high"));
}

static void what_is_gone_has_no_finding(void **state)
{
	struct fixture *f = *state;
	const struct owner gone = {.cgroup = "(removed cgroups)"};

	count(f, &gone, RECLAIM_LIMIT, 0, 1000);
	f->rows->unnamed = 1;
	reclaim_judge(&f->facts, &f->result);
	assert_null(find(f, "LimitReclaimStalls", "removed"));
	assert_string_equal(f->result.reason, "NamesMissing");
}

static void scale_factors(void **state)
{
	(void)state;
	assert_int_equal(reclaim_scale_factor(0, 6000000), 10);
	assert_int_equal(reclaim_scale_factor(100000, 6000000), 151);
	assert_int_equal(reclaim_scale_factor(UINT64_MAX, 1), 400);
	assert_int_equal(reclaim_scale_factor(1, 0), 10);
}

static void counters_are_read_with_care(void **state)
{
	char stall[] = "some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\n"
		       "full avg10=0.00 avg60=0.00 avg300=0.00 total=99\n";
	char cut[] = "some avg10=0.00 avg60=0.00 avg300=0.00 tot";
	char zoneinfo[] = "Node 0, zone   Normal\n  pages free     5000\n        min      100\n"
			  "        low      125\n        high     150\n        managed  9000\n"
			  "  pagesets\n    cpu: 0\n              high:  4\n"
			  "Node 0, zone  DMA32\n        min      10\n        low      x\n";
	char buddyinfo[] = "Node 0, zone   Normal      4      2      0      1 \n";
	struct pressure_vmstat vmstat;
	struct pressure_stall psi;
	struct pressure_zones zones = {0};
	struct parse_notes notes = {0};

	(void)state;
	pressure_parse_stall(stall, &psi);
	assert_true(psi.known && psi.some_us == 1234 && psi.full_us == 99);
	pressure_parse_stall(cut, &psi);
	assert_false(psi.known);
	pressure_parse_vmstat("allocstall_normal 3\nallocstall_movable 4\npgalloc_dma32 7\n"
			      "compact_stall 5\nother 1\n",
			      &vmstat, &notes);
	assert_true(vmstat.allocstall == 7 && vmstat.pgalloc == 7 && vmstat.compact_stall == 5);
	assert_int_equal(notes.n, 0);
	pressure_parse_zoneinfo(zoneinfo, &zones, &notes);
	assert_true(zones.min == 110 && zones.low == 125 && zones.managed == 9000);
	assert_int_equal(notes.n, 1);
	pressure_parse_buddyinfo(buddyinfo, &zones, &notes);
	assert_int_equal(zones.orders, 4);
	/* 4 + 2x2 + 8 pages; half of them in blocks below order 3. */
	assert_int_equal(pressure_unusable_permille(&zones, 3), 500);
	assert_int_equal(pressure_unusable_permille(&zones, 9), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_waits_why_and_at_whose_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(remedies_are_computed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_limit_full_of_cache_is_not_raised, setup,
						teardown),
		cmocka_unit_test_setup_teardown(v1_has_its_own_remedies, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_gone_has_no_finding, setup, teardown),
		cmocka_unit_test(scale_factors),
		cmocka_unit_test(counters_are_read_with_care),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
