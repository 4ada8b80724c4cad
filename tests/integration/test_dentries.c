/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of dentries and inodes, and /proc/slabinfo, against what is planted and what the running kernel counts itself.
 * Needs root. The kernel may drop unused dentries at any time: everything is planted right before it is looked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "instruments/dentries.h"
#include "instruments/meminfo.h"
#include "instruments/slabs.h"
#include "support/plant.h"

static struct root proc = ROOT_INIT;
/* An emulated machine is about 20 times as slow, and has 2 GiB. */
static bool emulated;

static struct dentries_snapshot *walk(uint32_t every, bool blocks)
{
	const struct dentries_opts opts = {
		.top = 16, .sample_every = every, .sample_blocks = blocks};
	struct dentries_snapshot *s = NULL;
	struct err err = {0};

	if (dentries_read(&proc, &opts, &s, &err) < 0)
		fail_msg("dentries_read: %s", err.msg);
	print_message("  %" PRIu64 " dentries (kernel: %" PRIu64 "), %" PRIu64 " inodes (%" PRIu64
		      "), 1 in %u: walk %.1f ms, longest of %" PRIu64 " calls %.3f ms\n",
		      s->dentries.entries, s->kernel_dentries, s->inodes.entries, s->kernel_inodes,
		      s->sample_every, (double)s->walk_cpu_ns / 1e6, s->bpf_calls,
		      (double)s->bpf_max_call_ns / 1e6);
	return s;
}

/* The directory whose path ends like dir's: the filesystem may be mounted somewhere. */
static const struct dentries_directory *find(const struct dentries_snapshot *s, const char *dir)
{
	for (size_t i = 0; i < s->n_directories; i++) {
		const char *path = s->directories[i].path;
		size_t n = strlen(path), want = strlen(dir);

		if (n <= want && n > 1 && strcmp(dir + want - n, path) == 0)
			return &s->directories[i];
	}
	return NULL;
}

static const struct dentries_directory *need(const struct dentries_snapshot *s, const char *dir)
{
	const struct dentries_directory *d = find(s, dir);

	if (!d)
		fail_msg("%s is not among the %zu largest of %" PRIu64 " directories", dir,
			 s->n_directories, s->directories_seen);
	return d;
}

/* Freed ones stay in their slab until a grace period has passed; a small host has a thousand in all. */
#define SOME 128

static void near(uint64_t said, uint64_t truth, uint64_t permille)
{
	uint64_t off = said > truth ? said - truth : truth - said;

	if (off * 1000 > truth * permille && off > SOME)
		fail_msg("%" PRIu64 ", not within %" PRIu64 " permille of %" PRIu64, said, permille,
			 truth);
}

/* Asks for names that do not exist. */
static void plant_missing(const char *dir, unsigned int n)
{
	_cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	char name[64];

	assert_true(fd >= 0);
	for (unsigned int i = 0; i < n; i++) {
		/* Every eighth is longer than a dentry has room for. */
		(void)snprintf(name, sizeof(name), "missing-%0*u", i % 8 ? 6 : 48, i);
		assert_int_equal(fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW), -1);
		assert_int_equal(errno, ENOENT);
	}
}

/* Files; the first is made, the others are links to it: a dentry each, but one inode. */
static void plant_links(const char *dir, unsigned int n)
{
	_cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	char name[64];

	assert_true(fd >= 0);
	assert_int_equal(mknodat(fd, "file-0", S_IFREG | 0600, 0), 0);
	for (unsigned int i = 1; i < n; i++) {
		(void)snprintf(name, sizeof(name), "file-%u", i);
		assert_int_equal(linkat(fd, "file-0", fd, name, 0), 0);
	}
}

static char *make_dir(const char *parent, const char *name)
{
	char *dir = xasprintf("%s/%s", parent, name);

	assert_int_equal(mkdir(dir, 0700), 0);
	return dir;
}

static unsigned int scaled(unsigned int n)
{
	return emulated ? n / 10 : n;
}

/* --- tests -------------------------------------------------------------------------------------------------------------- */

static void totals_agree_with_the_kernel(void **state)
{
	struct dentries_snapshot *s = walk(1, false);

	(void)state;
	near(s->dentries.entries, s->kernel_dentries, 10);
	/* Unused ones alone are in the kernel's number. */
	assert_true(s->dentries.negative * 1000 >= s->kernel_negative * 990);
	near(s->inodes.entries, s->kernel_inodes, 10);
	assert_int_equal(s->coverage_permille, 1000);
	assert_int_equal(s->dentries.entries_error, 0);
	assert_true(s->refused * 1000 <= s->objects);
	assert_int_equal(s->caches_unknown, 0);
	assert_true(s->n_filesystems > 3);
	dentries_snapshot_free(s);
}

