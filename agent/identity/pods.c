/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/pods.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "identity/cgroup_tree.h"
#include "identity/cri.h"
#include "identity/pods_internal.h"

static char *problem_text(int r, const struct err *err)
{
	return xstrdup(*err->msg ? err->msg : strerror(-r));
}

/*
 * The tree first: a container that starts in between is missing from it, while one that the tree has and the runtime no longer lists
 * would be without a name.
 */
int pods_read(const struct pods_opts *opts, struct pods **ret, struct err *err)
{
	struct err cri_err = {0}, kubelet_err = {0};
	_cleanup_tree_ cJSON *pod_list = NULL;
	struct cri_snapshot *cri = NULL;
	struct cgroup_tree *tree = NULL;
	bool ask_cri = !opts->cri_socket || *opts->cri_socket;
	int cri_r = 0, kubelet_r = 0;
	struct pods *pods;
	int r = cgroup_tree_read(&opts->host->cgroups, &tree, err);

	if (r < 0)
		return r;
	if (ask_cri)
		cri_r = cri_read(opts->cri_socket, &cri, &cri_err);
	if (opts->kubelet)
		kubelet_r = kubelet_read_pods(opts->kubelet, &pod_list, &kubelet_err);
	pods = pods_join(tree, cri, pod_list, opts->history);
	if (cri_r < 0)
		pods->runtime_problem = problem_text(cri_r, &cri_err);
	else if (!ask_cri && !pod_list)
		pods->runtime_problem = xstrdup("the container runtime is not asked");
	if (kubelet_r < 0)
		pods->kubelet_problem = problem_text(kubelet_r, &kubelet_err);
	if (cri) {
		pods->runtime_socket = xstrdup(cri->socket);
		cri_snapshot_free(cri);
	}
	cgroup_tree_free(tree);
	*ret = pods;
	return 0;
}

static int compare_id(const void *key, const void *item)
{
	uint64_t id = *(const uint64_t *)key;
	uint64_t other = ((const struct pod_cgroup *)item)->cgroup_id;

	return (id > other) - (id < other);
}

static const struct pod_cgroup *by_id(const struct pods *pods, uint64_t cgroup_id)
{
	if (!pods || pods->n == 0)
		return NULL;
	return bsearch(&cgroup_id, pods->items, pods->n, sizeof(*pods->items), compare_id);
}

const struct pod_cgroup *pods_find(const struct pods *pods, uint64_t cgroup_id, const char *path,
				   const struct history *history, struct pod_cgroup *scratch)
{
	const struct pod_cgroup *item = by_id(pods, cgroup_id);

	*scratch = (struct pod_cgroup){.name.qos = ""};
	if (item || !path)
		return item;
	cgroup_name_parse(path, &scratch->name);
	if (scratch->name.kind == CGROUP_KIND_OTHER)
		return NULL;
	scratch->cgroup_id = cgroup_id;
	scratch->cgroup = xstrdup(path);
	pods_resolve(pods ? pods->backing : NULL, history, scratch);
	return scratch;
}

/* "/data/" and "/data" are one place. */
static bool same_place(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	for (; n > 1 && a[n - 1] == '/'; n--)
		;
	for (; m > 1 && b[m - 1] == '/'; m--)
		;
	return n == m && memcmp(a, b, n) == 0;
}

char *pods_volume_name(const struct pods *pods, uint64_t cgroup_id, const char *mount_point)
{
	const struct pod_cgroup *item = by_id(pods, cgroup_id);
	const struct container_facts *container;
	const struct pods_index *index;
	const cJSON *mounts, *mount;

	if (!item || !*item->name.container_id || !mount_point)
		return NULL;
	index = pods->backing;
	container = map_get(&index->by_id, item->name.container_id);
	mounts = container ? container->volume_mounts : NULL;
	cJSON_ArrayForEach (mount, mounts) {
		const char *name = tree_str(mount, "name");

		if (name && same_place(tree_str_or_empty(mount, "mountPath"), mount_point))
			return xstrdup(name);
	}
	return NULL;
}
