/* SPDX-License-Identifier: Apache-2.0 */
#include "support/folder.h"
#include "support/plant.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"

#define SYS_CACHESTAT	     451
#define CGROUP2_SUPER_MAGIC_ 0x63677270
#define PLANTED_MAX	     4096

/* What plant_clean() removes, last first. */
static struct {
	enum { DIRECTORY, MOUNT, CGROUP, READER } kind;
	char *path;
	struct plant_child child;
} planted[PLANTED_MAX];
static size_t n_planted;

static const char *remember(int kind, char *path)
{
	assert_true(n_planted < PLANTED_MAX);
	planted[n_planted].kind = kind;
	planted[n_planted].path = path;
	n_planted++;
	return path;
}

const char *plant_dir(void)
{
	char *path = xstrdup("/var/tmp/memdiag-test-XXXXXX");

	if (!mkdtemp(path))
		fail_msg("mkdtemp %s: %s", path, strerror(errno));
	return remember(DIRECTORY, path);
}

const char *plant_tmpfs(void)
{
	const char *path = plant_dir();

	if (mount("memdiag-test", path, "tmpfs", MS_NOSUID | MS_NODEV, "size=1g") < 0)
		fail_msg("mount tmpfs: %s", strerror(errno));
	return remember(MOUNT, xstrdup(path));
}

/* --- files ------------------------------------------------------------------------------------------------------------- */

static void fill(int fd, size_t bytes)
{
	static char block[1 << 20];
	size_t at = 0;

	memset(block, 'm', sizeof(block));
	while (at < bytes) {
		size_t n = bytes - at < sizeof(block) ? bytes - at : sizeof(block);
		ssize_t w = write(fd, block, n);

		if (w <= 0)
			fail_msg("write: %s", strerror(errno));
		at += (size_t)w;
	}
	/* Dirty pages cannot be dropped. */
	assert_int_equal(fdatasync(fd), 0);
}

struct plant_file plant_file(const char *dir, const char *name, size_t bytes)
{
	struct plant_file f = {.path = xasprintf("%s/%s", dir, name), .bytes = bytes};

	f.fd = open(f.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (f.fd < 0)
		fail_msg("create %s: %s", f.path, strerror(errno));
	fill(f.fd, bytes);
	assert_int_equal(fstat(f.fd, &f.st), 0);
	plant_hold(&f);
	return f;
}

struct plant_file plant_memfd(const char *name, size_t bytes)
{
	struct plant_file f = {.bytes = bytes};

	f.fd = memfd_create(name, MFD_CLOEXEC);
	assert_true(f.fd >= 0);
	fill(f.fd, bytes);
	assert_int_equal(fstat(f.fd, &f.st), 0);
	plant_hold(&f);
	return f;
}

static void *hold_range(int fd, size_t from, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, (off_t)from);

	if (p == MAP_FAILED)
		return NULL;
	/* No readahead: the range, not its surroundings. */
	(void)madvise(p, bytes, MADV_RANDOM);
	if (syscall(SYS_mlock, p, bytes) < 0) {
		(void)munmap(p, bytes);
		return NULL;
	}
	return p;
}

void plant_hold(struct plant_file *f)
{
	if (f->bytes == 0)
		return;
	f->map = hold_range(f->fd, 0, f->bytes);
	if (!f->map)
		fail_msg("mlock of %zu bytes: %s", f->bytes, strerror(errno));
}

void plant_release(struct plant_file *f)
{
	if (f->map)
		(void)munmap(f->map, f->bytes);
	f->map = NULL;
}

void plant_drop(struct plant_file *f)
{
	/* Pages in another CPU's batch of LRU additions cannot be dropped until it is drained. */
	for (int i = 0; i < 50; i++) {
		(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_DONTNEED);
		if (plant_cached_pages(f->fd) <= 0)
			return;
		(void)usleep(20000);
	}
	fail_msg("%s stays in the page cache", f->path);
}

void plant_close(struct plant_file *f)
{
	plant_release(f);
	if (f->fd >= 0)
		(void)close(f->fd);
	f->fd = -1;
	free(f->path);
	f->path = NULL;
}

/* The same for kernels before 6.5, which have no cachestat. */
static int64_t resident_pages(int fd)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	_cleanup_free_ unsigned char *there = NULL;
	struct stat st;
	int64_t n = 0;
	size_t pages;
	void *map;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size == 0)
		return 0;
	pages = ((size_t)st.st_size + page - 1) / page;
	there = xcalloc(pages, 1);
	map = mmap(NULL, pages * page, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	if (mincore(map, pages * page, there) < 0)
		n = -errno;
	(void)munmap(map, pages * page);
	for (size_t i = 0; n >= 0 && i < pages; i++)
		n += there[i] & 1;
	return n;
}

int64_t plant_cached_pages(int fd)
{
	struct {
		uint64_t off, len;
	} range = {0, 0};
	struct {
		uint64_t cache, dirty, writeback, evicted, recently_evicted;
	} stat = {0, 0, 0, 0, 0};

	if (syscall(SYS_CACHESTAT, fd, &range, &stat, 0) == 0)
		return (int64_t)stat.cache;
	return errno == ENOSYS ? resident_pages(fd) : -errno;
}

/* --- cgroups ------------------------------------------------------------------------------------------------------------ */

static const char *cgroup_mount(bool *ret_v2)
{
	struct statfs fs;

	*ret_v2 = statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC_;
	return *ret_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
}

static int write_text(const char *path, const char *text)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

