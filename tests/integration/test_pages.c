/* SPDX-License-Identifier: Apache-2.0 */
/* The page scan against the running kernel's own answers: cachestat(2), /proc/vmstat, memory.stat. Needs root. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "instruments/pages_internal.h"
#include "support/plant.h"

#define MIB ((size_t)1 << 20)

static struct root proc = ROOT_INIT;
static size_t page_size;
/* In an emulated machine times say nothing, and a fifth of the files and cgroups takes long enough. */
static bool emulated;
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

static struct pages_snapshot *scan_with(const struct pages_opts *opts)
{
	struct pages_snapshot *s = NULL;
	struct err err = {0};

	if (pages_scan(&proc, opts, &s, &err) < 0)
		fail_msg("pages_scan: %s", err.msg);
	return s;
}

static struct pages_snapshot *scan_top(size_t top)
{
	const struct pages_opts opts = {.top = top};

	return scan_with(&opts);
}

static uint64_t memcg_id(const char *dir)
{
	struct stat st;

	assert_int_equal(stat(dir, &st), 0);
	return st.st_ino;
}

static struct pages_snapshot *scan_only(const uint64_t *ids, size_t n)
{
	const struct pages_opts opts = {.top = 50, .memcg_ids = ids, .n_memcg_ids = n};

	return scan_with(&opts);
}

static const struct pages_file *find(const struct pages_snapshot *s, const struct stat *st)
{
	for (size_t i = 0; i < s->n_files_kept; i++) {
		const struct pages_file *f = &s->files[i];

		if (f->inode == st->st_ino && f->dev_major == major(st->st_dev) &&
		    f->dev_minor == minor(st->st_dev))
			return f;
	}
	return NULL;
}

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

static const struct pages_memcg *find_memcg(const struct pages_snapshot *s, const char *path)
{
	for (size_t i = 0; i < s->n_memcgs; i++)
		if (strcmp(s->memcgs[i].path, path) == 0)
			return &s->memcgs[i];
	return NULL;
}

static uint64_t charged(const struct pages_snapshot *s, const struct pages_file *f,
			const char *path)
{
	for (size_t i = 0; i < f->n_charges; i++)
		if (strcmp(s->memcgs[f->charges[i].memcg].path, path) == 0)
			return f->charges[i].bytes;
	return 0;
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && strcmp(s + n - k, end) == 0;
}

static void assert_sane(const struct pages_snapshot *s)
{
	for (size_t i = 0; i < s->n_files_kept; i++) {
		const struct pages_file *f = &s->files[i];
		uint64_t sum = 0;

		assert_true(i == 0 || f->cached_bytes <= s->files[i - 1].cached_bytes);
		for (size_t k = 0; k < f->n_charges; k++) {
			assert_true(f->charges[k].memcg < s->n_memcgs);
			assert_true(k == 0 || f->charges[k].bytes <= f->charges[k - 1].bytes);
			sum += f->charges[k].bytes;
		}
		assert_int_equal(sum, f->cached_bytes);
	}
}

/* --- what was planted is found ------------------------------------------------------------------------------------------ */

