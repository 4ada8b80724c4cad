/* SPDX-License-Identifier: Apache-2.0 */
/* Judging slab caches, dentries and their owners on facts written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "checks/slab_cache.h"

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

static char tmp_path[] = "/tmp/sessions", man_path[] = "/usr/share/man";
static char root_cgroup[] = "/";
static char app_cgroup[] = "/kubepods/app", ssh_cgroup[] = "/system.slice/ssh.service";

/* A node of 8 GiB with 20 million names, 12 million negative ones, most in /tmp/sessions; 3 GiB with their inodes. */
struct fixture {
	struct slabs_snapshot *before, *after;
	struct dentries_directory directories[2];
	struct dentries_filesystem filesystems[1];
	struct dentries_group groups[2];
	struct dentries_snapshot dentries;
	struct slab_container containers[2];
	struct spec *spec;
	struct slab_facts facts;
	struct check_result result;
};

#define LINE(name, objects, slabs)                                                                \
	name " " #objects " " #objects " 192 21 1 : tunables 0 0 0 : slabdata " #slabs " " #slabs \
	     " 0\n"

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->before = slabs_parse(LINE("dentry", 21000, 1000) LINE("skbuff", 210, 10), 4096);
	f->after = slabs_parse(LINE("dentry", 2100000, 100000) LINE("skbuff", 210000, 10000)
				       LINE("new", 21, 1),
			       4096);
	for (size_t i = 0; i < f->after->n; i++)
		f->after->caches[i].reclaim = strcmp(f->after->caches[i].name, "dentry") == 0
						      ? SLAB_RECLAIMABLE
						      : SLAB_UNRECLAIMABLE;
	f->directories[0] = (struct dentries_directory){
		.dev_major = 254,
		.fstype = "ext4",
		.path = tmp_path,
		.dentries = {.entries = 11000000, .negative = 10900000, .bytes = 2 * GIB}};
	f->directories[1] =
		(struct dentries_directory){.dev_major = 254,
					    .fstype = "ext4",
					    .path = man_path,
					    .dentries = {.entries = 17000, .bytes = 3 * MIB}};
	f->filesystems[0] = (struct dentries_filesystem){
		.dev_major = 254,
		.fstype = "ext4",
		.sb_id = "vda",
		.dentries = {.entries = 20000000, .negative = 12000000, .bytes = 2 * GIB},
		.inodes = {.entries = 8000000, .bytes = GIB}};
	f->groups[0] = (struct dentries_group){
		.id = 77,
		.path = app_cgroup,
		.dentries = {.entries = 12000000, .negative = 11000000, .bytes = GIB},
		.inodes = {.entries = 1000, .bytes = MIB}};
	f->groups[1] = (struct dentries_group){.path = root_cgroup,
					       .dentries = {.entries = 8000000, .bytes = GIB}};
	f->directories[1].group = 1;
	f->dentries = (struct dentries_snapshot){
		.method = "bpf-slab-walk",
		.dentries = {.entries = 20000000, .negative = 12000000, .bytes = 2 * GIB},
		.inodes = {.entries = 8000000, .bytes = GIB},
		.kernel_dentries = 20000000,
		.kernel_unused = 15000000,
		.kernel_negative = 11999000,
		.dentry_size = 192,
		.directories = f->directories,
		.n_directories = 2,
		.groups = f->groups,
		.n_groups = 2,
		.filesystems = f->filesystems,
		.n_filesystems = 1,
		.sample_every = 1,
		.coverage_permille = 1000,
		.bpf_calls = 7,
		.bpf_max_call_ns = 400500,
	};
	f->containers[0] = (struct slab_container){
		.owner = {.cgroup = app_cgroup},
		.stat = {.slab_reclaimable = 900 * MIB, .slab_unreclaimable = 10 * MIB}};
	f->containers[1] = (struct slab_container){.owner = {.cgroup = ssh_cgroup},
						   .stat = {.kernel = 5 * MIB}};
	f->spec = spec_new();
	f->facts = (struct slab_facts){
		.spec = f->spec,
		.before = f->before,
		.after = f->after,
		.sums_before = {GIB, 100 * MIB},
		.sums_after = {3 * GIB, 140 * MIB},
		.window_ns = 30000000000ULL,
		.dentries = &f->dentries,
		.containers = f->containers,
		.n_containers = 2,
		.v2 = true,
		.cgroup_mount = "/sys/fs/cgroup",
		.mem_total_bytes = 8 * GIB,
		.cache_pressure = 100,
		.has_dentry_negative = true,
	};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	check_result_done(&f->result);
	slabs_snapshot_free(f->before);
	slabs_snapshot_free(f->after);
	spec_free(f->spec);
	free(f);
	return 0;
}

