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

enum {
	MAX_MOUNTS = 65536,
	MAX_NAMESPACES = 1024,
	FIRST_PID = 1,
};

struct mount {
	uint32_t major, minor;
	uint32_t pid; /* of the process whose table this is from */
	char *root;   /* the part of the filesystem that is mounted */
	char *point;  /* where, in that process's view */
};

struct mounts {
	struct mount *items; /* the first process's come first */
	size_t n, cap;
	uint64_t namespaces[MAX_NAMESPACES]; /* inode numbers of those read */
	size_t n_namespaces;
};

/* Undoes mountinfo's \ooo escapes in place. */
static void unescape(char *s)
{
	char *out = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

static int parse_device(const char *text, uint32_t *major, uint32_t *minor)
{
	char part[16] = "";
	const char *colon = strchr(text, ':');
	uint64_t a, b;

	if (!colon || (size_t)(colon - text) >= sizeof(part))
		return -EINVAL;
	memcpy(part, text, (size_t)(colon - text));
	if (num_u64(part, 0, UINT32_MAX, &a) < 0 || num_u64(colon + 1, 0, UINT32_MAX, &b) < 0)
		return -EINVAL;
	*major = (uint32_t)a;
	*minor = (uint32_t)b;
	return 0;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": device, root and mount point are what we need. */
static void add_line(struct mounts *mounts, uint32_t pid, char *line)
{
	char *fields[5], *rest = line;
	struct mount *mount;
	uint32_t major, minor;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		fields[i] = strsep(&rest, " ");
		if (!fields[i])
			return;
	}
	if (parse_device(fields[2], &major, &minor) < 0 || mounts->n == MAX_MOUNTS)
		return;
	if (mounts->n == mounts->cap) {
		mounts->cap = mounts->cap ? mounts->cap * 2 : 64;
		mounts->items = xreallocarray(mounts->items, mounts->cap, sizeof(*mounts->items));
	}
	unescape(fields[3]);
	unescape(fields[4]);
	mount = &mounts->items[mounts->n++];
	mount->major = major;
	mount->minor = minor;
	mount->pid = pid;
	mount->root = xstrdup(fields[3]);
	mount->point = xstrdup(fields[4]);
}

static int read_table(struct mounts *mounts, const struct root *proc, uint32_t pid, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(ROOT_FILE_MAX);
	char rel[32], *rest, *line;
	int r;

	(void)snprintf(rel, sizeof(rel), "%u/mountinfo", pid);
	r = root_read(proc, rel, &text, err);
	if (r < 0 || text.len == 0)
		return r;
	rest = text.data;
	while ((line = strsep(&rest, "\n")))
		add_line(mounts, pid, line);
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
	for (size_t i = 0; i < mounts->n; i++) {
		free(mounts->items[i].root);
		free(mounts->items[i].point);
	}
	free(mounts->items);
	free(mounts);
}

/* The rest of path below root, beginning with '/' or empty; NULL when path is not below root. */
static const char *below(const char *path, const char *root)
{
	size_t n = strlen(root);

	if (strcmp(root, "/") == 0)
		return path;
	if (strncmp(path, root, n) != 0 || (path[n] != '/' && path[n] != '\0'))
		return NULL;
	return path + n;
}

/* The first process's mounts win over other namespaces'; among one table's, the one that shows most of the filesystem. */
static const struct mount *find(const struct mounts *mounts, uint32_t major, uint32_t minor,
				const char *fs_path)
{
	const struct mount *best = NULL;

	for (size_t i = 0; i < mounts->n; i++) {
		const struct mount *m = &mounts->items[i];

		if (m->major != major || m->minor != minor || !below(fs_path, m->root))
			continue;
		if (best && best->pid != m->pid)
			break;
		if (!best || strlen(m->root) < strlen(best->root))
			best = m;
	}
	return best;
}

char *mounts_host_path(const struct mounts *mounts, uint32_t major, uint32_t minor,
		       const char *fs_path)
{
	const struct mount *m = find(mounts, major, minor, fs_path);
	const char *rest, *point;

	if (!m)
		return NULL;
	rest = below(fs_path, m->root);
	/* Below "/" the mount point adds nothing but a second slash. */
	point = strcmp(m->point, "/") == 0 && *rest == '/' ? "" : m->point;
	if (m->pid != FIRST_PID)
		return xasprintf("/proc/%u/root%s%s", m->pid, point,
				 strcmp(rest, "/") == 0 ? "" : rest);
	return xasprintf("%s%s", point, strcmp(rest, "/") == 0 && *point ? "" : rest);
}

const char *mounts_mount_point(const struct mounts *mounts, uint32_t major, uint32_t minor,
			       const char *fs_path)
{
	const struct mount *m = find(mounts, major, minor, fs_path);

	return m && m->pid == FIRST_PID ? m->point : NULL;
}