static void check_planted(const struct pages_snapshot *s, const struct plant_file *f,
			  const char *path_end, bool deleted, enum pages_kind kind,
			  bool kernel_mount)
{
	const struct pages_file *found = find(s, &f->st);

	if (!found)
		fail_msg("%s was not found", path_end);
	assert_non_null(found->path);
	print_message("  %s: cached %llu of %zu, path %s\n", path_end,
		      (unsigned long long)found->cached_bytes, f->bytes, found->path);
	assert_int_equal(found->cached_bytes, f->bytes);
	assert_int_equal(plant_cached_pages(f->fd), f->bytes / page_size);
	assert_int_equal(found->size_bytes, f->bytes);
	assert_true(ends_with(found->path, path_end));
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
	assert_sane(s);
	assert_string_equal(s->method, "bpf-page-scan");
	assert_int_equal(s->coverage_permille, 1000);
	check_planted(s, &big, big_end, false, PAGES_FILE, false);
	check_planted(s, &gone, gone_end, true, PAGES_FILE, false);
	check_planted(s, &shared, "/shared", false, PAGES_SHMEM, false);
	check_planted(s, &memfd, "/memfd:planted", true, PAGES_SHMEM, true);
	assert_string_equal(find(s, &shared.st)->path, "/shared");
	assert_string_equal(find(s, &shared.st)->fstype, "tmpfs");
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
	const int n = emulated ? SMALL / 5 : SMALL;
	struct plant_file *files = xcalloc((size_t)n, sizeof(*files));
	unsigned int wrong = 0, missing = 0;
	const struct pages_file **sorted;
	struct pages_snapshot *s;

	(void)state;
	for (int i = 0; i < n; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "f%d", i);
		files[i] = plant_file(dir, name, (size_t)(1 + i % 5) * page_size - 7);
		/* A hole at the end is in the file's size, not in the page cache. */
		if (i % 3 == 0)
			assert_int_equal(ftruncate(files[i].fd, (off_t)(20 * page_size)), 0);
	}
	s = scan_top(PAGES_MAX_TOP);
	assert_sane(s);
	sorted = sorted_files(s);
	for (int i = 0; i < n; i++) {
		const struct pages_file *f = find_sorted(sorted, s->n_files_kept, &files[i].st);
		_cleanup_free_ char *end = xasprintf("%s/f%d", strrchr(dir, '/'), i);
		int64_t pages = plant_cached_pages(files[i].fd);

		assert_int_equal(pages, 1 + i % 5);
		missing += !f;
		wrong += f && (f->cached_bytes != (uint64_t)pages * page_size || !f->path ||
			       !ends_with(f->path, end));
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
	const struct pages_file *found = find(s, &f.st);

	(void)state;
	assert_non_null(found);
	assert_true(ends_with(found->path, "/a\nb\xff\xfe\\c \x01"));
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
	fa = find(s, &a.st);
	fb = find(s, &b.st);
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
		files[i] = plant_file(deep, name, 10 * page_size);
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
	assert_int_equal(found->bytes, 300 * 10 * page_size);
	assert_false(found->kernel_mount);
	assert_int_equal(s->shmem_ungrouped_bytes, 0);
	pages_snapshot_free(s);
	for (int i = 0; i < 300; i++)
		plant_close(&files[i]);
}

/* --- sums ---------------------------------------------------------------------------------------------------------------- */

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
		total = (double)s->total_bytes / (double)page_size;
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

static bool within(uint64_t a, uint64_t b, uint64_t slack)
{
	return a <= b + slack && b <= a + slack;
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
		buffers = within(s->bdev_bytes, meminfo_bytes("Buffers"), MIB / 2);
		shmem = within(s->shmem_bytes, meminfo_bytes("Shmem"), MIB / 2);
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
	assert_int_equal(find(s, &f.st)->dirty_bytes, 0);
	pages_snapshot_free(s);
	s = NULL;
	/* Writeback may be faster than the scan. */
	for (int try = 0; try < 5 && (!s || find(s, &f.st)->dirty_bytes < 12 * MIB); try++) {
		pages_snapshot_free(s);
		assert_int_equal(pwrite(f.fd, block, 12 * MIB, 4 * (off_t)MIB), 12 * MIB);
		s = scan_top(50);
	}
	print_message("  12 MiB written: %llu of the file, %llu of all dirty\n",
		      (unsigned long long)find(s, &f.st)->dirty_bytes,
		      (unsigned long long)s->dirty_bytes);
	/* Whole folios: a little more where the write began or ended inside one. */
	assert_in_range(find(s, &f.st)->dirty_bytes, 12 * MIB, 16 * MIB);
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

/* --- memory cgroups ------------------------------------------------------------------------------------------------------ */

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
	assert_sane(s);
	found = find(s, &f.st);
	assert_non_null(found);
	print_message("  %s: %llu, %s: %llu\n", plant_cgroup_path(one),
		      (unsigned long long)charged(s, found, plant_cgroup_path(one)),
		      plant_cgroup_path(two),
		      (unsigned long long)charged(s, found, plant_cgroup_path(two)));
	assert_int_equal(found->cached_bytes, f.bytes);
	assert_int_equal(found->n_charges, 2);
	assert_int_equal(charged(s, found, plant_cgroup_path(one)), half);
	assert_int_equal(charged(s, found, plant_cgroup_path(two)), half);
	m = find_memcg(s, plant_cgroup_path(two));
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
	return 32 * page_size * (uint64_t)sysconf(_SC_NPROCESSORS_CONF);
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
		const struct pages_memcg *m = find_memcg(s, plant_cgroup_path(dir));

		assert_non_null(m);
		assert_int_equal(m->id, st.st_ino);
		assert_true(m->cached_bytes >= f.bytes);
		assert_true(m->shmem_bytes == 0);
		equal = within(m->cached_bytes, said, stat_slack()) &&
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
	assert_int_equal(charged(s, find(s, &f->st), "/"), f->bytes);
	assert_int_equal(gone->n_memcgs, 0);
	assert_int_equal(gone->total_bytes, 0);
	pages_snapshot_free(gone);
}

