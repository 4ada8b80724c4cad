/* SPDX-License-Identifier: Apache-2.0 */
/* How the page scan behaves: short calls, nothing left behind, budget, privileges. Needs root. */
#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "instruments/pages_internal.h"
#include "support/page_scan.h"
#include "support/plant.h"

static size_t rss_before_first, rss_after_first;

static size_t rss_kib(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	size_t kib = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "RssAnon: %zu", &kib) == 1)
			break;
	return kib;
}

/* --- how it behaves ------------------------------------------------------------------------------------------------------ */

static void test_short_calls(void **state)
{
	uint64_t best = UINT64_MAX;

	(void)state;
	/* The first scans find struct page out of every cache; a host that steals the CPU counts as ours, too. */
	for (int i = 0; i < 5; i++) {
		struct pages_snapshot *s = scan_top(10);

		print_message("  longest of %llu calls: %.3f ms; %.2f ns a page\n",
			      (unsigned long long)s->bpf_calls, (double)s->bpf_max_call_ns / 1e6,
			      (double)s->cpu_ns / (double)s->pfns);
		best = s->bpf_max_call_ns < best ? s->bpf_max_call_ns : best;
		pages_snapshot_free(s);
	}
	assert_true(scan_emulated || best < 1000 * 1000);
}

static unsigned int our_programs(void)
{
	unsigned int n = 0;
	__u32 id = 0;

	while (bpf_prog_get_next_id(id, &id) == 0) {
		struct bpf_prog_info info = {0};
		__u32 len = sizeof(info);
		_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0)
			n += strncmp(info.name, "pages_", strlen("pages_")) == 0;
	}
	return n;
}

static unsigned int open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

static void test_nothing_stays(void **state)
{
	unsigned int files = open_files(), programs = 1;

	(void)state;
	for (int i = 0; i < 20 && programs > 0; i++) {
		pages_snapshot_free(scan_top(10));
		/* Programs are freed after a grace period; somebody else may be scanning as well. */
		for (int k = 0; k < 20 && (programs = our_programs()) > 0; k++)
			(void)usleep(50000);
	}
	assert_int_equal(programs, 0);
	assert_int_equal(open_files(), files);
}

static void note_progress(void *arg, unsigned int permille)
{
	assert_true(permille <= 1000);
	(*(unsigned int *)arg)++;
}

static void test_budget(void **state)
{
	unsigned int calls = 0;
	const struct pages_opts none = {.top = 10, .progress = note_progress, .arg = &calls};
	const struct pages_opts tight = {.top = 10, .cpu_budget_ns = 1};
	struct pages_snapshot *s = scan_with(&tight), *all = scan_with(&none);

	(void)state;
	assert_true(s->coverage_permille < 1000);
	assert_true(s->pfns > 0 && s->pfns < all->pfns);
	assert_int_equal(all->coverage_permille, 1000);
	assert_true(scan_emulated || s->cpu_ns < all->cpu_ns);
	pages_snapshot_free(s);
	pages_snapshot_free(all);
}

#ifndef __SANITIZE_ADDRESS__ /* which keeps what is freed; `make vmtest` has the release build */
static void test_gives_memory_back(void **state)
{
	size_t before, after;

	(void)state;
	pages_snapshot_free(scan_top(10));
	(void)malloc_trim(0);
	before = rss_kib();
	for (int i = 0; i < 5; i++)
		pages_snapshot_free(scan_top(10));
	after = rss_kib();
	print_message("  anonymous memory: first scan from %zu to %zu KiB, five more from %zu to "
		      "%zu KiB\n",
		      rss_before_first, rss_after_first, before, after);
	assert_true(rss_after_first < rss_before_first + 3072);
	assert_true(after < before + 512);
}
#endif

/* --- privileges ---------------------------------------------------------------------------------------------------------- */

#define BIT(n) ((uint64_t)1 << (n))

static int keep_caps(uint64_t keep)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{.effective = (__u32)keep, .permitted = (__u32)keep},
		{.effective = (__u32)(keep >> 32), .permitted = (__u32)(keep >> 32)},
	};

	return (int)syscall(SYS_capset, &header, data);
}

/* Before Linux 5.11 arm64 needs CAP_SYS_ADMIN; tests/vm/programs.py allows it to no other kernel. */
static void skip_old_arm64(bool without)
{
#ifdef __aarch64__
	if (without) {
		print_message("  skipped: only CAP_SYS_ADMIN shows where struct page begins\n");
		skip();
	}
#else
	(void)without;
#endif
}

