/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "identity/cgroup_tree.h"
#include "identity/pods_internal.h"

const char *const pod_source_names[] = {"cgroup", "cri", "kubelet", "history"};

static char *copy_or_null(const char *s)
{
	return s && *s ? xstrdup(s) : NULL;
}

void pod_cgroup_done(struct pod_cgroup *item)
{
	free(item->cgroup);
	free(item->ns);
	free(item->pod);
	free(item->container);
	free(item->pod_uid);
	*item = (struct pod_cgroup){.name.qos = ""};
}

static void fill_from_pod(struct pod_cgroup *item, const struct pod_facts *pod)
{
	item->ns = copy_or_null(pod->ns);
	item->pod = copy_or_null(pod->name);
	item->pod_uid = copy_or_null(pod->uid);
	item->labels = pod->labels;
	item->source = pod->listed ? POD_FROM_KUBELET : POD_FROM_CRI;
	if (pod->qos)
		item->name.qos = pod->qos;
	if (item->name.kind == CGROUP_KIND_POD) {
		item->memory_request_bytes = pod->memory_request_bytes;
		item->memory_limit_bytes = pod->memory_limit_bytes;
	}
}

/* What is still missing, as far as it is remembered. */
static void fill_from_history(struct pod_cgroup *item, const struct history *history)
{
	const char *id = item->name.container_id;
	const struct history_entry *entry = *id ? history_find(history, NULL, id) : NULL;

	if (entry && !item->container)
		item->container = copy_or_null(entry->container);
	if (item->pod)
		return;
	if (!entry)
		entry = history_find(history, item->name.pod_uid, NULL);
	if (!entry)
		return;
	item->ns = copy_or_null(entry->ns);
	item->pod = copy_or_null(entry->pod);
	item->pod_uid = copy_or_null(entry->pod_uid);
	item->source = POD_FROM_HISTORY;
}

void pods_resolve(const struct pods_index *index, const struct history *history,
		  struct pod_cgroup *item)
{
	const char *id = item->name.container_id, *uid = item->name.pod_uid;
	const struct container_facts *container = NULL;
	const struct pod_facts *pod = NULL;

	if (item->name.kind == CGROUP_KIND_UNIT)
		return;
	if (index && *id)
		container = map_get(&index->by_id, id);
	if (container)
		pod = container->pod;
	if (index && !pod)
		pod = map_get(&index->by_uid, uid);
	if (pod)
		fill_from_pod(item, pod);
	if (container) {
		item->container = copy_or_null(container->name);
		item->memory_request_bytes = container->memory_request_bytes;
		item->memory_limit_bytes = container->memory_limit_bytes;
	}
	if (history)
		fill_from_history(item, history);
	if (!item->pod_uid)
		item->pod_uid = copy_or_null(uid);
}

/* One item for each cgroup that is a pod's or a unit's, with what its path says. */
static void take_names(struct pods *pods, const struct cgroup_tree *tree)
{
	pods->items = xcalloc(tree->n ? tree->n : 1, sizeof(*pods->items));
	for (size_t i = 0; i < tree->n; i++) {
		struct pod_cgroup *item = &pods->items[pods->n];

		cgroup_name_parse(tree->nodes[i].path, &item->name);
		if (item->name.kind == CGROUP_KIND_OTHER)
			continue;
		item->cgroup_id = tree->nodes[i].id;
		item->cgroup = xstrdup(tree->nodes[i].path);
		pods->n++;
	}
}

/*
 * A static pod's cgroup has a UID that its mirror need not tell; its containers do. Done before anything is looked up, so that
 * the pod's own cgroup and containers that only the path names find it too.
 */
static void learn_uids(struct pods_index *index, const struct pods *pods)
{
	for (size_t i = 0; i < pods->n; i++) {
		const struct cgroup_name *name = &pods->items[i].name;
		const struct container_facts *container =
			*name->container_id ? map_get(&index->by_id, name->container_id) : NULL;

		if (container && container->pod)
			pods_index_alias(index, name->pod_uid, container->pod);
	}
}

struct pods *pods_join(const struct cgroup_tree *tree, const struct cri_snapshot *cri,
		       const cJSON *pod_list, struct history *history)
{
	struct pods_index *index = pods_index_new();
	struct pods *pods = xcalloc(1, sizeof(*pods));

	pods->backing = index;
	if (cri) {
		pods_index_add_cri(index, cri);
		pods->runtime = copy_or_null(cri->runtime);
	}
	if (pod_list)
		pods_index_add_list(index, pod_list);
	take_names(pods, tree);
	learn_uids(index, pods);
	if (history)
		pods_index_note(index, history);
	for (size_t i = 0; i < pods->n; i++)
		pods_resolve(index, history, &pods->items[i]);
	pods->dropped = tree->dropped + index->dropped + (cri ? cri->dropped : 0);
	return pods;
}

void pods_free(struct pods *pods)
{
	if (!pods)
		return;
	for (size_t i = 0; i < pods->n; i++)
		pod_cgroup_done(&pods->items[i]);
	free(pods->items);
	free(pods->runtime);
	free(pods->runtime_socket);
	free(pods->runtime_problem);
	free(pods->kubelet_problem);
	pods_index_free(pods->backing);
	free(pods);
}