static void test_dying_memcg(void **state)
{
	const char *dir = plant_cgroup("dying");
	_cleanup_free_ char *path = xstrdup(plant_cgroup_path(dir));
	const uint64_t id = memcg_id(dir);
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
	m = find_memcg(s, path);
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
	assert_int_equal(charged(s, find(s, &f.st), path), f.bytes);
	pages_snapshot_free(s);
	s = scan_only(&id, 1);
	assert_int_equal(s->n_memcgs, 1);
	assert_true(s->memcgs[0].dying);
	assert_int_equal(find(s, &f.st)->cached_bytes, f.bytes);
	pages_snapshot_free(s);
	plant_close(&f);
}

/* --- limited to some memory cgroups --------------------------------------------------------------------------------------- */

/* Two cgroups with a file each, and a third file of which each has a half. */
struct halves {
	const char *cgroups[2];
	uint64_t ids[2];
	struct plant_file files[2], shared;
	struct plant_child readers[4];
};

static struct halves plant_halves(void)
{
	const char *dir = plant_dir();
	struct halves h = {
		.cgroups = {plant_cgroup("one"), plant_cgroup("two")},
		.files = {plant_file(dir, "of-one", 12 * MIB), plant_file(dir, "of-two", 20 * MIB)},
		.shared = plant_file(dir, "halves", 32 * MIB),
	};
	struct plant_file *all[] = {&h.files[0], &h.files[1], &h.shared};
	const size_t half = h.shared.bytes / 2;

	for (size_t i = 0; i < 3; i++) {
		plant_release(all[i]);
		plant_drop(all[i]);
	}
	for (size_t i = 0; i < 2; i++) {
		h.ids[i] = memcg_id(h.cgroups[i]);
		h.readers[i] = plant_reader(h.cgroups[i], h.files[i].path, 0, h.files[i].bytes);
		h.readers[2 + i] = plant_reader(h.cgroups[i], h.shared.path, i * half, half);
	}
	return h;
}

static void close_halves(struct halves *h)
{
	for (size_t i = 0; i < 4; i++)
		plant_reader_end(&h->readers[i]);
	plant_close(&h->files[0]);
	plant_close(&h->files[1]);
	plant_close(&h->shared);
}

static bool same_memcg(const struct pages_snapshot *a, const struct pages_snapshot *b,
		       const char *path)
{
	const struct pages_memcg *x = find_memcg(a, path), *y = find_memcg(b, path);

	return x && y && x->id == y->id && x->cached_bytes == y->cached_bytes &&
	       x->shmem_bytes == y->shmem_bytes && x->dirty_bytes == y->dirty_bytes;
}

