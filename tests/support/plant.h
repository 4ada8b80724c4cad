/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Things planted on the running host for a test to find: files that stay in the page cache, cgroups, mounts. Functions fail
 * the test themselves; plant_clean() takes everything away again, also after a failure.
 */
#ifndef MEMDIAG_TESTS_PLANT_H
#define MEMDIAG_TESTS_PLANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct plant_file {
	char *path; /* NULL for a memfd */
	int fd;
	void *map; /* mlocked: reclaim, DAMON's too, leaves it alone. NULL: not held */
	size_t bytes;
	struct stat st;
};

/* A new directory on a disk filesystem. Valid until plant_clean(). */
const char *plant_dir(void);
/* A tmpfs mounted on a new directory. Valid until plant_clean(). */
const char *plant_tmpfs(void);

/* Writes a file of that many bytes and holds it in the page cache. name is below dir. */
struct plant_file plant_file(const char *dir, const char *name, size_t bytes);
struct plant_file plant_memfd(const char *name, size_t bytes);
/* Holds all of the file that is open in f. The real mlock(): ASan replaces the C library's by nothing. */
void plant_hold(struct plant_file *f);
void plant_release(struct plant_file *f);
/* Drops the file from the page cache. It must be clean and not held. */
void plant_drop(struct plant_file *f);
/* Closes it; what plant_dir() made is removed by plant_clean(). */
void plant_close(struct plant_file *f);
/* Pages in the page cache, by cachestat(2), or mincore(2) where there is none; -errno. */
int64_t plant_cached_pages(int fd);

/* A new memory cgroup (v1 or v2). Its directory; valid until plant_clean(). */
const char *plant_cgroup(const char *name);
/* The same cgroup's path below the mount. */
const char *plant_cgroup_path(const char *dir);
/* Removes it now. */
void plant_cgroup_remove(const char *dir);
/* A value of memory.stat, "cache" on v1 and "file" on v2. */
uint64_t plant_cgroup_cache_bytes(const char *dir);

/* Writes dir/0, dir/1, … of that many bytes each, charged to the first, second, … of the cgroups. Not held. */
void plant_charged(const char *const *cgroups, size_t n, const char *dir, size_t bytes);

struct plant_child {
	pid_t pid;
	int hold; /* closing it ends the child */
};

/*
 * A process in that cgroup (NULL: ours) that calls fn, which returns 0 or an exit status above 3, and waits with what fn made.
 */
struct plant_child plant_process(const char *cgroup, int (*fn)(void *arg), void *arg);
/* A process in that cgroup which reads the range, holds it in memory and waits. */
struct plant_child plant_reader(const char *cgroup, const char *path, size_t from, size_t bytes);
void plant_reader_end(struct plant_child *child);

void plant_clean(void);
/* The same as cmocka's teardown of a test. */
int plant_teardown(void **state);

#endif
