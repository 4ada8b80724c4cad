/* SPDX-License-Identifier: Apache-2.0 */
/* Dying memory cgroups: what made them, grouping, judging; on facts written by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "checks/cgroup_leak.h"
#include "identity/pod_controller.h"

#define PAGE 4096ULL

static void names_tell_controllers(void **state)
{
	static const struct {
		const char *pod, *kind, *name;
	} cases[] = {
		{"nightly-28391640-x7k2p", "CronJob", "nightly"},
		{"nightly-1609459200-x7k2p", "CronJob", "nightly"},
		{"nightly-28391640-0-x7k2p", "CronJob", "nightly"},
		{"log-check-28391640-bcdfg", "CronJob", "log-check"},
		{"api-7c9f8b6d5-x2x4z", "Deployment", "api"},
		{"db-0", "StatefulSet", "db"},
		{"db-12", "StatefulSet", "db"},
		{"node-agent-x7k2p", "", "node-agent"},
		{"kube-proxy", "", "kube-proxy"},   /* o is in no generated name */
		{"etcd-node-a", "", "etcd-node-a"}, /* a static pod */
		{"x7k2p", "", "x7k2p"},
		{"-x7k2p", "", "-x7k2p"},
		{"a-", "", "a-"},
		{"", "", ""},
		{"job-12345678", "", "job-12345678"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct pod_controller c;

		pod_controller_of(cases[i].pod, &c);
		assert_string_equal(c.kind, cases[i].kind);
		assert_string_equal(c.name, cases[i].name);
	}
}

/*
 * 150 containers of CronJob nightly, one page of app.log each; 5 scopes, one page of a deleted file and two of shared memory
 * each; one container whose pod nobody knows.
 */
enum { JOBS = 150, SCOPES = 5, ENTRIES = JOBS + SCOPES + 1 };

struct fixture {
	struct memcgs_entry entries[ENTRIES];
	size_t group_of[ENTRIES];
	struct pages_file files[3];
	struct pages_charge charges[3][ENTRIES];
	struct pages_memcg pages_memcgs[ENTRIES + 1];
	struct memcgs_snapshot memcgs;
	struct pages_snapshot pages;
	struct leak_groups groups;
	struct leak_facts facts;
	struct spec *spec;
};

static void fill_entry(struct fixture *f, size_t i)
{
	struct memcgs_entry *e = &f->entries[i];
	bool job = i < JOBS, scope = !job && i < JOBS + SCOPES;

	*e = (struct memcgs_entry){.id = 1000 + i, .dying = true, .refs = 3};
	if (scope) {
		e->path = xasprintf("/system.slice/run-%zu.scope", i);
		e->file_bytes = PAGE;
		e->anon_bytes = 2 * PAGE;
	} else {
		e->path = xasprintf("/kubepods/burstable/podu%zu/c%zu", i, i);
		e->file_bytes = PAGE;
		e->other_refs = 2;
	}
}

static void group_entry(struct fixture *f, size_t i)
{
	struct owner owner = {.cgroup = f->entries[i].path, .cgroup_id = 1000 + i, .dying = true};
	char pod[64], uid[64];

	(void)snprintf(pod, sizeof(pod), "nightly-%zu-x7k2p", 28391640 + i);
	(void)snprintf(uid, sizeof(uid), "u%zu", i);
	if (i < JOBS) {
		owner.ns = "shop";
		owner.pod = pod;
		owner.container = "report";
	}
	if (i < JOBS || i == ENTRIES - 1)
		owner.pod_uid = uid;
	f->group_of[i] = leak_groups_add(&f->groups, &f->entries[i], &owner);
}

static void charge(struct fixture *f, size_t file, size_t entry, uint64_t bytes)
{
	struct pages_file *to = &f->files[file];

	f->charges[file][to->n_charges++] = (struct pages_charge){entry + 1, bytes};
	to->charges = f->charges[file];
	to->cached_bytes += bytes;
	f->pages_memcgs[entry + 1].cached_bytes += bytes;
	if (to->kind == PAGES_SHMEM)
		f->pages_memcgs[entry + 1].shmem_bytes += bytes;
}

