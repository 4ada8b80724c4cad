/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/process_cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

enum { TEXT_MAX = 64 << 10 };

/* Whether the comma-separated list of n bytes has "memory" in it. */
static bool has_memory(const char *list, size_t n)
{
	while (n > 0) {
		size_t len = 0;

		while (len < n && list[len] != ',')
			len++;
		if (len == 6 && memcmp(list, "memory", 6) == 0)
			return true;
		len += len < n;
		list += len;
		n -= len;
	}
	return false;
}

char *process_cgroup_parse(const char *text, enum cgroup_mode mode)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		const char *controllers, *path;
		size_t end;

		line += *line == '\n';
		end = strcspn(line, "\n");
		controllers = memchr(line, ':', end);
		path = controllers ? memchr(controllers + 1, ':',
					    end - (size_t)(controllers + 1 - line))
				   : NULL;
		if (!path || path[1] != '/')
			continue;
		controllers++;
		if (mode == CGROUP_V2 ? line[0] == '0' && controllers == path
				      : has_memory(controllers, (size_t)(path - controllers)))
			return xstrndup(path + 1, end - (size_t)(path + 1 - line));
	}
	return NULL;
}

static uint64_t cgroup_id(const struct cgroupfs *cgroups, const char *path)
{
	const char *rel = path + strspn(path, "/");
	struct stat st;

	return fstatat(cgroups->memory.fd, *rel ? rel : ".", &st, 0) == 0 ? st.st_ino : 0;
}

/* The only cgroup of the table whose path ends with that; NULL: none, or several. */
static const struct pod_cgroup *find_ending(const struct pods *pods, const char *end)
{
	const struct pod_cgroup *found = NULL;
	size_t n = strlen(end);

	if (!pods || n < 2)
		return NULL;
	for (size_t i = 0; i < pods->n; i++) {
		size_t len = strlen(pods->items[i].cgroup);

		if (len < n || strcmp(pods->items[i].cgroup + len - n, end) != 0)
			continue;
		if (found)
			return NULL;
		found = &pods->items[i];
	}
	return found;
}

int process_cgroup_read(const struct root *proc, const struct cgroupfs *cgroups,
			const struct pods *pods, pid_t pid, struct process_cgroup *ret)
{
	_cleanup_buf_ struct buf text = BUF_INIT(TEXT_MAX);
	_cleanup_free_ char *path = NULL;
	const struct pod_cgroup *found;
	const char *rest;
	char rel[32];
	int r;

	(void)snprintf(rel, sizeof(rel), "%d/cgroup", pid);
	r = root_read(proc, rel, &text, NULL);
	if (r < 0)
		return r == -ESRCH ? -ENOENT : r;
	path = process_cgroup_parse(text.data ? text.data : "", cgroups->mode);
	if (!path)
		return -ENODATA;
	rest = path;
	while (strncmp(rest, "/..", 3) == 0 && (rest[3] == '/' || rest[3] == '\0'))
		rest += 3;
	if (rest == path) {
		ret->id = cgroup_id(cgroups, path);
		ret->path = take_ptr(path);
		return 0;
	}
	found = find_ending(pods, rest);
	ret->id = found ? found->cgroup_id : 0;
	ret->path = xstrdup(found ? found->cgroup : *rest ? rest : "/");
	return 0;
}

void process_cgroup_done(struct process_cgroup *cgroup)
{
	free(cgroup->path);
	memset(cgroup, 0, sizeof(*cgroup));
}