static const struct finding *find(const struct fixture *f, const char *reason)
{
	for (size_t i = 0; i < f->result.findings.n; i++)
		if (strcmp(f->result.findings.items[i].reason, reason) == 0)
			return &f->result.findings.items[i];
	return NULL;
}

static const struct hint *hint_of(const struct finding *finding, const char *id)
{
	for (size_t i = 0; i < finding->n_hints; i++)
		if (strcmp(finding->hints[i].id, id) == 0)
			return &finding->hints[i];
	return NULL;
}

static void result_says_what_was_read(void **state)
{
	struct fixture *f = *state;
	const cJSON *r, *row;

	slab_cache_judge(&f->facts, &f->result);
	r = f->result.result;
	assert_int_equal(f->result.state, CHECK_COMPLETE);
	assert_null(f->result.reason);
	assert_int_equal(f->result.bpf_max_call_us, 401);
	assert_int_equal(tree_int_or(r, "reclaimableBytes", -1), 3 * GIB);
	assert_int_equal(tree_int_or(r, "unreclaimableGrowthBytes", -1), 40 * MIB);
	assert_int_equal(tree_int_or(r, "windowMillis", -1), 30000);
	assert_int_equal(cJSON_GetArraySize(tree_get(r, "caches")), 3);
	row = cJSON_GetArrayItem(tree_get(r, "caches"), 0);
	assert_string_equal(tree_str(row, "name"), "dentry");
	assert_int_equal(tree_int_or(row, "bytes", 0), 100000 * 4096);
	assert_int_equal(tree_int_or(row, "grownBytes", 0), 99000 * 4096);
	assert_true(cJSON_IsTrue(tree_get(row, "reclaimable")));
	row = cJSON_GetArrayItem(tree_get(r, "caches"), 2);
	assert_string_equal(tree_str(row, "name"), "new");
	assert_int_equal(tree_int_or(row, "grownBytes", 0), 4096);
	assert_int_equal(tree_int_or(r, "dentries.negative", 0), 12000000);
	assert_int_equal(tree_int_or(r, "dentries.kernelNegative", 0), 11999000);
	row = cJSON_GetArrayItem(tree_get(r, "dentries.directories"), 0);
	assert_string_equal(tree_str(row, "path"), "/tmp/sessions");
	assert_string_equal(tree_str(row, "device"), "254:0");
	assert_int_equal(tree_int_or(row, "negative", 0), 10900000);
	assert_string_equal(tree_str(row, "chargedTo"), "/kubepods/app");
	/* Charged to none. */
	row = cJSON_GetArrayItem(tree_get(r, "dentries.directories"), 1);
	assert_null(tree_str(row, "chargedTo"));
	assert_int_equal(cJSON_GetArraySize(tree_get(r, "charged")), 1);
	row = cJSON_GetArrayItem(tree_get(r, "charged"), 0);
	assert_string_equal(tree_str(row, "cgroup"), "/kubepods/app");
	assert_int_equal(tree_int_or(row, "negative", 0), 11000000);
	assert_int_equal(tree_int_or(row, "bytes", 0), GIB + MIB);
	row = cJSON_GetArrayItem(tree_get(r, "filesystems"), 0);
	assert_string_equal(tree_str(row, "source"), "vda");
	assert_int_equal(tree_int_or(row, "bytes", 0), 3 * GIB);
	row = cJSON_GetArrayItem(tree_get(r, "containers"), 0);
	assert_string_equal(tree_str(row, "cgroup"), "/kubepods/app");
	assert_int_equal(tree_int_or(row, "bytes", 0), 910 * MIB);
	row = cJSON_GetArrayItem(tree_get(r, "containers"), 1);
	assert_int_equal(tree_int_or(row, "bytes", 0), 5 * MIB);
}