/* Scans with a filter until two scans without around it agree about these cgroups: then it must have said the same. */
static void check_same(const uint64_t *ids, size_t n, const char *const *cgroups, size_t n_cgroups)
{
	bool quiet = false, same = false;

	for (int i = 0; i < 20 && !(quiet && same); i++) {
		struct pages_snapshot *before = scan_top(50), *s = scan_only(ids, n),
				      *after = scan_top(50);

		quiet = same = true;
		for (size_t k = 0; k < n_cgroups; k++) {
			const char *path = plant_cgroup_path(cgroups[k]);

			quiet = quiet && same_memcg(before, after, path);
			same = same && same_memcg(before, s, path);
		}
		assert_int_equal(s->n_memcgs, n_cgroups);
		pages_snapshot_free(before);
		pages_snapshot_free(s);
		pages_snapshot_free(after);
		if (quiet && !same)
			fail_msg("with the filter other bytes than without");
	}
	assert_true(quiet && same);
}

static void test_filter_one(void **state)
{
	struct halves h = plant_halves();
	struct pages_snapshot *s = scan_only(&h.ids[0], 1);
	const struct pages_file *own = find(s, &h.files[0].st), *shared = find(s, &h.shared.st);

	(void)state;
	assert_sane(s);
	assert_int_equal(s->coverage_permille, 1000);
	assert_int_equal(s->n_memcgs, 1);
	assert_int_equal(s->memcgs[0].id, h.ids[0]);
	assert_string_equal(s->memcgs[0].path, plant_cgroup_path(h.cgroups[0]));
	assert_int_equal(s->memcgs[0].cached_bytes, s->total_bytes);
	print_message("  %llu bytes in %llu files\n", (unsigned long long)s->total_bytes,
		      (unsigned long long)s->n_files);
	assert_true(s->total_bytes >= h.files[0].bytes + h.shared.bytes / 2);
	assert_true(s->total_bytes < s->nr_file_pages_before * page_size);
	assert_non_null(own);
	assert_int_equal(own->cached_bytes, h.files[0].bytes);
	assert_true(ends_with(own->path, "/of-one"));
	assert_null(find(s, &h.files[1].st));
	assert_non_null(shared);
	assert_int_equal(shared->cached_bytes, h.shared.bytes / 2);
	assert_int_equal(shared->n_charges, 1);
	assert_ptr_equal(&s->files[s->memcgs[0].top_file], shared);
	pages_snapshot_free(s);
	check_same(&h.ids[0], 1, &h.cgroups[0], 1);
	check_same(&h.ids[1], 1, &h.cgroups[1], 1);
	close_halves(&h);
}

static void check_both(const struct halves *h, const uint64_t *ids, size_t n)
{
	struct pages_snapshot *s = scan_only(ids, n);
	const struct pages_file *shared = find(s, &h->shared.st);

	assert_sane(s);
	assert_int_equal(s->n_memcgs, 2);
	assert_int_equal(s->memcgs[0].cached_bytes + s->memcgs[1].cached_bytes, s->total_bytes);
	assert_non_null(find(s, &h->files[0].st));
	assert_non_null(find(s, &h->files[1].st));
	assert_non_null(shared);
	assert_int_equal(shared->cached_bytes, h->shared.bytes);
	assert_int_equal(shared->n_charges, 2);
	pages_snapshot_free(s);
	check_same(ids, n, h->cgroups, 2);
}

static void test_filter_both(void **state)
{
	struct halves h = plant_halves();
	const uint64_t twice[] = {h.ids[1], h.ids[0], h.ids[1]};

	(void)state;
	check_both(&h, h.ids, 2);
	check_both(&h, twice, 3);
	close_halves(&h);
}

static void test_filter_ceiling(void **state)
{
	struct halves h = plant_halves();
	_cleanup_free_ uint64_t *ids = xcalloc(PAGES_MAX_MEMCG_IDS + 1, sizeof(*ids));
	const struct pages_opts over = {
		.top = 50, .memcg_ids = ids, .n_memcg_ids = PAGES_MAX_MEMCG_IDS + 1};
	const uint64_t first = h.ids[0] < h.ids[1] ? h.ids[0] : h.ids[1];
	const uint64_t second = h.ids[0] + h.ids[1] - first;
	const size_t places[] = {1, 1365, 2731, 4095};
	struct pages_snapshot *s = NULL;
	struct err err = {0};

	(void)state;
	for (size_t k = 0; k < 4; k++) {
		/* In order, the larger id is at that place; what follows is nobody's. */
		for (size_t i = 0; i <= PAGES_MAX_MEMCG_IDS; i++)
			ids[i] = i < places[k] ? first : UINT64_MAX - 1 - i;
		ids[places[k]] = second;
		check_both(&h, ids, PAGES_MAX_MEMCG_IDS);
	}
	assert_int_equal(pages_scan(&proc, &over, &s, &err), -EINVAL);
	print_message("  %s\n", err.msg);
	assert_non_null(strstr(err.msg, "4096"));
	assert_null(s);
	close_halves(&h);
}