static void fill_files(struct fixture *f)
{
	f->files[0] = (struct pages_file){
		.path = "/var/log/app.log", .kind = PAGES_FILE, .fstype = "ext4", .inode = 1};
	f->files[1] = (struct pages_file){.path = "/tmp/gone",
					  .kind = PAGES_FILE,
					  .deleted = true,
					  .fstype = "ext4",
					  .inode = 2};
	f->files[2] = (struct pages_file){
		.path = "/seg", .kind = PAGES_SHMEM, .fstype = "tmpfs", .inode = 3};
	/* [0]: a live one that has much of the file: in no group. */
	f->pages_memcgs[0] = (struct pages_memcg){.id = 1, .path = "/live"};
	f->charges[0][0] = (struct pages_charge){0, 100 * PAGE};
	f->files[0].n_charges = 1;
	for (size_t i = 0; i < ENTRIES; i++) {
		f->pages_memcgs[i + 1] =
			(struct pages_memcg){.id = 1000 + i, .path = f->entries[i].path};
		if (i >= JOBS && i < JOBS + SCOPES) {
			charge(f, 1, i, PAGE);
			charge(f, 2, i, 2 * PAGE);
		} else if (i < JOBS) {
			charge(f, 0, i, PAGE);
		}
	}
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	leak_groups_init(&f->groups);
	for (size_t i = 0; i < ENTRIES; i++) {
		fill_entry(f, i);
		group_entry(f, i);
	}
	fill_files(f);
	f->memcgs = (struct memcgs_snapshot){.live = 40,
					     .dying = ENTRIES,
					     .dying_file_bytes = ENTRIES * PAGE,
					     .dying_anon_bytes = 2 * SCOPES * PAGE,
					     .entries = f->entries,
					     .n = ENTRIES,
					     .bpf_calls = 3,
					     .bpf_max_call_ns = 200001};
	f->pages = (struct pages_snapshot){.files = f->files,
					   .n_files_kept = 3,
					   .memcgs = f->pages_memcgs,
					   .n_memcgs = ENTRIES + 1,
					   .coverage_permille = 1000,
					   .bpf_calls = 10,
					   .bpf_max_call_ns = 1000};
	leak_groups_files(&f->groups, &f->memcgs, f->group_of, &f->pages);
	leak_groups_sort(&f->groups);
	f->spec = spec_new();
	f->facts = (struct leak_facts){.spec = f->spec,
				       .memcgs = &f->memcgs,
				       .groups = &f->groups,
				       .pages = &f->pages,
				       .n_cpus = 2,
				       .page_size = 4096};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < ENTRIES; i++)
		free(f->entries[i].path);
	leak_groups_done(&f->groups);
	spec_free(f->spec);
	free(f);
	return 0;
}

static void one_group_for_a_cronjob(void **state)
{
	const struct fixture *f = *state;
	const struct leak_group *g = f->groups.items;

	assert_int_equal(f->groups.n, 3);
	assert_string_equal(g[0].owner.controller, "CronJob/nightly");
	assert_string_equal(g[0].place, "/kubepods/burstable");
	assert_int_equal(g[0].dying, JOBS);
	assert_int_equal(g[0].pinned_bytes, JOBS * PAGE);
	assert_int_equal(g[0].other_refs, 2 * JOBS);
	/* What a live cgroup has of the file does not count. */
	assert_int_equal(g[0].n_files, 1);
	assert_int_equal(g[0].files[0].bytes, JOBS * PAGE);
	assert_string_equal(g[0].files[0].file->path, "/var/log/app.log");
	assert_string_equal(g[1].place, "/system.slice");
	assert_null(g[1].owner.controller);
	assert_int_equal(g[1].dying, SCOPES);
	assert_int_equal(g[1].shmem_bytes, 2 * SCOPES * PAGE);
	assert_int_equal(g[1].n_files, 2);
	assert_string_equal(g[1].files[0].file->path, "/seg");
	/* A pod that nobody knows: its UID says nothing about its controller. */
	assert_string_equal(g[2].place, "/kubepods/burstable");
	assert_int_equal(g[2].dying, 1);
	assert_int_equal(g[2].n_files, 0);
}

static void only_the_largest_files_are_kept(void **state)
{
	struct fixture *f = *state;
	struct leak_groups groups;
	struct pages_file files[20] = {0};
	struct pages_charge charges[20];
	const struct owner owner = {0};
	struct pages_snapshot pages = f->pages;

	leak_groups_init(&groups);
	f->memcgs.n = 1;
	f->group_of[0] = leak_groups_add(&groups, &f->entries[0], &owner);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		charges[i] = (struct pages_charge){1, (i * 7 % 20 + 1) * PAGE};
		files[i].charges = &charges[i];
		files[i].n_charges = 1;
	}
	pages.files = files;
	pages.n_files_kept = ARRAY_SIZE(files);
	leak_groups_files(&groups, &f->memcgs, f->group_of, &pages);
	assert_int_equal(groups.items[0].n_files, LEAK_MAX_FILES);
	for (size_t i = 0; i < LEAK_MAX_FILES; i++)
		assert_int_equal(groups.items[0].files[i].bytes, (20 - i) * PAGE);
	leak_groups_done(&groups);
}

