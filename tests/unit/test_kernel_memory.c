/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel memory: joining, what is explained, judging, remedies; on facts written by hand. And the cgroup of a process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "checks/kernel_memory.h"
#include "identity/process_cgroup.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

/* --- the cgroup of a process ------------------------------------------------------------------------------------------------ */

static void assert_cgroup(const char *text, enum cgroup_mode mode, const char *want)
{
	_cleanup_free_ char *got = process_cgroup_parse(text, mode);

	if (!want)
		assert_null(got);
	else
		assert_string_equal(got, want);
}

static void the_memory_line_is_found(void **state)
{
	static const char text[] = "12:cpu,cpuacct:/c\n5:memory:/kubepods/pod1/a:b\n"
				   "3:memoryx:/no\n0::/unified\n";

	(void)state;
	assert_cgroup(text, CGROUP_V1, "/kubepods/pod1/a:b");
	assert_cgroup(text, CGROUP_HYBRID, "/kubepods/pod1/a:b");
	assert_cgroup(text, CGROUP_V2, "/unified");
	assert_cgroup("4:cpu,memory:/a\n", CGROUP_V1, "/a");
	assert_cgroup("4:memory,cpu:/a", CGROUP_V1, "/a");
	assert_cgroup("0::/a\n", CGROUP_V1, NULL);
	assert_cgroup("10::/a\n0:\n::\n", CGROUP_V2, NULL);
	assert_cgroup("", CGROUP_V2, NULL);
}

/* --- facts -------------------------------------------------------------------------------------------------------------------- */

enum { MAX_ROWS = 8 };

struct fixture {
	struct kernel_owner rows[MAX_ROWS];
	struct kernel_owners owners;
	struct kmem_missing missing;
	struct alloc_trace_row stacks[2];
	char *frames[3];
	struct alloc_trace_snapshot trace;
	struct kernel_facts facts;
	struct spec *spec;
};

static struct fixture *new_fixture(void)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	f->spec = spec_new();
	f->owners.items = f->rows;
	f->facts = (struct kernel_facts){
		.spec = f->spec,
		.mem_total = 100 * GIB,
		.kernel_stacks = 10 * MIB,
		.residual = (int64_t)(100 * MIB),
		.residual_before = (int64_t)(100 * MIB),
		.window_ms = 30000,
		.owners = &f->owners,
		.missing = &f->missing,
	};
	return f;
}

static void free_fixture(struct fixture *f, struct check_result *result)
{
	check_result_done(result);
	spec_free(f->spec);
	free(f);
}

/* Literals: nothing of them is freed. */
static struct kernel_owner *add(struct fixture *f, enum kmem_kind kind, enum kmem_line line,
				uint64_t bytes)
{
	struct kernel_owner *o = &f->rows[f->owners.n++];

	o->row = (struct kmem_owner){.kind = kind,
				     .line = line,
				     .pid = (pid_t)(100 + f->owners.n),
				     .bytes = bytes,
				     .count = 1};
	(void)snprintf(o->comm, sizeof(o->comm), "prog%zu", f->owners.n);
	return o;
}

static void in_container(struct kernel_owner *o)
{
	o->whose = (struct owner){.cgroup = (char *)"/kubepods/pod1/c1",
				  .cgroup_id = 77,
				  .ns = (char *)"shop",
				  .pod = (char *)"api-0",
				  .container = (char *)"app"};
}

static void add_stack(struct fixture *f, uint64_t bytes)
{
	f->frames[0] = (char *)"leak_alloc+0x10 [leaky]";
	f->frames[1] = (char *)"leak_timer+0x4c [leaky]";
	f->frames[2] = (char *)"call_timer_fn+0x29";
	f->stacks[0] = (struct alloc_trace_row){
		.kind = ALLOC_TRACE_SLAB, .bytes = 500 * MIB, .frames = f->frames, .n_frames = 1};
	f->stacks[1] = (struct alloc_trace_row){.kind = ALLOC_TRACE_OTHER,
						.bytes = bytes,
						.count = 12,
						.frames = f->frames,
						.n_frames = 3,
						.comm = "swapper"};
	f->trace = (struct alloc_trace_snapshot){.rows = f->stacks, .n_rows = 2};
	f->trace.bytes[ALLOC_TRACE_OTHER] = bytes;
	f->facts.trace = &f->trace;
}

