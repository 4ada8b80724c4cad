/* SPDX-License-Identifier: Apache-2.0 */
#include "support/zombies.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "support/page_size.h"

int plant_write(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) ? 0 : -1;
}

const char *plant_cgroup_parent(const char *name)
{
	const char *dir = plant_cgroup(name);

	(void)plant_write(dir, "cgroup.subtree_control", "+memory"); /* v2 only */
	return dir;
}

/* In the child: writes one page of the file in each of n cgroups and removes them. */
static void make_zombies(const char *parent, int fd, size_t n)
{
	static char page[65536]; /* the largest there is */
	char dir[512], last[512] = "";

	for (size_t i = 0; i < n; i++) {
		(void)snprintf(dir, sizeof(dir), "%s/z%zu", parent, i);
		if (mkdir(dir, 0755) < 0 || plant_write(dir, "cgroup.procs", "0") < 0)
			_exit(1);
		if (last[0] && rmdir(last) < 0)
			_exit(2);
		if (pwrite(fd, page, page_bytes(), (off_t)(i * page_bytes())) < 0)
			_exit(3);
		memcpy(last, dir, sizeof(last));
	}
	_exit(0);
}

struct plant_file plant_zombies(const char *parent, size_t n)
{
	struct plant_file f = plant_file(plant_dir(), "pin", 0);
	_cleanup_free_ char *last = xasprintf("%s/z%zu", parent, n - 1);
	struct timespec a, b;
	int status = -1;
	pid_t pid;

	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &a), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		make_zombies(parent, f.fd, n);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	plant_cgroup_remove(last);
	assert_int_equal(fsync(f.fd), 0);
	assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &b), 0);
	f.bytes = n * page_bytes();
	print_message("  %zu planted in %.1f s\n", n,
		      (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9);
	return f;
}

void plant_keep_warm(const struct plant_file *f)
{
	char block[65536];

	for (off_t at = 0; (size_t)at < f->bytes; at += (off_t)sizeof(block))
		assert_true(pread(f->fd, block, sizeof(block), at) > 0);
}