static void groups_have_a_ceiling(void **state)
{
	struct leak_groups groups;
	const struct owner owner = {0};

	(void)state;
	leak_groups_init(&groups);
	for (size_t i = 0; i < LEAK_GROUPS_MAX + 100; i++) {
		_cleanup_free_ char *path = xasprintf("/p%zu/c", i);
		const struct memcgs_entry e = {.path = path, .file_bytes = PAGE};

		(void)leak_groups_add(&groups, &e, &owner);
	}
	assert_int_equal(groups.n, LEAK_GROUPS_MAX);
	assert_int_equal(groups.items[LEAK_GROUPS_MAX - 1].dying, 101);
	assert_int_equal(groups.merged, 101);
	leak_groups_done(&groups);
}

static void a_finding_names_controller_and_file(void **state)
{
	struct fixture *f = *state;
	struct check_result result = {.type = CHECK_CGROUP_LEAK};
	const struct finding *finding;
	const cJSON *row;
	_cleanup_free_ char *id = NULL;

	cgroup_leak_judge(&f->facts, &result);
	assert_int_equal(result.findings.n, 1);
	finding = &result.findings.items[0];
	id = finding_id(finding);
	assert_string_equal(id, "CgroupLeak/shop/nightly");
	assert_int_equal(finding->severity, SEVERITY_WARNING);
	assert_int_equal(finding->bytes, JOBS * PAGE);
	assert_int_equal(finding->reclaimable_bytes, JOBS * PAGE);
	assert_string_equal(finding->message,
			    "150 removed memory cgroups of CronJob/nightly are still there: 600Ki "
			    "is charged to them, most of it of /var/log/app.log (600Ki), and they "
			    "take about 2.5Mi of kernel memory");
	/* Without a table of mounts no path can be opened: no command with one. */
	assert_int_equal(finding->n_hints, 2);
	assert_string_equal(finding->hints[0].id, "fix-controller");
	assert_string_equal(finding->hints[0].command,
			    "kubectl -n shop get CronJob nightly -o yaml");
	assert_string_equal(finding->hints[1].id, "drop-caches");
	assert_int_equal(tree_int_or(result.result, "live", 0), 40);
	assert_int_equal(tree_int_or(result.result, "dying", 0), ENTRIES);
	assert_int_equal(tree_int_or(result.result, "dyingBytes", 0),
			 (ENTRIES + 2 * SCOPES) * PAGE);
	assert_int_equal(tree_int_or(result.result, "kernelBytes", 0),
			 ENTRIES * (13926 + 2 * 1946));
	row = cJSON_GetArrayItem(tree_get(result.result, "groups"), 0);
	assert_string_equal(tree_str(row, "controller"), "CronJob/nightly");
	assert_string_equal(tree_str(row, "namespace"), "shop");
	assert_string_equal(tree_str(row, "cgroup"), "/kubepods/burstable");
	assert_string_equal(tree_str(row, "sampleCgroup"), "/kubepods/burstable/podu0/c0");
	assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(tree_get(row, "files"), 0)),
			    "/var/log/app.log");
	assert_int_equal(result.bpf_calls, 13);
	assert_int_equal(result.bpf_max_call_us, 201);
	check_result_done(&result);
}

static void many_small_groups_are_the_nodes(void **state)
{
	struct fixture *f = *state;
	struct check_result result = {.type = CHECK_CGROUP_LEAK};
	_cleanup_free_ char *id = NULL;

	f->spec->thresholds[0] = (struct spec_threshold){.reason = reason_find("CgroupLeak"),
							 .warning = {THRESHOLD_COUNT, 151},
							 .critical = {THRESHOLD_COUNT, 156}};
	f->spec->n_thresholds = 1;
	cgroup_leak_judge(&f->facts, &result);
	assert_int_equal(result.findings.n, 1);
	assert_int_equal(result.findings.items[0].severity, SEVERITY_CRITICAL);
	id = finding_id(&result.findings.items[0]);
	assert_string_equal(id, "CgroupLeak/node");
	check_result_done(&result);

	/* One below, none. */
	f->spec->thresholds[0].warning.value = 157;
	f->spec->thresholds[0].critical.value = 157;
	result = (struct check_result){.type = CHECK_CGROUP_LEAK};
	cgroup_leak_judge(&f->facts, &result);
	assert_int_equal(result.findings.n, 0);
	check_result_done(&result);
}

