/* SPDX-License-Identifier: Apache-2.0 */
/* The files that the page scan finds: names, identity, kind, and every byte of what was planted. Needs root. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "support/page_scan.h"
#include "support/plant.h"

/* For many: the snapshot's files by identity. */
static int by_identity(const void *a, const void *b)
{
	const struct pages_file *x = *(const struct pages_file *const *)a;
	const struct pages_file *y = *(const struct pages_file *const *)b;

	if (x->inode != y->inode)
		return x->inode < y->inode ? -1 : 1;
	if (x->dev_major != y->dev_major)
		return x->dev_major < y->dev_major ? -1 : 1;
	return (x->dev_minor > y->dev_minor) - (x->dev_minor < y->dev_minor);
}

static const struct pages_file **sorted_files(const struct pages_snapshot *s)
{
	const struct pages_file **v = xcalloc(s->n_files_kept + 1, sizeof(*v));

	for (size_t i = 0; i < s->n_files_kept; i++)
		v[i] = &s->files[i];
	qsort(v, s->n_files_kept, sizeof(*v), by_identity);
	return v;
}

static const struct pages_file *find_sorted(const struct pages_file **v, size_t n,
					    const struct stat *st)
{
	const struct pages_file want = {.dev_major = major(st->st_dev),
					.dev_minor = minor(st->st_dev),
					.inode = st->st_ino};
	const struct pages_file *key = &want;
	const struct pages_file **at = bsearch(&key, v, n, sizeof(*v), by_identity);

	return at ? *at : NULL;
}

static void check_planted(const struct pages_snapshot *s, const struct plant_file *f,
			  const char *path_end, bool deleted, enum pages_kind kind,
			  bool kernel_mount)
{
	const struct pages_file *found = scan_find(s, &f->st);

	if (!found)
		fail_msg("%s was not found", path_end);
	assert_non_null(found->path);
	print_message("  %s: cached %llu of %zu, path %s\n", path_end,
		      (unsigned long long)found->cached_bytes, f->bytes, found->path);
	assert_int_equal(found->cached_bytes, f->bytes);
	assert_int_equal(plant_cached_pages(f->fd), f->bytes / scan_page_size);
	assert_int_equal(found->size_bytes, f->bytes);
	assert_true(scan_ends_with(found->path, path_end));
	assert_false(found->path_truncated);
	assert_int_equal(found->deleted, deleted);
	assert_int_equal(found->kind, kind);
	assert_int_equal(found->kernel_mount, kernel_mount);
	assert_int_equal(found->n_charges, 1);
}

static void test_planted(void **state)
{
	const char *dir = plant_dir(), *shm = plant_tmpfs();
	struct plant_file big = plant_file(dir, "big", 200 * MIB);
	struct plant_file gone = plant_file(dir, "gone", 50 * MIB);
	struct plant_file shared = plant_file(shm, "shared", 40 * MIB);
	struct plant_file memfd = plant_memfd("planted", 30 * MIB);
	_cleanup_free_ char *big_end = xasprintf("%s/big", strrchr(dir, '/'));
	_cleanup_free_ char *gone_end = xasprintf("%s/gone", strrchr(dir, '/'));
	struct pages_snapshot *s;

	(void)state;
	assert_int_equal(unlink(gone.path), 0);
	s = scan_top(50);
	scan_assert_sane(s);
	assert_string_equal(s->method, "bpf-page-scan");
	assert_int_equal(s->coverage_permille, 1000);
	check_planted(s, &big, big_end, false, PAGES_FILE, false);
	check_planted(s, &gone, gone_end, true, PAGES_FILE, false);
	check_planted(s, &shared, "/shared", false, PAGES_SHMEM, false);
	check_planted(s, &memfd, "/memfd:planted", true, PAGES_SHMEM, true);
	assert_string_equal(scan_find(s, &shared.st)->path, "/shared");
	assert_string_equal(scan_find(s, &shared.st)->fstype, "tmpfs");
	pages_snapshot_free(s);
	plant_close(&big);
	plant_close(&gone);
	plant_close(&shared);
	plant_close(&memfd);
}

#define SMALL 10000