static const struct finding *find(const struct check_result *result, const char *reason,
				  const char *pod)
{
	for (size_t i = 0; i < result->findings.n; i++) {
		const struct finding *finding = &result->findings.items[i];

		if (strcmp(finding->reason, reason) == 0 &&
		    (pod ? finding->subject.pod && strcmp(finding->subject.pod, pod) == 0
			 : !finding->subject.cgroup))
			return finding;
	}
	return NULL;
}

static bool has_hint(const struct finding *finding, const char *id)
{
	for (size_t i = 0; i < finding->n_hints; i++)
		if (strcmp(finding->hints[i].id, id) == 0)
			return true;
	return false;
}

/* --- joining ---------------------------------------------------------------------------------------------------------------- */

static void growth_is_of_the_same_owner(void **state)
{
	struct kmem_owner before[] = {
		{.kind = KMEM_PIPE, .pid = 5, .bytes = 100},
		{.kind = KMEM_BPF_MAP, .pid = 5, .what = "array", .bytes = 40},
		{.kind = KMEM_BPF_MAP,
		 .pid = 5,
		 .what = "array",
		 .line = KMEM_IN_VMALLOC,
		 .bytes = 9},
	};
	struct kmem_owner now[] = {
		{.kind = KMEM_PIPE, .pid = 5, .bytes = 60},
		{.kind = KMEM_BPF_MAP, .pid = 5, .what = "array", .bytes = 50},
		{.kind = KMEM_BPF_MAP, .pid = 5, .what = "hash", .bytes = 50},
		{.kind = KMEM_VMALLOC, .what = "f", .bytes = 70},
	};
	const struct kmem_owners then_rows = {before, 3, 3, 0, 0}, now_rows = {now, 4, 4, 0, 0};
	struct kernel_owners owners = kernel_owners_join(&now_rows, &then_rows);

	(void)state;
	assert_int_equal(owners.n, 4);
	assert_int_equal(owners.items[0].grown, -40);
	assert_int_equal(owners.items[1].grown, 10);
	assert_int_equal(owners.items[2].grown, 50);
	for (size_t i = 0; i < owners.n; i++)
		assert_int_equal(owners.items[i].read_once, i == 3);
	kernel_owners_done(&owners);
}

static void charged_pages_are_told_once(void **state)
{
	struct kmem_owner now[] = {
		{.kind = KMEM_PIPE, .pid = 5, .bytes = 64 * MIB},
		{.kind = KMEM_BPF_MAP, .line = KMEM_IN_VMALLOC, .pid = 5, .bytes = 32 * MIB},
		{.kind = KMEM_PACKET_RING, .pid = 5, .bytes = 500 * MIB}, /* charged to nobody */
		{.kind = KMEM_PAGE_POOL, .what = "eth0", .bytes = 4 * MIB, .count = 1024},
	};
	const struct kmem_owners now_rows = {now, 4, 4, 0, 0};
	struct kernel_owners owners = kernel_owners_join(&now_rows, NULL);
	struct kernel_pages_memcg memcgs[] = {
		{.id = 77, .path = (char *)"/a", .bytes = 100 * MIB},
		{.id = 78, .path = (char *)"/b", .bytes = 3 * MIB, .unmapped_bytes = 9 * MIB},
		{.id = 79, .path = (char *)"/c", .bytes = MIB},
	};
	const struct kernel_pages_snapshot pages = {
		.bytes = {[KERNEL_PAGES_PAGE_POOL] = 20 * MIB}, .memcgs = memcgs, .n_memcgs = 3};
	size_t charged = 0, remains = 0;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		owners.items[i].whose.cgroup = xstrdup("/a");
		owners.items[i].whose.cgroup_id = 77;
	}
	kernel_owners_add_pages(&owners, &pages);
	kernel_owners_sort(&owners);
	for (size_t i = 0; i < owners.n; i++) {
		const struct kernel_owner *o = &owners.items[i];

		if (o->charged) {
			charged++;
			assert_true(o->row.bytes == (o->whose.cgroup_id == 77 ? 4 * MIB : 3 * MIB));
		} else if (o->row.kind == KMEM_HUGE_REMAINS) {
			remains++;
			assert_true(o->row.bytes == 9 * MIB && o->whose.cgroup_id == 78);
		} else if (o->row.kind == KMEM_PAGE_POOL && o->row.count == 0) {
			assert_true(o->row.bytes == 16 * MIB);
		}
		assert_true(i == 0 || o->row.bytes <= owners.items[i - 1].row.bytes);
		assert_true(o->read_once); /* there was nothing before, or it is of pages */
	}
	assert_int_equal(charged, 2);
	assert_int_equal(remains, 1);
	assert_int_equal(owners.n, 8);
	kernel_owners_done(&owners);
}