static void test_filter_nobody(void **state)
{
	const uint64_t ids[] = {UINT64_MAX, (uint64_t)1 << 62, UINT64_MAX - 1};

	(void)state;
	for (size_t n = 1; n <= 3; n++) {
		struct pages_snapshot *s = scan_only(ids, n);

		assert_int_equal(s->coverage_permille, 1000);
		assert_int_equal(s->total_bytes, 0);
		assert_int_equal(s->n_files, 0);
		assert_int_equal(s->n_files_kept, 0);
		assert_int_equal(s->n_memcgs, 0);
		assert_int_equal(s->n_shmem_directories, 0);
		assert_int_equal(s->invalid_pages, 0);
		assert_true(s->nr_file_pages_before > 0);
		pages_snapshot_free(s);
	}
}

/* All memory cgroups that the plain scan found, and pages charged to none. */
static void test_filter_everybody(void **state)
{
	struct halves h = plant_halves();
	double ratio = 0;

	(void)state;
	for (int i = 0; i < 20 && !(ratio > 0.995 && ratio < 1.005); i++) {
		struct pages_snapshot *all = scan_top(50), *s;
		uint64_t ids[PAGES_MAX_MEMCG_IDS] = {0};
		size_t n = 1;

		/* With very many, the largest of them. */
		for (size_t k = 0; k < all->n_memcgs && n < PAGES_MAX_MEMCG_IDS; k++)
			ids[n++] = all->memcgs[k].id;
		s = scan_only(ids, n);
		ratio = (double)s->total_bytes / (double)all->total_bytes;
		print_message("  %zu memory cgroups: %.5f of the plain scan\n", all->n_memcgs,
			      ratio);
		pages_snapshot_free(all);
		pages_snapshot_free(s);
	}
	assert_true(ratio > 0.995 && ratio < 1.005);
	close_halves(&h);
}

#define MANY 1500

/* Page by page another memory cgroup: more than one call may ask about, and verdicts that share a slot. */
static void test_filter_many(void **state)
{
	const char *cgroups[MANY], *shm = plant_tmpfs();
	const size_t n = emulated ? MANY / 5 : MANY;
	uint64_t ids[MANY / 3], best = UINT64_MAX;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "m%zu", i);
		cgroups[i] = plant_cgroup(name);
	}
	for (size_t i = 0; i < n / 3; i++)
		ids[i] = memcg_id(cgroups[3 * i]);
	plant_charged(cgroups, n, shm, 2 * page_size);
	for (int i = 0; i < 3; i++) {
		struct pages_snapshot *s = scan_only(ids, n / 3);

		assert_int_equal(s->n_memcgs, n / 3);
		assert_int_equal(s->n_files, n / 3);
		assert_int_equal(s->total_bytes, n / 3 * 2 * page_size);
		for (size_t k = 0; k < n / 3; k++)
			assert_int_equal(s->memcgs[k].cached_bytes, 2 * page_size);
		print_message("  longest of %llu calls: %.3f ms; %.2f ns a page\n",
			      (unsigned long long)s->bpf_calls, (double)s->bpf_max_call_ns / 1e6,
			      (double)s->cpu_ns / (double)s->pfns);
		best = s->bpf_max_call_ns < best ? s->bpf_max_call_ns : best;
		pages_snapshot_free(s);
	}
	assert_true(emulated || best < 1000 * 1000);
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
	assert_true(emulated || best < 1000 * 1000);
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
	assert_true(emulated || s->cpu_ns < all->cpu_ns);
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

