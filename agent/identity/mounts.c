/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/mounts.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "identity/mountinfo.h"

enum {
	MAX_NAMESPACES = 1024,
	FIRST_PID = 1,
};

/* One namespace's table, as one of its processes sees it. */
struct table {
	uint32_t pid;
	struct mountinfo info;
};

struct mounts {
	struct table *tables; /* the first process's comes first */
	size_t n, cap;
	size_t n_lines;			     /* of all tables */
	uint64_t namespaces[MAX_NAMESPACES]; /* inode numbers of those read */
	size_t n_namespaces;
};

static int read_table(struct mounts *mounts, const struct root *proc, uint32_t pid, struct err *err)
{
	struct table *table;
	int r;

	/* The ceiling holds for all tables together. */
	if (mounts->n_lines >= MOUNTINFO_MAX)
		return 0;
	if (mounts->n == mounts->cap) {
		mounts->cap = mounts->cap ? mounts->cap * 2 : 8;
		mounts->tables =
			xreallocarray(mounts->tables, mounts->cap, sizeof(*mounts->tables));
	}
	table = &mounts->tables[mounts->n];
	*table = (struct table){.pid = pid};
	r = mountinfo_read(&table->info, proc, pid, err);
	if (r < 0)
		return r;
	mounts->n_lines += table->info.n;
	mounts->n++;
	return 0;
}

/* True the first time a process's mount namespace is met. */
static bool is_new_namespace(struct mounts *mounts, const struct root *proc, uint32_t pid)
{
	char rel[32], link[64];
	uint64_t inode;
	ssize_t n;

	(void)snprintf(rel, sizeof(rel), "%u/ns/mnt", pid);
	n = readlinkat(proc->fd, rel, link, sizeof(link) - 1);
	if (n <= 0)
		return false;
	link[n] = '\0';
	link[strcspn(link, "]")] = '\0';
	if (strncmp(link, "mnt:[", 5) != 0 || num_u64(link + 5, 0, UINT64_MAX, &inode) < 0)
		return false;
	for (size_t i = 0; i < mounts->n_namespaces; i++) {
		if (mounts->namespaces[i] == inode)
			return false;
	}
	if (mounts->n_namespaces == MAX_NAMESPACES)
		return false;
	mounts->namespaces[mounts->n_namespaces++] = inode;
	return true;
}

int mounts_read(const struct root *proc, struct mounts **ret, struct err *err)
{
	__attribute__((cleanup(mounts_cleanup))) struct mounts *mounts =
		xcalloc(1, sizeof(*mounts));
	int fd = openat(proc->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (!dir)
		return err_set(err, errno, "cannot list %s", proc->path);
	(void)is_new_namespace(mounts, proc, FIRST_PID);
	r = read_table(mounts, proc, FIRST_PID, err);
	while (r == 0 && (entry = readdir(dir))) {
		uint64_t pid;

		if (!isdigit((unsigned char)entry->d_name[0]) ||
		    num_u64(entry->d_name, 2, UINT32_MAX, &pid) < 0)
			continue;
		/* A process may be gone by now: then another of its namespace serves, or nobody needs it. */
		if (is_new_namespace(mounts, proc, (uint32_t)pid))
			(void)read_table(mounts, proc, (uint32_t)pid, NULL);
	}
	(void)closedir(dir);
	if (r == 0)
		*ret = take_ptr(mounts);
	return r;
}

void mounts_free(struct mounts *mounts)
{
	if (!mounts)
		return;
	for (size_t i = 0; i < mounts->n; i++)
		mountinfo_done(&mounts->tables[i].info);
	free(mounts->tables);
	free(mounts);
}

/* Where a file is found: by which line of which table. */
struct place {
	const struct table *table;
	const struct mountinfo_line *line;
};

/* The first process's mounts win over other namespaces'; in one table, the one that shows most of the filesystem. */
static struct place find(const struct mounts *mounts, uint32_t major, uint32_t minor,
			 const char *fs_path)
{
	struct place best = {0};

	for (size_t i = 0; i < mounts->n && !best.line; i++) {
		const struct mountinfo *info = &mounts->tables[i].info;

		for (size_t k = 0; k < info->n; k++) {
			const struct mountinfo_line *line = &info->lines[k];

			if (line->major != major || line->minor != minor ||
			    !mountinfo_below(fs_path, line->root))
				continue;
			if (!best.line || strlen(line->root) < strlen(best.line->root))
				best = (struct place){&mounts->tables[i], line};
		}
	}
	return best;
}

char *mounts_host_path(const struct mounts *mounts, uint32_t major, uint32_t minor,
		       const char *fs_path)
{
	struct place place = find(mounts, major, minor, fs_path);
	const char *rest, *point;

	if (!place.line)
		return NULL;
	rest = mountinfo_below(fs_path, place.line->root);
	if (strcmp(rest, "/") == 0)
		rest = "";
	/* Below "/" the mount point adds nothing but a second slash. */
	point = strcmp(place.line->point, "/") == 0 && *rest ? "" : place.line->point;
	if (place.table->pid != FIRST_PID)
		return xasprintf("/proc/%u/root%s%s", place.table->pid, point, rest);
	return xasprintf("%s%s", point, rest);
}

const char *mounts_mount_point(const struct mounts *mounts, uint32_t major, uint32_t minor,
			       const char *fs_path)
{
	struct place place = find(mounts, major, minor, fs_path);

	return place.line && place.table->pid == FIRST_PID ? place.line->point : NULL;
}

/* The same by one mount. */
static const char *below_by_line(const struct mountinfo_line *line, const char *folder,
				 uint32_t major, uint32_t minor, const char *fs_path)
{
	const char *in_mount, *rest;

	if (line->major != major || line->minor != minor)
		return NULL;
	in_mount = mountinfo_below(folder, line->point);
	rest = in_mount ? mountinfo_below(fs_path, line->root) : NULL;
	if (rest && *in_mount && strcmp(in_mount, "/") != 0)
		rest = mountinfo_below(rest, in_mount);
	return rest && *rest == '/' ? rest : NULL;
}

const char *mounts_below(const struct mounts *mounts, const char *folder, uint32_t major,
			 uint32_t minor, const char *fs_path)
{
	for (size_t i = 0; i < mounts->n; i++) {
		const struct mountinfo *info = &mounts->tables[i].info;

		for (size_t k = 0; k < info->n; k++) {
			const char *rest =
				below_by_line(&info->lines[k], folder, major, minor, fs_path);

			if (rest)
				return rest;
		}
	}
	return NULL;
}