/* --- judging ---------------------------------------------------------------------------------------------------------------- */

static void explained_is_never_more_than_there_is(void **state)
{
	struct fixture *f = new_fixture();
	struct check_result result = {0};

	(void)state;
	add(f, KMEM_PACKET_RING, KMEM_IN_RESIDUAL, 30 * MIB);
	add(f, KMEM_BPF_MAP, KMEM_IN_VMALLOC, 500 * MIB);
	assert_true(kernel_memory_explained(&f->facts) == 30 * MIB);
	/* Stacks are charged too, and not in the residual. */
	add(f, KMEM_PIPE, KMEM_IN_RESIDUAL, 14 * MIB)->charged = true;
	assert_true(kernel_memory_explained(&f->facts) == 34 * MIB);
	add(f, KMEM_TCP, KMEM_IN_RESIDUAL, 90 * MIB);
	assert_true(kernel_memory_explained(&f->facts) == 100 * MIB);
	f->facts.residual = -5;
	assert_true(kernel_memory_explained(&f->facts) == 0);
	kernel_memory_judge(&f->facts, &result);
	assert_int_equal(tree_int_or(result.result, "residualBytes", 1), 0);
	assert_int_equal(result.findings.n, 0);
	free_fixture(f, &result);
}

static void an_idle_node_has_no_finding(void **state)
{
	struct fixture *f = new_fixture();
	struct check_result result = {0};

	(void)state;
	add_stack(f, MIB);
	kernel_memory_judge(&f->facts, &result);
	assert_int_equal(result.findings.n, 0);
	assert_int_equal(result.state, CHECK_COMPLETE);
	assert_int_equal(tree_int_or(result.result, "unexplainedBytes", 0), 100 * MIB);
	/* The slab row is another check's. */
	assert_int_equal(cJSON_GetArraySize(tree_get(result.result, "stacks")), 1);
	free_fixture(f, &result);
}

static void a_container_with_a_ring_is_named(void **state)
{
	struct fixture *f = new_fixture();
	struct check_result result = {0};
	struct kernel_owner *ring = add(f, KMEM_PACKET_RING, KMEM_IN_RESIDUAL, 3 * GIB);
	const struct finding *finding;
	const cJSON *row;

	(void)state;
	in_container(ring);
	in_container(add(f, KMEM_BPF_MAP, KMEM_IN_VMALLOC, GIB));
	f->facts.residual = (int64_t)(3 * GIB + 20 * MIB);
	f->facts.residual_before = f->facts.residual;
	kernel_memory_judge(&f->facts, &result);
	assert_int_equal(result.findings.n, 1);
	finding = find(&result, "InvisibleMemory", "api-0");
	assert_non_null(finding);
	assert_int_equal(finding->severity, SEVERITY_WARNING);
	assert_true(finding->bytes == 4 * GIB);
	assert_non_null(strstr(finding->message, "packetRing of prog1 (pid 101) 3Gi"));
	assert_non_null(strstr(finding->message, "bpfMap of prog2 (pid 102) 1Gi"));
	assert_string_equal(finding->hints[0].id, "smaller-packet-ring");
	assert_non_null(strstr(finding->hints[0].command, "/proc/101/cmdline"));
	assert_true(has_hint(finding, "restart-holder"));
	assert_false(has_hint(finding, "watch-growth"));
	row = cJSON_GetArrayItem(tree_get(result.result, "owners"), 0);
	assert_string_equal(tree_str_or_empty(row, "kind"), "packetRing");
	assert_string_equal(tree_str_or_empty(row, "line"), "residual");
	assert_string_equal(tree_str_or_empty(row, "pod"), "api-0");
	free_fixture(f, &result);
}