static void many_names_are_a_finding(void **state)
{
	struct fixture *f = *state;
	const struct finding *high, *negative;

	slab_cache_judge(&f->facts, &f->result);
	high = find(f, "DentryCacheHigh");
	negative = find(f, "NegativeDentries");
	assert_non_null(high);
	assert_non_null(negative);
	/* 3 GiB of 8 GiB, and 12 million. */
	assert_int_equal(high->severity, SEVERITY_CRITICAL);
	assert_int_equal(negative->severity, SEVERITY_CRITICAL);
	assert_int_equal(high->bytes, 3 * GIB);
	assert_int_equal(high->reclaimable_bytes, 3 * GIB / 4 * 3);
	assert_non_null(strstr(high->message, "37.5 %"));
	assert_non_null(
		strstr(negative->message, "/tmp/sessions (10900000, charged to /kubepods/app)"));
	assert_int_equal(negative->bytes, 2 * GIB * 12 / 20);
}

/* Without mounts no path can be used in a command, so what needs one is left out; the last resort is always last. */
static void remedies_are_targeted_first(void **state)
{
	struct fixture *f = *state;
	const struct finding *negative;
	const struct hint *reclaim;

	f->containers[0].can_reclaim = true;
	slab_cache_judge(&f->facts, &f->result);
	negative = find(f, "NegativeDentries");
	reclaim = hint_of(negative, "reclaim-container");
	assert_non_null(reclaim);
	assert_string_equal(reclaim->command,
			    "echo 900M > /sys/fs/cgroup/kubepods/app/memory.reclaim");
	assert_ptr_equal(reclaim, &negative->hints[0]);
	assert_null(hint_of(negative, "raise-cache-pressure"));
	assert_non_null(hint_of(negative, "forget-removed-files"));
	assert_string_equal(negative->hints[negative->n_hints - 1].id, "drop-dentries");
	assert_string_equal(negative->hints[negative->n_hints - 1].risk, "High");
}

static void a_node_without_reclaim_gets_the_sysctl(void **state)
{
	struct fixture *f = *state;
	const struct finding *negative;

	f->facts.has_dentry_negative = false;
	slab_cache_judge(&f->facts, &f->result);
	negative = find(f, "NegativeDentries");
	assert_null(hint_of(negative, "reclaim-container"));
	assert_null(hint_of(negative, "forget-removed-files"));
	assert_string_equal(hint_of(negative, "raise-cache-pressure")->command,
			    "sysctl -w vm.vfs_cache_pressure=200");
	assert_string_equal(negative->hints[negative->n_hints - 1].id, "drop-dentries");
}

static void growth_is_told_apart(void **state)
{
	struct fixture *f = *state;
	const struct finding *finding;

	slab_cache_judge(&f->facts, &f->result);
	/* 2 GiB of 8 */
	finding = find(f, "SlabGrowth");
	assert_non_null(finding);
	assert_int_equal(finding->severity, SEVERITY_CRITICAL);
	assert_non_null(strstr(finding->message, "grew by 2Gi in 30s, most of it in cache dentry"));
	/* 40 MiB */
	finding = find(f, "SlabUnreclaimableGrowth");
	assert_non_null(finding);
	assert_int_equal(finding->severity, SEVERITY_WARNING);
	assert_int_equal(finding->bytes, 40 * MIB);
	assert_int_equal(finding->reclaimable_bytes, 0);
	assert_non_null(strstr(finding->message, "cannot be reclaimed grew by 40Mi"));
	assert_non_null(strstr(finding->message, "cache skbuff (39Mi)"));
	assert_non_null(hint_of(finding, "trace-allocations"));
	assert_non_null(
		strstr(hint_of(finding, "trace-allocations")->command, "'bytes_alloc == 192'"));
}

static void what_did_not_grow_is_no_finding(void **state)
{
	struct fixture *f = *state;

	f->facts.sums_before = (struct slab_sums){4 * GIB, 140 * MIB};
	slab_cache_judge(&f->facts, &f->result);
	assert_null(find(f, "SlabGrowth"));
	assert_null(find(f, "SlabUnreclaimableGrowth"));
	assert_int_equal(tree_int_or(f->result.result, "reclaimableGrowthBytes", 0), -(int64_t)GIB);
}