static void test_small_files(void **state)
{
	const char *dir = plant_dir();
	const int n = scan_emulated ? SMALL / 5 : SMALL;
	struct plant_file *files = xcalloc((size_t)n, sizeof(*files));
	unsigned int wrong = 0, missing = 0;
	const struct pages_file **sorted;
	struct pages_snapshot *s;

	(void)state;
	for (int i = 0; i < n; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "f%d", i);
		files[i] = plant_file(dir, name, (size_t)(1 + i % 5) * scan_page_size - 7);
		/* A hole at the end is in the file's size, not in the page cache. */
		if (i % 3 == 0)
			assert_int_equal(ftruncate(files[i].fd, (off_t)(20 * scan_page_size)), 0);
	}
	s = scan_top(PAGES_MAX_TOP);
	scan_assert_sane(s);
	sorted = sorted_files(s);
	for (int i = 0; i < n; i++) {
		const struct pages_file *f = find_sorted(sorted, s->n_files_kept, &files[i].st);
		_cleanup_free_ char *end = xasprintf("%s/f%d", strrchr(dir, '/'), i);
		int64_t pages = plant_cached_pages(files[i].fd);

		assert_int_equal(pages, 1 + i % 5);
		missing += !f;
		wrong += f && (f->cached_bytes != (uint64_t)pages * scan_page_size || !f->path ||
			       !scan_ends_with(f->path, end));
	}
	print_message("  %d files: %u missing, %u different; %llu files in all\n", n, missing,
		      wrong, (unsigned long long)s->n_files);
	assert_int_equal(missing, 0);
	assert_int_equal(wrong, 0);
	assert_true(s->n_files >= (uint64_t)n);
	free(sorted);
	pages_snapshot_free(s);
	for (int i = 0; i < n; i++)
		plant_close(&files[i]);
	free(files);
}

static void test_odd_name(void **state)
{
	const char *dir = plant_dir();
	struct plant_file f = plant_file(dir, "a\nb\xff\xfe\\c \x01", 24 * MIB);
	struct pages_snapshot *s = scan_top(50);
	const struct pages_file *found = scan_find(s, &f.st);

	(void)state;
	assert_non_null(found);
	assert_true(scan_ends_with(found->path, "/a\nb\xff\xfe\\c \x01"));
	pages_snapshot_free(s);
	plant_close(&f);
}

static void test_same_inode_twice(void **state)
{
	const char *dirs[2] = {plant_tmpfs(), plant_tmpfs()};
	struct plant_file a = plant_file(dirs[0], "a", 20 * MIB);
	struct plant_file b = plant_file(dirs[1], "b", 12 * MIB);
	const struct pages_file *fa, *fb;
	struct pages_snapshot *s;

	(void)state;
	assert_int_equal(a.st.st_ino, b.st.st_ino);
	s = scan_top(50);
	fa = scan_find(s, &a.st);
	fb = scan_find(s, &b.st);
	assert_non_null(fa);
	assert_non_null(fb);
	assert_ptr_not_equal(fa, fb);
	assert_int_equal(fa->cached_bytes, a.bytes);
	assert_int_equal(fb->cached_bytes, b.bytes);
	assert_string_equal(fa->path, "/a");
	assert_string_equal(fb->path, "/b");
	pages_snapshot_free(s);
	plant_close(&a);
	plant_close(&b);
}

static void test_shmem_directories(void **state)
{
	const char *mount = plant_tmpfs();
	_cleanup_free_ char *deep = xasprintf("%s/x/y", mount);
	_cleanup_free_ char *upper = xasprintf("%s/x", mount);
	struct plant_file files[300];
	const struct pages_directory *found = NULL;
	struct pages_snapshot *s;

	(void)state;
	assert_int_equal(mkdir(upper, 0700), 0);
	assert_int_equal(mkdir(deep, 0700), 0);
	for (int i = 0; i < 300; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "f%d", i);
		files[i] = plant_file(deep, name, 10 * scan_page_size);
	}
	s = scan_top(100);
	for (size_t i = 0; i < s->n_shmem_directories; i++) {
		const struct pages_directory *d = &s->shmem_directories[i];

		assert_true(i == 0 || d->bytes <= d[-1].bytes);
		if (d->dev_major == major(files[0].st.st_dev) &&
		    d->dev_minor == minor(files[0].st.st_dev))
			found = d;
	}
	assert_non_null(found);
	assert_string_equal(found->path, "/x/y");
	assert_int_equal(found->files, 300);
	assert_int_equal(found->bytes, 300 * 10 * scan_page_size);
	assert_false(found->kernel_mount);
	assert_int_equal(s->shmem_ungrouped_bytes, 0);
	pages_snapshot_free(s);
	for (int i = 0; i < 300; i++)
		plant_close(&files[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_planted, scan_clean),
		cmocka_unit_test_teardown(test_small_files, scan_clean),
		cmocka_unit_test_teardown(test_odd_name, scan_clean),
		cmocka_unit_test_teardown(test_same_inode_twice, scan_clean),
		cmocka_unit_test_teardown(test_shmem_directories, scan_clean),
	};

	return cmocka_run_group_tests_name("pages, names", tests, scan_set_up, scan_tear_down);
}
