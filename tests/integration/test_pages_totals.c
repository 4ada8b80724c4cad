/* SPDX-License-Identifier: Apache-2.0 */
/* The page scan's sums against the running kernel's own: /proc/vmstat, meminfo. Needs root. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "support/page_scan.h"
#include "support/plant.h"

/* Folds the per-CPU parts of /proc/vmstat into it; they are folded once a second anyway. */
static void refresh_vmstat(void)
{
	_cleanup_close_ int fd = open("/proc/sys/vm/stat_refresh", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "1", 1);
}

static void test_total(void **state)
{
	struct plant_file f = plant_file(plant_dir(), "big", 512 * MIB);
	double off = 1;

	(void)state;
	for (int i = 0; i < 20 && off > 0.001; i++) {
		struct pages_snapshot *s;
		double before, after, total;

		if (i > 0)
			(void)usleep(200000);
		refresh_vmstat();
		s = scan_top(1);
		before = (double)s->nr_file_pages_before;
		after = (double)s->nr_file_pages_after;
		total = (double)s->total_bytes / (double)scan_page_size;
		/* Outside what the kernel said before and after. */
		off = 0;
		if (total < before && total < after)
			off = ((before < after ? before : after) - total) / total;
		if (total > before && total > after)
			off = (total - (before > after ? before : after)) / total;
		print_message("  scan %.0f pages, vmstat %.0f before and %.0f after: %.4f %% off\n",
			      total, before, after, off * 100);
		if (before > after * 1.01 || after > before * 1.01)
			off = 1; /* too busy to tell */
		pages_snapshot_free(s);
	}
	plant_close(&f);
	assert_true(off <= 0.001);
}

static uint64_t meminfo_bytes(const char *label)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
	char line[128];
	unsigned long long kib;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (strncmp(line, label, strlen(label)) == 0 &&
		    sscanf(line + strlen(label), ": %llu kB", &kib) == 1)
			return kib << 10;
	fail_msg("no %s in meminfo", label);
	return 0;
}

/* What free(1) calls "shared" and "buffers". */
static void test_kinds(void **state)
{
	struct plant_file f = plant_file(plant_tmpfs(), "shared", 64 * MIB);
	bool buffers = false, shmem = false;

	(void)state;
	for (int i = 0; i < 20 && !(buffers && shmem); i++) {
		struct pages_snapshot *s;

		refresh_vmstat();
		s = scan_top(1);
		buffers = scan_within(s->bdev_bytes, meminfo_bytes("Buffers"), MIB / 2);
		shmem = scan_within(s->shmem_bytes, meminfo_bytes("Shmem"), MIB / 2);
		print_message("  shmem %llu of %llu, buffers %llu of %llu\n",
			      (unsigned long long)s->shmem_bytes,
			      (unsigned long long)meminfo_bytes("Shmem"),
			      (unsigned long long)s->bdev_bytes,
			      (unsigned long long)meminfo_bytes("Buffers"));
		pages_snapshot_free(s);
	}
	plant_close(&f);
	assert_true(buffers);
	assert_true(shmem);
}

static void test_dirty(void **state)
{
	struct plant_file f = plant_file(plant_dir(), "dirty", 32 * MIB);
	struct pages_snapshot *s = scan_top(50);
	_cleanup_free_ char *block = xcalloc(1, 12 * MIB);

	(void)state;
	assert_int_equal(scan_find(s, &f.st)->dirty_bytes, 0);
	pages_snapshot_free(s);
	s = NULL;
	/* Writeback may be faster than the scan. */
	for (int try = 0; try < 5 && (!s || scan_find(s, &f.st)->dirty_bytes < 12 * MIB); try++) {
		pages_snapshot_free(s);
		assert_int_equal(pwrite(f.fd, block, 12 * MIB, 4 * (off_t)MIB), 12 * MIB);
		s = scan_top(50);
	}
	print_message("  12 MiB written: %llu of the file, %llu of all dirty\n",
		      (unsigned long long)scan_find(s, &f.st)->dirty_bytes,
		      (unsigned long long)s->dirty_bytes);
	/* Whole folios: a little more where the write began or ended inside one. */
	assert_in_range(scan_find(s, &f.st)->dirty_bytes, 12 * MIB, 16 * MIB);
	assert_true(s->dirty_bytes >= 12 * MIB);
	pages_snapshot_free(s);
	plant_close(&f);
}

static void test_ceiling_of_files(void **state)
{
	struct plant_file f = plant_file(plant_dir(), "big", 100 * MIB);
	const struct pages_opts few = {.top = 5, .max_files = 3};
	struct pages_snapshot *s = scan_with(&few), *all = scan_top(5);
	uint64_t sum = 0;
	double ratio;

	(void)state;
	assert_true(s->n_files <= 3);
	assert_true(s->unnamed_bytes > 0);
	assert_int_equal(all->unnamed_bytes, 0);
	for (size_t i = 0; i < s->n_memcgs; i++)
		sum += s->memcgs[i].cached_bytes;
	assert_int_equal(sum, s->total_bytes);
	for (int try = 0; try < 5; try++) {
		ratio = (double)s->total_bytes / (double)all->total_bytes;
		if (ratio > 0.98 && ratio < 1.02)
			break;
		pages_snapshot_free(s);
		pages_snapshot_free(all);
		s = scan_with(&few);
		all = scan_top(5);
	}
	print_message("  three files: total %.4f of the total without ceiling\n", ratio);
	assert_true(ratio > 0.98 && ratio < 1.02);
	pages_snapshot_free(s);
	pages_snapshot_free(all);
	plant_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_total, scan_clean),
		cmocka_unit_test_teardown(test_kinds, scan_clean),
		cmocka_unit_test_teardown(test_dirty, scan_clean),
		cmocka_unit_test_teardown(test_ceiling_of_files, scan_clean),
	};

	return cmocka_run_group_tests_name("pages, totals", tests, scan_set_up, scan_tear_down);
}