static void test_vmemmap_three_ways(void **state)
{
	struct pages_kernel k = {0};
	struct pages_anchor_programs programs;
	struct err err = {0};
	uint64_t by_pagemap = 1, by_zones = 2, by_edge = 3;
	int zones, edge;

	(void)state;
	assert_int_equal(pages_kernel_load(&k, NULL, 0, &err), 0);
	programs = pages_kernel_anchor(&k);
	assert_int_equal(pages_anchor_pagemap(&programs, &scan_proc, &by_pagemap), 0);
	zones = pages_anchor_zones(&programs, &by_zones);
	edge = pages_anchor_edge(&programs, &scan_proc, &by_edge);
	print_message("  by pagemap %#llx, by zones %#llx (%d), by edge %#llx (%d)\n",
		      (unsigned long long)by_pagemap, (unsigned long long)by_zones, zones,
		      (unsigned long long)by_edge, edge);
#ifdef __x86_64__
	assert_int_equal(zones, 0);
	assert_int_equal(by_pagemap, by_zones);
#endif
	pages_kernel_unload(&k);
	skip_old_arm64(edge == -ENODATA);
	assert_int_equal(edge, 0);
	assert_int_equal(by_pagemap, by_edge);
}

/* What the child found with fewer privileges. */
struct verdict {
	int r;
	uint64_t total_bytes, cached_bytes;
	char path[256];
	struct err err;
};

static void scan_as(uint64_t caps, const struct stat *st, struct verdict *v)
{
	const struct pages_opts opts = {.top = 50};
	struct pages_snapshot *s = NULL;
	const struct pages_file *f;

	if (keep_caps(caps) < 0)
		_exit(1);
	v->r = pages_scan(&scan_proc, &opts, &s, &v->err);
	if (v->r == 0) {
		v->total_bytes = s->total_bytes;
		f = scan_find(s, st);
		if (f) {
			v->cached_bytes = f->cached_bytes;
			(void)snprintf(v->path, sizeof(v->path), "%s", f->path ? f->path : "");
		}
	}
	_exit(0);
}

static struct verdict *scan_in_child(uint64_t caps, const struct stat *st)
{
	struct verdict *v =
		mmap(NULL, sizeof(*v), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = -1;
	pid_t pid;

	assert_ptr_not_equal(v, MAP_FAILED);
	pid = fork();
	if (pid == 0)
		scan_as(caps, st, v);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return v;
}

static void test_without_sys_admin(void **state)
{
	struct plant_file f = plant_file(plant_dir(), "big", 100 * MIB);
	struct verdict *v = scan_in_child(BIT(CAP_BPF) | BIT(CAP_PERFMON), &f.st);
	double ratio;

	(void)state;
	skip_old_arm64(v->r == -EIO && strstr(v->err.msg, "CAP_SYS_ADMIN"));
	if (v->r < 0)
		fail_msg("with CAP_BPF and CAP_PERFMON only: %s", v->err.msg);
	assert_int_equal(v->cached_bytes, f.bytes);
	assert_true(scan_ends_with(v->path, "/big"));
	/* Two scans are two moments: other processes may have read or dropped files in between. */
	for (int try = 0; try < 5; try++) {
		struct pages_snapshot *s = scan_top(1);

		ratio = (double)v->total_bytes / (double)s->total_bytes;
		pages_snapshot_free(s);
		if (ratio > 0.98 && ratio < 1.02)
			break;
		(void)munmap(v, sizeof(*v));
		v = scan_in_child(BIT(CAP_BPF) | BIT(CAP_PERFMON), &f.st);
	}
	print_message("  CAP_BPF and CAP_PERFMON: total %.4f of root's\n", ratio);
	assert_true(ratio > 0.98 && ratio < 1.02);
	(void)munmap(v, sizeof(*v));
	plant_close(&f);
}

static void test_refused(void **state)
{
	const struct stat st = {0};
	struct verdict *v = scan_in_child(BIT(CAP_PERFMON), &st);

	(void)state;
	print_message("  without CAP_BPF: %s\n", v->err.msg);
	assert_int_equal(v->r, -EPERM);
	assert_non_null(strstr(v->err.msg, "CAP_BPF"));
	assert_null(strstr(v->err.msg, "CAP_PERFMON"));
	(void)munmap(v, sizeof(*v));
}

static int set_up(void **state)
{
	int r = scan_set_up(state);

	if (r < 0)
		return r;
	/* The first scan after boot reads all of struct page from memory. */
	rss_before_first = rss_kib();
	pages_snapshot_free(scan_top(1));
	rss_after_first = rss_kib();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_short_calls),
		cmocka_unit_test(test_nothing_stays),
		cmocka_unit_test(test_budget),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(test_gives_memory_back),
#endif
		cmocka_unit_test(test_vmemmap_three_ways),
		cmocka_unit_test_teardown(test_without_sys_admin, scan_clean),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("pages, run", tests, set_up, scan_tear_down);
}
