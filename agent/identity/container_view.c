/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/container_view.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"

enum {
	MAX_LAYERS = 512, /* overlayfs itself allows 500 */
	PROCS_MAX = 4096, /* bytes of cgroup.procs that are looked at: any process will do */
};

/* A process of the cgroup. Its own mounts, not the first process's: those of a host service are the host's. */
static int find_process(const struct cgroupfs *cg, const char *cgroup, uint32_t *ret,
			struct err *err)
{
	_cleanup_free_ char *rel = xasprintf("%s/cgroup.procs", cgroup + strspn(cgroup, "/"));
	char text[PROCS_MAX];
	uint64_t pid;
	ssize_t n;
	int fd = root_open_file(&cg->memory, rel, err);

	if (fd < 0)
		return fd;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (num_u64(text, 1, UINT32_MAX, &pid) < 0)
		return err_say(err, ESRCH, "no process in cgroup %s", cgroup);
	*ret = (uint32_t)pid;
	return 0;
}

static bool shares_mounts_with_host(const struct root *proc, uint32_t pid)
{
	char rel[32], host[64], own[64];
	ssize_t n, k;

	(void)snprintf(rel, sizeof(rel), "%u/ns/mnt", pid);
	n = readlinkat(proc->fd, "1/ns/mnt", host, sizeof(host));
	k = readlinkat(proc->fd, rel, own, sizeof(own));
	return n > 0 && n == k && memcmp(host, own, (size_t)n) == 0;
}

static void add_layer(struct container_view *view, char *path)
{
	if (view->n_layers == MAX_LAYERS || *path != '/') {
		free(path);
		return;
	}
	view->layers = xreallocarray(view->layers, view->n_layers + 1, sizeof(*view->layers));
	view->layers[view->n_layers++] = path;
}

/* The value of key= in a comma-separated list; NULL: not there. The caller frees it. */
static char *option(const char *options, const char *key)
{
	size_t n = strlen(key);

	for (const char *at = options; at && *at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, key, n) == 0 && at[n] == '=')
			return xstrndup(at + n + 1, strcspn(at + n + 1, ","));
	}
	return NULL;
}

void container_view_set_layers(struct container_view *view, const char *options)
{
	_cleanup_free_ char *lower = option(options, "lowerdir");
	_cleanup_free_ char *base = NULL;
	char *upper = option(options, "upperdir"), *rest = lower, *layer;

	if (upper) {
		/*
		 * containerd shortens a long list of lower layers to names relative to the folder of all snapshots: two
		 * above SNAPSHOTS/60/fs.
		 */
		base = xstrdup(upper);
		for (int i = 0; i < 2; i++) {
			char *slash = strrchr(base, '/');

			if (slash)
				*slash = '\0';
		}
		add_layer(view, upper);
	}
	while ((layer = strsep(&rest, ":"))) {
		if (*layer == '/')
			add_layer(view, xstrdup(layer));
		else if (base && *layer)
			add_layer(view, xasprintf("%s/%s", base, layer));
	}
}

int container_view_read(const struct root *proc, const struct cgroupfs *cg, const char *cgroup,
			struct container_view **ret, struct err *err)
{
	struct container_view *view;
	uint32_t pid;
	int r = find_process(cg, cgroup, &pid, err);

	if (r < 0)
		return r;
	if (shares_mounts_with_host(proc, pid))
		return err_say(err, ESRCH, "process %u uses the host's mounts", pid);
	view = xcalloc(1, sizeof(*view));
	r = mountinfo_read(&view->info, proc, pid, err);
	if (r < 0) {
		container_view_free(view);
		return r;
	}
	for (size_t i = 0; i < view->info.n; i++) {
		const struct mountinfo_line *line = &view->info.lines[i];

		if (strcmp(line->point, "/") == 0 && strcmp(line->fstype, "overlay") == 0)
			container_view_set_layers(view, line->options);
	}
	*ret = view;
	return 0;
}

int container_view_ask(const char *cri_socket, const char *container_id,
		       struct container_view **ret, struct err *err)
{
	struct container_view *view = xcalloc(1, sizeof(*view));
	int r = cri_mounts(cri_socket, container_id, &view->binds, &view->n_binds, err);

	if (r < 0) {
		container_view_free(view);
		return r;
	}
	*ret = view;
	return 0;
}

void container_view_free(struct container_view *view)
{
	if (!view)
		return;
	cri_mounts_free(view->binds, view->n_binds);
	mountinfo_done(&view->info);
	for (size_t i = 0; i < view->n_layers; i++)
		free(view->layers[i]);
	free(view->layers);
	free(view);
}

/* point and what is below it, without a double slash. */
static char *join(const char *point, const char *rest)
{
	if (strcmp(point, "/") == 0)
		return xstrdup(*rest ? rest : "/");
	return xasprintf("%s%s", point, strcmp(rest, "/") == 0 ? "" : rest);
}

char *container_view_path(const struct container_view *view, const struct mounts *mounts,
			  uint32_t major, uint32_t minor, const char *fs_path,
			  const char **ret_point)
{
	const struct mountinfo_line *best = NULL;

	/* The most specific mount; of two alike the later one, which hides the earlier. */
	for (size_t i = 0; i < view->info.n; i++) {
		const struct mountinfo_line *line = &view->info.lines[i];

		if (line->major == major && line->minor == minor &&
		    mountinfo_below(fs_path, line->root) &&
		    (!best || strlen(line->root) >= strlen(best->root)))
			best = line;
	}
	if (best) {
		if (ret_point)
			*ret_point = best->point;
		return join(best->point, mountinfo_below(fs_path, best->root));
	}
	for (size_t i = 0; i < view->n_layers; i++) {
		const char *rest = mounts_below(mounts, view->layers[i], major, minor, fs_path);

		if (!rest)
			continue;
		if (ret_point)
			*ret_point = "/";
		return join("/", rest);
	}
	for (size_t i = 0; i < view->n_binds; i++) {
		const char *rest =
			mounts_below(mounts, view->binds[i].host_path, major, minor, fs_path);

		if (!rest)
			continue;
		if (ret_point)
			*ret_point = view->binds[i].container_path;
		return join(view->binds[i].container_path, rest);
	}
	return NULL;
}

/* The part of path after `parts` more components; NULL when there are fewer. */
static const char *skip(const char *path, int parts)
{
	while (path && parts-- > 0) {
		path = strchr(path, '/');
		path = path ? path + 1 : NULL;
	}
	return path;
}

char *container_volume_of_path(const char *host_path)
{
	static const char pods[] = "/pods/";
	const char *uid = strstr(host_path, pods), *kind, *name = NULL;

	if (!uid)
		return NULL;
	kind = skip(uid + sizeof(pods) - 1, 1);
	if (kind && strncmp(kind, "volumes/", 8) == 0)
		name = skip(kind, 2);
	else if (kind && strncmp(kind, "volume-subpaths/", 16) == 0)
		name = skip(kind, 1);
	if (!name || *name == '\0' || *name == '/')
		return NULL;
	return xstrndup(name, strcspn(name, "/"));
}