static void what_nobody_owns_is_the_nodes(void **state)
{
	struct fixture *f = new_fixture();
	struct check_result result = {0};
	struct kernel_owner *pool = add(f, KMEM_PAGE_POOL, KMEM_IN_RESIDUAL, 2 * GIB);
	const struct finding *finding;

	(void)state;
	pool->row.pid = 0;
	(void)snprintf(pool->row.what, sizeof(pool->row.what), "eth0");
	/* The kernel's own tables have a counter and are not what is looked for. */
	add(f, KMEM_VMALLOC, KMEM_IN_VMALLOC, 50 * GIB)->row.pid = 0;
	f->facts.residual = f->facts.residual_before = (int64_t)(12 * GIB);
	kernel_memory_judge(&f->facts, &result);
	assert_int_equal(result.findings.n, 1);
	finding = find(&result, "InvisibleMemory", NULL);
	assert_non_null(finding);
	assert_int_equal(finding->severity, SEVERITY_CRITICAL);
	assert_true(finding->bytes == 12 * GIB);
	assert_non_null(strstr(finding->message, "10Gi of it has no owner"));
	assert_non_null(strstr(finding->message, "pagePool eth0 2Gi"));
	assert_string_equal(finding->hints[0].id, "smaller-receive-rings");
	assert_string_equal(finding->hints[0].command, "ethtool -g eth0; ethtool -l eth0");
	free_fixture(f, &result);
}

static void remains_of_huge_pages_have_a_remedy(void **state)
{
	struct fixture *f = new_fixture();
	struct check_result result = {0};
	const struct finding *finding;

	(void)state;
	add(f, KMEM_HUGE_REMAINS, KMEM_IN_RESIDUAL, 9 * GIB)->row.pid = 0;
	f->facts.residual = f->facts.residual_before = (int64_t)(12 * GIB);
	kernel_memory_judge(&f->facts, &result);
	finding = find(&result, "InvisibleMemory", NULL);
	assert_non_null(finding);
	assert_non_null(strstr(finding->message, "hugePageRemains 9Gi"));
	assert_string_equal(finding->hints[0].id, "fewer-huge-pages");
	free_fixture(f, &result);
}

/* 0 would say that it has not grown. */
static void what_is_read_once_has_no_growth(void **state)
{
	struct fixture *f = new_fixture();
	struct check_result result = {0};
	struct kernel_owner *remains = add(f, KMEM_HUGE_REMAINS, KMEM_IN_RESIDUAL, 9 * GIB);
	const cJSON *owners;

	(void)state;
	remains->read_once = true;
	add(f, KMEM_UNIX, KMEM_IN_RESIDUAL, GIB);
	kernel_memory_judge(&f->facts, &result);
	owners = tree_get(result.result, "owners");
	assert_null(tree_member(cJSON_GetArrayItem(owners, 0), "growthBytes"));
	assert_non_null(tree_member(cJSON_GetArrayItem(owners, 1), "growthBytes"));
	free_fixture(f, &result);
}

static void a_leaking_module_is_named_by_its_stack(void **state)
{
	struct fixture *f = new_fixture();
	struct check_result result = {0};
	const struct finding *finding;

	(void)state;
	f->facts.residual = (int64_t)(400 * MIB);
	add_stack(f, 290 * MIB);
	kernel_memory_judge(&f->facts, &result);
	finding = find(&result, "InvisibleMemoryGrowth", NULL);
	assert_non_null(finding);
	assert_int_equal(finding->severity, SEVERITY_WARNING);
	assert_true(finding->bytes == 300 * MIB);
	assert_non_null(strstr(finding->message, "grew by 300Mi in 30s"));
	assert_non_null(strstr(finding->message, "leak_alloc [leaky] < leak_timer [leaky]"));
	assert_string_equal(finding->hints[0].id, "restart-module");
	assert_non_null(strstr(finding->hints[0].command, "modinfo leaky"));
	assert_true(tree_int_or(result.result, "attributedBytes", 0) == (int64_t)(290 * MIB));
	free_fixture(f, &result);
}

static void growth_is_its_holders(void **state)
{
	struct fixture *f = new_fixture();
	struct check_result result = {0};
	struct kernel_owner *unix_socket = add(f, KMEM_UNIX, KMEM_IN_RESIDUAL, 350 * MIB);
	const struct finding *finding;

	(void)state;
	in_container(unix_socket);
	unix_socket->grown = (int64_t)(280 * MIB);
	/* Grew more, but is not in the residual. */
	add(f, KMEM_MEMFD, KMEM_IN_SHMEM, GIB)->grown = (int64_t)GIB;
	f->facts.residual = (int64_t)(400 * MIB);
	kernel_memory_judge(&f->facts, &result);
	finding = find(&result, "InvisibleMemoryGrowth", "api-0");
	assert_non_null(finding);
	assert_non_null(strstr(finding->message, "unix of prog1 (pid 101) +280Mi"));
	assert_null(strstr(finding->message, "memfd"));
	assert_string_equal(finding->hints[0].id, "drain-sockets");
	assert_non_null(strstr(finding->hints[0].command, "ss -x -n -p -m"));
	assert_true(tree_int_or(result.result, "attributedBytes", 0) == (int64_t)(280 * MIB));
	free_fixture(f, &result);
}