static void missing_names_are_found_in_their_directory(void **state)
{
	const unsigned int planted = scaled(200000);
	_cleanup_free_ char *dir = make_dir(plant_dir(), "missing");
	const struct dentries_directory *d;
	struct dentries_snapshot *s;

	(void)state;
	plant_missing(dir, planted);
	s = walk(1, false);
	d = need(s, dir);
	near(d->dentries.entries, planted, 30);
	near(d->dentries.negative, planted, 30);
	assert_false(d->kernel_mount);
	/* 192 bytes and more each; an eighth has a name of 56 bytes beside it. */
	assert_in_range(d->dentries.bytes, d->dentries.entries * s->dentry_size,
			d->dentries.entries * (s->dentry_size + 40));
	assert_true(s->dentries.negative >= d->dentries.negative);
	dentries_snapshot_free(s);

	/* With their directory they go, and what is left of them in memory is not counted. */
	assert_int_equal(rmdir(dir), 0);
	s = walk(1, false);
	assert_null(find(s, dir));
	near(s->dentries.entries, s->kernel_dentries, 10);
	dentries_snapshot_free(s);
}

/* 500,000 in five directories, of files that exist on a tmpfs and of names that do not on a disk. */
static void directories_are_ranked(void **state)
{
	static const unsigned int sizes[] = {160000, 130000, 100000, 70000, 40000};
	const char *tmpfs = plant_tmpfs(), *disk = plant_dir();
	char *dirs[ARRAY_SIZE(sizes)];
	struct dentries_snapshot *s;
	size_t last = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		_cleanup_free_ char *name = xasprintf("ranked-%zu", i);

		dirs[i] = make_dir(i % 2 ? disk : tmpfs, name);
		if (i % 2)
			plant_missing(dirs[i], scaled(sizes[i]));
		else
			plant_links(dirs[i], scaled(sizes[i]));
	}
	s = walk(1, false);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct dentries_directory *d = need(s, dirs[i]);
		size_t at = (size_t)(d - s->directories);

		near(d->dentries.entries, scaled(sizes[i]), 30);
		near(d->dentries.negative, i % 2 ? scaled(sizes[i]) : 0, 30);
		assert_true(i == 0 || at > last);
		last = at;
		assert_string_equal(d->fstype, i % 2 ? d->fstype : "tmpfs");
	}
	dentries_snapshot_free(s);

	/* A sample: each within what it says of itself, widened to four standard deviations. */
	s = walk(16, false);
	assert_true(s->slabs_sampled < s->slabs / 8);
	near(s->dentries.entries, s->kernel_dentries, 20);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		const struct dentries_directory *d = need(s, dirs[i]);
		uint64_t truth = scaled(sizes[i]), said = d->dentries.entries;

		print_message("    1 in 16: %" PRIu64 " +- %" PRIu64 ", planted %" PRIu64 "\n",
			      said, d->dentries.entries_error, truth);
		/* Of a tenth of the files twelve slabs are sampled. */
		assert_in_range(d->dentries.entries_error, 1, emulated ? truth : truth / 2);
		assert_true((said > truth ? said - truth : truth - said) <=
			    d->dentries.entries_error * 2 + truth / 50);
	}
	dentries_snapshot_free(s);
	s = walk(4, true);
	assert_true(s->sample_blocks);
	for (size_t i = 0; i < 2; i++) {
		const struct dentries_directory *d = need(s, dirs[i]);
		uint64_t truth = scaled(sizes[i]), said = d->dentries.entries;

		print_message("    blocks, 1 in 4: %" PRIu64 " +- %" PRIu64 ", planted %" PRIu64
			      "\n",
			      said, d->dentries.entries_error, truth);
		assert_true((said > truth ? said - truth : truth - said) <=
			    d->dentries.entries_error * 2 + truth / 50);
	}
	dentries_snapshot_free(s);
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		free(dirs[i]);
}

/* A process of a memory cgroup asks for them: they are charged to that one, and the directory says so. */
static void dentries_are_charged(void **state)
{
	const unsigned int planted = scaled(40000);
	const char *cgroup = plant_cgroup("dentries"), *path = plant_cgroup_path(cgroup);
	_cleanup_free_ char *dir = make_dir(plant_dir(), "charged");
	const struct dentries_group *group = NULL;
	const struct dentries_directory *d;
	struct dentries_snapshot *s;
	struct stat st;
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		_cleanup_free_ char *procs = xasprintf("%s/cgroup.procs", cgroup);
		int fd = open(procs, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1)
			_exit(1);
		plant_missing(dir, planted);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(stat(cgroup, &st), 0);
	s = walk(1, false);
	d = need(s, dir);
	assert_true(d->group < s->n_groups);
	group = &s->groups[d->group];
	assert_string_equal(group->path, path);
	assert_int_equal(group->id, st.st_ino);
	assert_false(group->dying);
	near(group->dentries.negative, planted, 30);
	near(group->dentries.entries, d->dentries.entries, 30);
	assert_true(s->groups_unresolved * 1000 <= s->objects);
	dentries_snapshot_free(s);
}