/* Whatever is left out is told. */
static void what_is_left_out_is_told(void **state)
{
	struct fixture *f = *state;
	struct check_result result = {.type = CHECK_CGROUP_LEAK};
	struct memcgs_snapshot memcgs = *f->facts.memcgs;

	f->facts.memcgs = &memcgs;
	f->facts.not_scanned = 3;
	f->spec->top = 1;
	memcgs.not_kept = 7;
	cgroup_leak_judge(&f->facts, &result);
	assert_string_equal(result.reason, "NotListed");
	assert_non_null(strstr(result.message, "7 of them, beyond 262144"));
	assert_int_equal(tree_int_or(result.result, "notListed", 0), 7);
	assert_int_equal(tree_int_or(result.result, "filesNotLookedFor", 0), 3);
	assert_int_equal(tree_int_or(result.result, "groupsNotListed", 0), f->facts.groups->n - 1);
	check_result_done(&result);

	memcgs.too_deep = 2;
	result = (struct check_result){.type = CHECK_CGROUP_LEAK};
	cgroup_leak_judge(&f->facts, &result);
	assert_string_equal(result.reason, "TooDeep");
	assert_non_null(strstr(result.message, "2 memory cgroups"));
	assert_int_equal(tree_int_or(result.result, "tooDeep", 0), 2);
	check_result_done(&result);
}

/* What pins them by kind, and what does not pin but was theirs. */
static void pins_are_named_by_kind(void **state)
{
	static const char *const all[] = {"Files", "AnonymousMemory", "Swap", "Sockets",
					  "OtherReferences"};
	struct fixture *f = *state;
	struct check_result result = {.type = CHECK_CGROUP_LEAK};
	struct leak_group *group = &f->facts.groups->items[0];
	const cJSON *row, *pins;

	cgroup_leak_judge(&f->facts, &result);
	row = cJSON_GetArrayItem(tree_get(result.result, "groups"), 0);
	assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(tree_get(row, "pinnedBy"), 0)),
			    "Files");
	check_result_done(&result);

	group->anon_bytes = 2;
	group->shmem_bytes = 0;
	group->swap_bytes = 3;
	group->socket_bytes = 4;
	group->kernel_bytes = 5;
	group->slab_bytes = 1;
	group->other_refs = 6;
	result = (struct check_result){.type = CHECK_CGROUP_LEAK};
	cgroup_leak_judge(&f->facts, &result);
	row = cJSON_GetArrayItem(tree_get(result.result, "groups"), 0);
	pins = tree_get(row, "pinnedBy");
	assert_int_equal(cJSON_GetArraySize(pins), ARRAY_SIZE(all));
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(pins, (int)i)), all[i]);
	assert_int_equal(tree_int_or(row, "socketBytes", 0), 4);
	assert_int_equal(tree_int_or(row, "chargedKernelBytes", 0), 5);
	assert_int_equal(tree_int_or(row, "chargedSlabBytes", 0), 1);
	check_result_done(&result);
}

static void counts_stand_without_files(void **state)
{
	struct fixture *f = *state;
	struct check_result result = {.type = CHECK_CGROUP_LEAK};

	f->facts.pages = NULL;
	f->facts.pages_problem = "no BTF";
	cgroup_leak_judge(&f->facts, &result);
	assert_int_equal(result.state, CHECK_COMPLETE);
	assert_string_equal(result.reason, "FilesMissing");
	assert_non_null(strstr(result.message, "no BTF"));
	assert_int_equal(result.findings.n, 1);
	check_result_done(&result);

	f->facts.pages = &f->pages;
	f->facts.pages_problem = NULL;
	f->pages.coverage_permille = 501;
	result = (struct check_result){.type = CHECK_CGROUP_LEAK};
	cgroup_leak_judge(&f->facts, &result);
	assert_int_equal(result.state, CHECK_TRUNCATED);
	assert_int_equal(result.coverage_permille, 501);
	check_result_done(&result);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_tell_controllers),
		cmocka_unit_test_setup_teardown(one_group_for_a_cronjob, setup, teardown),
		cmocka_unit_test_setup_teardown(only_the_largest_files_are_kept, setup, teardown),
		cmocka_unit_test(groups_have_a_ceiling),
		cmocka_unit_test_setup_teardown(a_finding_names_controller_and_file, setup,
						teardown),
		cmocka_unit_test_setup_teardown(many_small_groups_are_the_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_left_out_is_told, setup, teardown),
		cmocka_unit_test_setup_teardown(pins_are_named_by_kind, setup, teardown),
		cmocka_unit_test_setup_teardown(counts_stand_without_files, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