static void growth_without_a_trace_asks_to_watch(void **state)
{
	struct fixture *f = new_fixture();
	struct check_result result = {0};
	const struct finding *finding;

	(void)state;
	f->facts.residual = (int64_t)(400 * MIB);
	kmem_missing_add(&f->missing, "stacks of allocations: no BTF");
	kernel_memory_judge(&f->facts, &result);
	finding = find(&result, "InvisibleMemoryGrowth", NULL);
	assert_non_null(finding);
	assert_int_equal(finding->n_hints, 1);
	assert_true(has_hint(finding, "watch-growth"));
	assert_int_equal(tree_int_or(result.result, "attributedBytes", 1), 0);
	assert_int_equal(result.state, CHECK_COMPLETE);
	assert_string_equal(result.reason, "PartsMissing");
	assert_non_null(strstr(result.message, "stacks of allocations: no BTF"));
	assert_int_equal(cJSON_GetArraySize(tree_get(result.result, "missing")), 1);
	free_fixture(f, &result);
}

static void small_growth_is_noise_on_small_nodes(void **state)
{
	struct fixture *f = new_fixture();
	struct check_result result = {0};

	(void)state;
	f->facts.mem_total = GIB;
	f->facts.residual = (int64_t)(100 * MIB + 15 * MIB);
	kernel_memory_judge(&f->facts, &result);
	assert_null(find(&result, "InvisibleMemoryGrowth", NULL));
	free_fixture(f, &result);
}

static void sites_that_grew_come_first(void **state)
{
	static const char then_text[] = "   1048576      10 drivers/a.c:1 func:fa\n"
					"  99999999      10 mm/filemap.c:2 func:page_cache\n";
	static const char text[] = "allocinfo - version: 1.0\n#     <size>  <calls> <tag info>\n"
				   "   8388608      20 drivers/a.c:1 func:fa\n"
				   "   9437184      11 net/core/b.c:7 func:fb \n"
				   " 199999999      10 mm/filemap.c:2 func:page_cache\n"
				   "      4096       1 fs/xfs/x.c:3 [xfs] func:fx accurate:no\n"
				   "         0       0 init/main.c:1314 func:do_initcalls\n"
				   "         x       0 init/main.c:1 func:bad\n"
				   "    4096\n";
	struct parse_notes notes = {0};
	struct allocinfo *before = allocinfo_parse(then_text, NULL),
			 *now = allocinfo_parse(text, &notes);
	struct kernel_sites sites = {0};
	_cleanup_tree_ cJSON *list = cJSON_CreateArray();

	(void)state;
	assert_int_equal(notes.n, 2);
	assert_int_equal(now->n, 4);
	kernel_sites_choose(now, before, &sites);
	assert_int_equal(sites.n, 3);
	assert_string_equal(sites.items[0].site->where, "net/core/b.c:7"); /* new: all of it grew */
	assert_string_equal(sites.items[1].site->where, "drivers/a.c:1");
	assert_int_equal(sites.items[1].grown, 7 << 20);
	assert_string_equal(sites.items[2].site->module, "xfs");
	kernel_sites_choose(now, NULL, &sites);
	assert_int_equal(sites.items[0].grown, 0);
	kernel_sites_add(&sites, 2, list);
	assert_int_equal(cJSON_GetArraySize(list), 2);
	assert_string_equal(tree_str_or_empty(cJSON_GetArrayItem(list, 0), "function"), "fb");
	allocinfo_free(before);
	allocinfo_free(now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_memory_line_is_found),
		cmocka_unit_test(growth_is_of_the_same_owner),
		cmocka_unit_test(charged_pages_are_told_once),
		cmocka_unit_test(explained_is_never_more_than_there_is),
		cmocka_unit_test(an_idle_node_has_no_finding),
		cmocka_unit_test(a_container_with_a_ring_is_named),
		cmocka_unit_test(what_nobody_owns_is_the_nodes),
		cmocka_unit_test(remains_of_huge_pages_have_a_remedy),
		cmocka_unit_test(what_is_read_once_has_no_growth),
		cmocka_unit_test(a_leaking_module_is_named_by_its_stack),
		cmocka_unit_test(growth_is_its_holders),
		cmocka_unit_test(growth_without_a_trace_asks_to_watch),
		cmocka_unit_test(small_growth_is_noise_on_small_nodes),
		cmocka_unit_test(sites_that_grew_come_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