static void inodes_are_counted_by_filesystem(void **state)
{
	const unsigned int planted = scaled(20000);
	const char *tmpfs = plant_tmpfs();
	const struct dentries_filesystem *f = NULL;
	struct dentries_snapshot *s;
	struct stat st;
	int fd = open(tmpfs, O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)state;
	assert_int_equal(fstat(fd, &st), 0);
	for (unsigned int i = 0; i < planted; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "inode-%u", i);
		assert_int_equal(mknodat(fd, name, S_IFREG | 0600, 0), 0);
	}
	(void)close(fd);
	s = walk(1, false);
	for (size_t i = 0; i < s->n_filesystems; i++) {
		f = &s->filesystems[i];
		if (gnu_dev_makedev(f->dev_major, f->dev_minor) == st.st_dev)
			break;
		f = NULL;
	}
	assert_non_null(f);
	assert_string_equal(f->fstype, "tmpfs");
	/* And the root. */
	assert_int_equal(f->inodes.entries, planted + 1);
	assert_int_equal(f->dentries.entries, planted + 1);
	assert_true(f->inodes.bytes > (uint64_t)planted * 500);
	dentries_snapshot_free(s);
}

/* The best of three: a CPU that the host takes away counts as ours in a virtual machine. */
static void no_call_takes_a_millisecond(void **state)
{
	uint64_t best = UINT64_MAX;

	(void)state;
	for (int i = 0; i < 3; i++) {
		struct dentries_snapshot *s = walk(1, false);

		best = s->bpf_max_call_ns < best ? s->bpf_max_call_ns : best;
		dentries_snapshot_free(s);
	}
	assert_true(emulated || best < 1000 * 1000);
}

/* A budget that is too small for everything makes a sample, and the walk ends where it runs out. */
static void budget_is_kept(void **state)
{
	struct dentries_opts opts = {.top = 1, .cpu_budget_ns = 1000};
	struct dentries_snapshot *s = NULL;
	struct err err = {0};

	(void)state;
	if (dentries_read(&proc, &opts, &s, &err) < 0)
		fail_msg("dentries_read: %s", err.msg);
	print_message("  %u permille in %.3f ms\n", s->coverage_permille,
		      (double)s->walk_cpu_ns / 1e6);
	assert_true(s->coverage_permille < 1000);
	assert_int_equal(s->sample_every, DENTRIES_MAX_EVERY);
	assert_true(s->sample_blocks);
	dentries_snapshot_free(s);
	opts.top = 0;
	assert_int_equal(dentries_read(&proc, &opts, &s, &err), -EINVAL);
	opts.top = 1;
	opts.sample_every = 3;
	assert_int_equal(dentries_read(&proc, &opts, &s, &err), -EINVAL);
}

/* What CPUs have not added to meminfo yet: 125 pages each, and some. */
#define SLACK ((uint64_t)4 << 20)

static void slabinfo_agrees_with_meminfo(void **state)
{
	_cleanup_root_ struct root sys = ROOT_INIT;
	bool has_sys = root_open(&sys, SLABS_SYS, NULL) == 0;
	const struct slab_cache *dentry;
	struct slabs_snapshot *s = NULL;
	struct meminfo info = {0};
	uint64_t reclaimable = 0;
	struct err err = {0};

	(void)state;
	if (slabs_read(&proc, has_sys ? &sys : NULL, &s, &err) < 0)
		fail_msg("slabs_read: %s", err.msg);
	assert_int_equal(meminfo_read(&proc, &info, NULL, &err), 0);
	assert_int_equal(s->notes.n, 0);
	/* kmalloc() of more than two pages counts as slab and is in no cache: 1.5 MiB of Debian's kernels. */
	assert_true(s->bytes <= info.slab + info.slab / 50);
	assert_true(s->bytes + info.slab / 50 + (4 << 20) >= info.slab);
	dentry = slabs_find(s, "dentry");
	assert_non_null(dentry);
	assert_true(dentry->bytes > 0 && dentry->active <= dentry->objects);
	if (s->reclaim_source) {
		assert_int_equal(dentry->reclaim, SLAB_RECLAIMABLE);
		for (size_t i = 0; i < s->n; i++)
			reclaimable += s->caches[i].reclaim == SLAB_RECLAIMABLE ? s->caches[i].bytes
										: 0;
		assert_true(reclaimable <= info.s_reclaimable + info.s_reclaimable / 30 + SLACK);
		assert_true(reclaimable + SLACK >= info.s_reclaimable - info.s_reclaimable / 30);
	}
	slabs_snapshot_free(s);
}

static int set_up(void **state)
{
	struct err err = {0};

	(void)state;
	emulated = getenv("MEMDIAG_TEST_EMULATED") != NULL;
	if (root_open(&proc, "/proc", &err) < 0) {
		print_error("%s\n", err.msg);
		return -1;
	}
	return 0;
}

static int tear_down(void **state)
{
	root_close(&proc);
	return plant_teardown(state);
}

#define test(f) cmocka_unit_test_teardown(f, plant_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(totals_agree_with_the_kernel),
		test(missing_names_are_found_in_their_directory),
		test(directories_are_ranked),
		test(dentries_are_charged),
		test(inodes_are_counted_by_filesystem),
		test(no_call_takes_a_millisecond),
		test(budget_is_kept),
		test(slabinfo_agrees_with_meminfo),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