/* What could not be read before the window has not grown by all it has. */
static void unknown_before_is_no_growth(void **state)
{
	struct fixture *f = *state;

	f->facts.sums_before = (struct slab_sums){0, 0};
	f->facts.before = NULL;
	slab_cache_judge(&f->facts, &f->result);
	assert_null(find(f, "SlabGrowth"));
	assert_null(find(f, "SlabUnreclaimableGrowth"));
	assert_null(tree_get(f->result.result, "reclaimableGrowthBytes"));
	assert_null(tree_get(cJSON_GetArrayItem(tree_get(f->result.result, "caches"), 0),
			     "grownBytes"));
}

static void partial_facts_are_used(void **state)
{
	struct fixture *f = *state;

	f->facts.dentries = NULL;
	f->facts.dentries_problem = "cannot load the walk";
	slab_cache_judge(&f->facts, &f->result);
	assert_int_equal(f->result.state, CHECK_COMPLETE);
	assert_string_equal(f->result.reason, "DentriesMissing");
	assert_non_null(strstr(f->result.message, "cannot load the walk"));
	assert_string_equal(f->result.method, "slabinfo");
	assert_null(tree_get(f->result.result, "dentries"));
	assert_int_equal(cJSON_GetArraySize(tree_get(f->result.result, "caches")), 3);
	check_result_done(&f->result);

	f->facts.dentries = &f->dentries;
	f->facts.dentries_problem = NULL;
	f->facts.after = NULL;
	f->facts.slabs_problem = "slabinfo: permission denied";
	slab_cache_judge(&f->facts, &f->result);
	assert_string_equal(f->result.reason, "CachesMissing");
	assert_int_equal(cJSON_GetArraySize(tree_get(f->result.result, "caches")), 0);
	assert_non_null(find(f, "NegativeDentries"));
}

static void samples_and_cuts_are_named(void **state)
{
	struct fixture *f = *state;

	f->dentries.sample_every = 16;
	f->dentries.dentries.entries_error = 1000;
	slab_cache_judge(&f->facts, &f->result);
	assert_int_equal(f->result.state, CHECK_COMPLETE);
	assert_string_equal(f->result.reason, "Sampled");
	assert_non_null(strstr(f->result.message, "one slab in 16"));
	assert_int_equal(find(f, "NegativeDentries")->error_bytes, 192000);
	check_result_done(&f->result);

	f->dentries.coverage_permille = 250;
	slab_cache_judge(&f->facts, &f->result);
	assert_int_equal(f->result.state, CHECK_TRUNCATED);
	assert_string_equal(f->result.reason, "CPUBudgetExhausted");
	assert_int_equal(f->result.coverage_permille, 250);
	assert_non_null(strstr(f->result.message, "25.0 %"));
}

/* The node is none of the business of a run that is about some pods. */
static void pods_get_their_own(void **state)
{
	struct fixture *f = *state;

	f->spec->pod_namespace = xstrdup("shop");
	f->spec->pod_name = xstrdup("api-0");
	slab_cache_judge(&f->facts, &f->result);
	assert_int_equal(f->result.findings.n, 0);
	assert_null(tree_get(f->result.result, "caches"));
	assert_null(tree_get(f->result.result, "dentries"));
	assert_int_equal(cJSON_GetArraySize(tree_get(f->result.result, "containers")), 2);
}

static void a_quiet_node_has_no_finding(void **state)
{
	struct fixture *f = *state;

	f->dentries.dentries =
		(struct dentries_amount){.entries = 200000, .negative = 50000, .bytes = 40 * MIB};
	f->dentries.inodes = (struct dentries_amount){.entries = 150000, .bytes = 170 * MIB};
	f->facts.sums_after = (struct slab_sums){GIB + 10 * MIB, 101 * MIB};
	slab_cache_judge(&f->facts, &f->result);
	assert_int_equal(f->result.findings.n, 0);
}

#define test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(result_says_what_was_read),   test(many_names_are_a_finding),
		test(remedies_are_targeted_first), test(a_node_without_reclaim_gets_the_sysctl),
		test(growth_is_told_apart),	   test(what_did_not_grow_is_no_finding),
		test(unknown_before_is_no_growth), test(partial_facts_are_used),
		test(samples_and_cuts_are_named),  test(pods_get_their_own),
		test(a_quiet_node_has_no_finding),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