const char *plant_cgroup(const char *name)
{
	bool v2;
	const char *root = cgroup_mount(&v2);
	char *path = xasprintf("%s/memdiag-test-%d-%s", root, getpid(), name);

	if (v2)
		(void)write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
	if (mkdir(path, 0755) < 0)
		fail_msg("mkdir %s: %s", path, strerror(errno));
	return remember(CGROUP, path);
}

const char *plant_cgroup_path(const char *dir)
{
	bool v2;

	return dir + strlen(cgroup_mount(&v2));
}

void plant_cgroup_remove(const char *dir)
{
	/* A process that has just ended may still be listed. */
	for (int i = 0; i < 100 && rmdir(dir) < 0; i++) {
		if (errno == ENOENT)
			return;
		(void)usleep(20000);
	}
}

uint64_t plant_cgroup_cache_bytes(const char *dir)
{
	_cleanup_free_ char *path = xasprintf("%s/memory.stat", dir);
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char name[128];
	unsigned long long value;

	assert_non_null(f);
	while (fscanf(f, "%127s %llu", name, &value) == 2)
		if (strcmp(name, "cache") == 0 || strcmp(name, "file") == 0)
			return value;
	fail_msg("%s has neither cache nor file", path);
	return 0;
}

static int join_cgroup(const char *cgroup)
{
	char path[512], text[32];

	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	(void)snprintf(text, sizeof(text), "%d", getpid());
	return write_text(path, text);
}

void plant_charged(const char *const *cgroups, size_t n, const char *dir, size_t bytes)
{
	int status = -1;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		for (size_t i = 0; i < n; i++) {
			char path[512];
			int fd;

			(void)snprintf(path, sizeof(path), "%s/%zu", dir, i);
			if (join_cgroup(cgroups[i]) < 0)
				_exit(1);
			fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
			if (fd < 0 || posix_fallocate(fd, 0, (off_t)bytes) != 0)
				_exit(2);
			(void)close(fd);
		}
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("files charged to %zu cgroups: status %#x", n, (unsigned int)status);
}

/* Runs in the child; says one byte when fn is done. */
static void do_and_wait(const char *cgroup, int (*fn)(void *arg), void *arg, int ready, int hold)
{
	char c = 1;
	int r;

	if (cgroup && join_cgroup(cgroup) < 0)
		_exit(1);
	r = fn(arg);
	if (r != 0)
		_exit(r);
	if (write(ready, &c, 1) != 1)
		_exit(3);
	(void)!read(hold, &c, 1);
	_exit(0);
}

struct plant_child plant_process(const char *cgroup, int (*fn)(void *arg), void *arg)
{
	struct plant_child child;
	int ready[2], hold[2], status = 0;
	char c;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	child.pid = fork();
	assert_true(child.pid >= 0);
	if (child.pid == 0) {
		(void)close(ready[0]);
		(void)close(hold[1]);
		do_and_wait(cgroup, fn, arg, ready[1], hold[0]);
	}
	(void)close(ready[1]);
	(void)close(hold[0]);
	child.hold = hold[1];
	if (read(ready[0], &c, 1) != 1) {
		(void)close(hold[1]);
		(void)close(ready[0]);
		(void)waitpid(child.pid, &status, 0);
		fail_msg("the process in %s failed: exit status %d", cgroup ? cgroup : "no cgroup",
			 WIFEXITED(status) ? WEXITSTATUS(status) : -1);
	}
	(void)close(ready[0]);
	(void)remember(READER, NULL);
	planted[n_planted - 1].child = child;
	return child;
}

struct range {
	const char *path;
	size_t from, bytes;
};

static int read_range(void *arg)
{
	const struct range *range = arg;
	int fd = open(range->path, O_RDONLY | O_CLOEXEC);

	return fd >= 0 && hold_range(fd, range->from, range->bytes) ? 0 : 2;
}

struct plant_child plant_reader(const char *cgroup, const char *path, size_t from, size_t bytes)
{
	struct range range = {path, from, bytes};

	return plant_process(cgroup, read_range, &range);
}

void plant_reader_end(struct plant_child *child)
{
	void (*handler)(int);

	for (size_t i = 0; i < n_planted; i++)
		if (planted[i].kind == READER && planted[i].child.pid == child->pid)
			planted[i].child.pid = 0;
	/*
	 * A byte: readers started later have inherited the pipe, so closing it alone says nothing. One that the kernel has killed
	 * takes none; that is no reason to end without a verdict.
	 */
	handler = signal(SIGPIPE, SIG_IGN);
	(void)!write(child->hold, "", 1);
	(void)signal(SIGPIPE, handler);
	(void)close(child->hold);
	(void)waitpid(child->pid, NULL, 0);
}

/* --- cleaning up -------------------------------------------------------------------------------------------------------- */

void plant_clean(void)
{
	while (n_planted > 0) {
		n_planted--;
		switch (planted[n_planted].kind) {
		case DIRECTORY:
			(void)folder_remove(planted[n_planted].path);
			break;
		case MOUNT:
			(void)umount2(planted[n_planted].path, MNT_DETACH);
			break;
		case READER:
			if (planted[n_planted].child.pid)
				plant_reader_end(&planted[n_planted].child);
			break;
		case CGROUP:
			plant_cgroup_remove(planted[n_planted].path);
			break;
		}
		free(planted[n_planted].path);
	}
}

int plant_teardown(void **state)
{
	(void)state;
	plant_clean();
	return 0;
}
