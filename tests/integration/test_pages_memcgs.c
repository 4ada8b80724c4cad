/* SPDX-License-Identifier: Apache-2.0 */
/* Whom the page scan says that pages are charged to, against memory.stat. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "support/page_scan.h"
#include "support/plant.h"

static void test_two_memcgs(void **state)
{
	const char *one = plant_cgroup("one"), *two = plant_cgroup("two");
	struct plant_file f = plant_file(plant_dir(), "halves", 64 * MIB);
	const size_t half = f.bytes / 2;
	struct plant_child a, b;
	const struct pages_file *found;
	const struct pages_memcg *m;
	struct pages_snapshot *s;

	(void)state;
	plant_release(&f);
	plant_drop(&f);
	a = plant_reader(one, f.path, 0, half);
	b = plant_reader(two, f.path, half, half);
	s = scan_top(50);
	scan_assert_sane(s);
	found = scan_find(s, &f.st);
	assert_non_null(found);
	print_message("  %s: %llu, %s: %llu\n", plant_cgroup_path(one),
		      (unsigned long long)scan_charged(s, found, plant_cgroup_path(one)),
		      plant_cgroup_path(two),
		      (unsigned long long)scan_charged(s, found, plant_cgroup_path(two)));
	assert_int_equal(found->cached_bytes, f.bytes);
	assert_int_equal(found->n_charges, 2);
	assert_int_equal(scan_charged(s, found, plant_cgroup_path(one)), half);
	assert_int_equal(scan_charged(s, found, plant_cgroup_path(two)), half);
	m = scan_find_memcg(s, plant_cgroup_path(two));
	assert_non_null(m);
	assert_false(m->dying);
	assert_ptr_equal(&s->files[m->top_file], found);
	pages_snapshot_free(s);
	plant_reader_end(&a);
	plant_reader_end(&b);
	plant_close(&f);
}

/* Before 5.13 (2d146aa3aa84) memory.stat leaves out up to 32 pages per CPU, for good. */
static uint64_t stat_slack(void)
{
	struct utsname name;
	int first, second;

	assert_int_equal(uname(&name), 0);
	assert_int_equal(sscanf(name.release, "%d.%d", &first, &second), 2);
	if (first > 5 || (first == 5 && second >= 13))
		return 0;
	return 32 * scan_page_size * (uint64_t)sysconf(_SC_NPROCESSORS_CONF);
}

static void test_memcg_id_and_stat(void **state)
{
	const char *dir = plant_cgroup("stat"), *shm = plant_tmpfs();
	struct plant_file f = plant_file(plant_dir(), "file", 20 * MIB);
	struct plant_file g = plant_file(shm, "file", 10 * MIB);
	struct plant_child child;
	struct stat st;
	bool equal = false;

	(void)state;
	plant_release(&f);
	plant_drop(&f);
	child = plant_reader(dir, f.path, 0, f.bytes);
	assert_int_equal(stat(dir, &st), 0);
	/* memory.stat is brought up to date every two seconds. */
	for (int i = 0; i < 40 && !equal; i++) {
		uint64_t said = plant_cgroup_cache_bytes(dir);
		struct pages_snapshot *s = scan_top(50);
		const struct pages_memcg *m = scan_find_memcg(s, plant_cgroup_path(dir));

		assert_non_null(m);
		assert_int_equal(m->id, st.st_ino);
		assert_true(m->cached_bytes >= f.bytes);
		assert_true(m->shmem_bytes == 0);
		equal = scan_within(m->cached_bytes, said, stat_slack()) &&
			plant_cgroup_cache_bytes(dir) == said;
		if (equal || i == 39)
			print_message("  scan %llu, memory.stat %llu\n",
				      (unsigned long long)m->cached_bytes,
				      (unsigned long long)said);
		pages_snapshot_free(s);
		(void)usleep(100000);
	}
	plant_reader_end(&child);
	plant_close(&f);
	plant_close(&g);
	assert_true(equal);
}

/* Kernels of 2026 hand the pages to the parent, so that they do not pin the removed cgroup. */
static void check_handed_over(const struct pages_snapshot *s, const struct plant_file *f,
			      uint64_t removed)
{
	struct pages_snapshot *gone = scan_only(&removed, 1);

	print_message("  handed to the parent\n");
	assert_int_equal(scan_charged(s, scan_find(s, &f->st), "/"), f->bytes);
	assert_int_equal(gone->n_memcgs, 0);
	assert_int_equal(gone->total_bytes, 0);
	pages_snapshot_free(gone);
}

static void test_dying_memcg(void **state)
{
	const char *dir = plant_cgroup("dying");
	_cleanup_free_ char *path = xstrdup(plant_cgroup_path(dir));
	const uint64_t id = scan_memcg_id(dir);
	struct plant_file f = plant_file(plant_dir(), "left", 24 * MIB);
	const struct pages_memcg *m;
	struct plant_child child;
	struct pages_snapshot *s;

	(void)state;
	plant_release(&f);
	plant_drop(&f);
	child = plant_reader(dir, f.path, 0, f.bytes);
	plant_hold(&f);
	plant_reader_end(&child);
	plant_cgroup_remove(dir);
	assert_int_equal(access(dir, F_OK), -1);
	s = scan_top(50);
	m = scan_find_memcg(s, path);
	if (!m) {
		check_handed_over(s, &f, id);
		pages_snapshot_free(s);
		plant_close(&f);
		return;
	}
	print_message("  %s: dying %d, %llu bytes\n", m->path, m->dying,
		      (unsigned long long)m->cached_bytes);
	assert_true(m->dying);
	assert_true(m->cached_bytes >= f.bytes);
	assert_int_equal(scan_charged(s, scan_find(s, &f.st), path), f.bytes);
	pages_snapshot_free(s);
	s = scan_only(&id, 1);
	assert_int_equal(s->n_memcgs, 1);
	assert_true(s->memcgs[0].dying);
	assert_int_equal(scan_find(s, &f.st)->cached_bytes, f.bytes);
	pages_snapshot_free(s);
	plant_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_two_memcgs, scan_clean),
		cmocka_unit_test_teardown(test_memcg_id_and_stat, scan_clean),
		cmocka_unit_test_teardown(test_dying_memcg, scan_clean),
	};

	return cmocka_run_group_tests_name("pages, memcgs", tests, scan_set_up, scan_tear_down);
}
