/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/proc_scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

enum { FDINFO_MAX = 64 << 10 };

DEFINE_CLEANUP(dir, DIR *, closedir);

static DIR *open_dir(int at, const char *rel)
{
	int fd = openat(at, rel, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir;

	if (fd < 0)
		return NULL;
	dir = fdopendir(fd);
	if (!dir)
		(void)close(fd);
	return dir;
}

static void visit_fds(const struct root *proc, pid_t pid, const struct proc_visitor *visitors,
		      size_t n, struct proc_scan_stats *stats)
{
	char rel[32], target[256];
	_cleanup_(dir_cleanup) DIR *dir = NULL;
	struct dirent *entry;
	bool hidden = false;

	(void)snprintf(rel, sizeof(rel), "%d/fd", pid);
	dir = open_dir(proc->fd, rel);
	if (!dir) {
		stats->unlisted += errno == EACCES || errno == EPERM;
		return;
	}
	while ((entry = readdir(dir))) {
		struct proc_fd fd = {.pid = pid, .target = target};
		uint64_t number;
		ssize_t len;

		if (num_u64(entry->d_name, 0, INT_MAX, &number) < 0)
			continue;
		if (stats->fds == PROC_SCAN_MAX_FDS) {
			stats->dropped++;
			return;
		}
		len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);
		if (len < 0) {
			/* Listing takes the folder's mode, a link the right to trace the process. */
			stats->unreadable += !hidden && (errno == EACCES || errno == EPERM);
			hidden = hidden || errno == EACCES || errno == EPERM;
			continue;
		}
		target[len] = '\0';
		fd.fd = (unsigned int)number;
		stats->fds++;
		for (size_t i = 0; i < n; i++) {
			if (visitors[i].fd)
				visitors[i].fd(visitors[i].arg, proc, &fd);
		}
	}
}

int proc_scan(const struct root *proc, const struct proc_visitor *visitors, size_t n,
	      struct proc_scan_stats *stats, struct err *err)
{
	_cleanup_(dir_cleanup) DIR *dir = open_dir(proc->fd, ".");
	struct dirent *entry;

	if (!dir)
		return err_set(err, errno, "cannot list %s", proc->path);
	while ((entry = readdir(dir))) {
		uint64_t pid;

		if (num_u64(entry->d_name, 1, INT_MAX, &pid) < 0)
			continue;
		if (stats->processes == PROC_SCAN_MAX_PROCESSES ||
		    stats->fds == PROC_SCAN_MAX_FDS) {
			stats->dropped++;
			continue;
		}
		stats->processes++;
		for (size_t i = 0; i < n; i++) {
			if (visitors[i].process)
				visitors[i].process(visitors[i].arg, proc, (pid_t)pid);
		}
		visit_fds(proc, (pid_t)pid, visitors, n, stats);
	}
	return 0;
}

bool proc_link_inode(const char *target, const char *prefix, uint64_t *ret)
{
	size_t n = strlen(prefix);
	char digits[24] = "";
	size_t len;

	if (strncmp(target, prefix, n) != 0)
		return false;
	len = strspn(target + n, "0123456789");
	if (len == 0 || len >= sizeof(digits) || strcmp(target + n + len, "]") != 0)
		return false;
	memcpy(digits, target + n, len);
	return num_u64(digits, 0, UINT64_MAX, ret) == 0;
}

int proc_read_fdinfo(const struct root *proc, const struct proc_fd *fd, struct buf *out)
{
	char rel[48];
	int r;

	(void)snprintf(rel, sizeof(rel), "%d/fdinfo/%u", fd->pid, fd->fd);
	buf_clear(out);
	out->max = FDINFO_MAX;
	r = root_read(proc, rel, out, NULL);
	return r == -EFBIG && out->len > 0 ? 0 : r;
}

/* What stands behind "KEY:" and blanks, to the line's end; NULL when no line begins so. */
static const char *find_field(const char *text, const char *key, size_t *ret_len)
{
	size_t n = strlen(key);

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, n) == 0 && line[n] == ':') {
			line += n + 1;
			line += strspn(line, " \t");
			*ret_len = strcspn(line, "\n");
			return line;
		}
	}
	return NULL;
}

bool proc_field(const char *text, const char *key, uint64_t *ret)
{
	size_t len, n;
	const char *value = find_field(text, key, &len);
	uint64_t v, factor = 1;
	char digits[24] = "";

	if (!value)
		return false;
	if (len > 2 && value[0] == '0' && value[1] == 'x') {
		n = strspn(value + 2, "0123456789abcdef");
		return n > 0 && n + 2 == len && num_hex(value + 2, n, ret) == 0;
	}
	n = strspn(value, "0123456789");
	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, value, n);
	if (num_u64(digits, 0, UINT64_MAX, &v) < 0)
		return false;
	if (len - n == 4 && strncmp(value + n, " KiB", 4) == 0)
		factor = 1 << 10;
	else if (len - n == 4 && strncmp(value + n, " MiB", 4) == 0)
		factor = 1 << 20;
	else if (n != len)
		return false;
	return !__builtin_mul_overflow(v, factor, ret);
}

bool proc_field_text(const char *text, const char *key, char *out, size_t size)
{
	size_t len;
	const char *value = find_field(text, key, &len);

	if (!value)
		return false;
	(void)snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1), value);
	return true;
}