static void test_vmemmap_two_ways(void **state)
{
	struct pages_kernel k = {0};
	struct pages_anchor_programs programs;
	struct err err = {0};
	uint64_t by_pagemap = 1, by_zones = 2;
	int zones;

	(void)state;
	assert_int_equal(pages_kernel_load(&k, NULL, 0, &err), 0);
	programs = pages_kernel_anchor(&k);
	assert_int_equal(pages_anchor_pagemap(&programs, &proc, &by_pagemap), 0);
	zones = pages_anchor_zones(&programs, &by_zones);
	print_message("  by pagemap %#llx, by zones %#llx (%d)\n", (unsigned long long)by_pagemap,
		      (unsigned long long)by_zones, zones);
#ifdef __x86_64__
	assert_int_equal(zones, 0);
	assert_int_equal(by_pagemap, by_zones);
#endif
	pages_kernel_unload(&k);
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
	v->r = pages_scan(&proc, &opts, &s, &v->err);
	if (v->r == 0) {
		v->total_bytes = s->total_bytes;
		f = find(s, st);
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
#ifdef __x86_64__
	struct plant_file f = plant_file(plant_dir(), "big", 100 * MIB);
	struct verdict *v = scan_in_child(BIT(CAP_BPF) | BIT(CAP_PERFMON), &f.st);
	double ratio;

	(void)state;
	if (v->r < 0)
		fail_msg("with CAP_BPF and CAP_PERFMON only: %s", v->err.msg);
	assert_int_equal(v->cached_bytes, f.bytes);
	assert_true(ends_with(v->path, "/big"));
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
#else
	(void)state;
	skip();
#endif
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

/* --- the group ----------------------------------------------------------------------------------------------------------- */

static int set_up(void **state)
{
	struct err err = {0};

	(void)state;
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	emulated = getenv("MEMDIAG_TEST_EMULATED") != NULL;
	if (root_open(&proc, "/proc", &err) < 0 || pages_probe(&proc, &err) < 0) {
		print_error("%s\n", err.msg);
		return -1;
	}
	/* The first scan after boot reads all of struct page from memory. */
	rss_before_first = rss_kib();
	pages_snapshot_free(scan_top(1));
	rss_after_first = rss_kib();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	root_close(&proc);
	return 0;
}

static int clean(void **state)
{
	(void)state;
	plant_clean();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_planted, clean),
		cmocka_unit_test_teardown(test_small_files, clean),
		cmocka_unit_test_teardown(test_odd_name, clean),
		cmocka_unit_test_teardown(test_same_inode_twice, clean),
		cmocka_unit_test_teardown(test_shmem_directories, clean),
		cmocka_unit_test_teardown(test_total, clean),
		cmocka_unit_test_teardown(test_kinds, clean),
		cmocka_unit_test_teardown(test_dirty, clean),
		cmocka_unit_test_teardown(test_ceiling_of_files, clean),
		cmocka_unit_test_teardown(test_two_memcgs, clean),
		cmocka_unit_test_teardown(test_memcg_id_and_stat, clean),
		cmocka_unit_test_teardown(test_dying_memcg, clean),
		cmocka_unit_test_teardown(test_filter_one, clean),
		cmocka_unit_test_teardown(test_filter_both, clean),
		cmocka_unit_test_teardown(test_filter_ceiling, clean),
		cmocka_unit_test(test_filter_nobody),
		cmocka_unit_test_teardown(test_filter_everybody, clean),
		cmocka_unit_test_teardown(test_filter_many, clean),
		cmocka_unit_test(test_short_calls),
		cmocka_unit_test(test_nothing_stays),
		cmocka_unit_test(test_budget),
#ifndef __SANITIZE_ADDRESS__
		cmocka_unit_test(test_gives_memory_back),
#endif
		cmocka_unit_test(test_vmemmap_two_ways),
		cmocka_unit_test_teardown(test_without_sys_admin, clean),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("pages", tests, set_up, tear_down);
}
