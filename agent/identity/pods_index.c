/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "identity/pods_internal.h"

static void pod_facts_free(struct pod_facts *pod)
{
	free(pod->ns);
	free(pod->name);
	free(pod->uid);
	cJSON_Delete(pod->labels);
	free(pod);
}

static void container_facts_free(void *value)
{
	struct container_facts *container = value;

	free(container->name);
	cJSON_Delete(container->volume_mounts);
	free(container);
}

struct pods_index *pods_index_new(void)
{
	struct pods_index *index = xcalloc(1, sizeof(*index));

	index->by_id = (struct map)MAP_INIT(container_facts_free);
	index->by_uid = (struct map)MAP_INIT(NULL);
	return index;
}

void pods_index_free(struct pods_index *index)
{
	if (!index)
		return;
	map_done(&index->by_id);
	map_done(&index->by_uid);
	for (size_t i = 0; i < index->n_pods; i++)
		pod_facts_free(index->pods[i]);
	free(index->pods);
	free(index);
}

struct pod_facts *pods_index_new_pod(struct pods_index *index, const char *uid)
{
	struct pod_facts *pod;

	if (index->n_pods == PODS_INDEX_MAX_PODS) {
		index->dropped++;
		return NULL;
	}
	if (index->n_pods % 64 == 0)
		index->pods = xreallocarray(index->pods, index->n_pods + 64, sizeof(*index->pods));
	pod = xcalloc(1, sizeof(*pod));
	pod->uid = xstrdup(uid);
	index->pods[index->n_pods++] = pod;
	pods_index_alias(index, uid, pod);
	return pod;
}

void pods_index_alias(struct pods_index *index, const char *uid, struct pod_facts *pod)
{
	if (*uid && !map_get(&index->by_uid, uid))
		map_set(&index->by_uid, uid, pod);
}

struct container_facts *pods_index_container(struct pods_index *index, const char *id)
{
	struct container_facts *container = map_get(&index->by_id, id);

	if (container)
		return container;
	if (index->by_id.n >= PODS_INDEX_MAX_CONTAINERS) {
		index->dropped++;
		return NULL;
	}
	container = xcalloc(1, sizeof(*container));
	map_set(&index->by_id, id, container);
	return container;
}

/* --- the runtime --------------------------------------------------------------------------------------------------------- */

/* The pod's labels: the kubelet adds three of its own to the sandbox's. */
static cJSON *pod_labels(const cJSON *labels)
{
	cJSON *copy = cJSON_Duplicate(labels, true);

	cJSON_DeleteItemFromObjectCaseSensitive(copy, "io.kubernetes.pod.name");
	cJSON_DeleteItemFromObjectCaseSensitive(copy, "io.kubernetes.pod.namespace");
	cJSON_DeleteItemFromObjectCaseSensitive(copy, "io.kubernetes.pod.uid");
	return copy;
}

/* A pod has one sandbox that is ready, and those of earlier attempts until they are collected. */
static void add_sandbox(struct pods_index *index, const struct cri_sandbox *sandbox)
{
	struct container_facts *container;
	struct pod_facts *pod;

	if (!sandbox->id || !*sandbox->id || !sandbox->uid || !*sandbox->uid)
		return;
	pod = map_get(&index->by_uid, sandbox->uid);
	if (!pod)
		pod = pods_index_new_pod(index, sandbox->uid);
	if (!pod)
		return;
	if (!pod->name || (sandbox->ready && !pod->ready)) {
		free(pod->ns);
		free(pod->name);
		cJSON_Delete(pod->labels);
		pod->ns = xstrdup(sandbox->ns ? sandbox->ns : "");
		pod->name = xstrdup(sandbox->name ? sandbox->name : "");
		pod->labels = pod_labels(sandbox->labels);
		pod->ready = sandbox->ready;
	}
	container = pods_index_container(index, sandbox->id);
	if (!container || container->name)
		return;
	container->name = xstrdup(POD_SANDBOX_NAME);
	container->pod = pod;
}

/* Of two with one id, the running one counts, else the first. */
static void add_container(struct pods_index *index, const struct cri_container *c)
{
	const struct container_facts *sandbox =
		c->sandbox_id ? map_get(&index->by_id, c->sandbox_id) : NULL;
	struct pod_facts *pod = sandbox ? sandbox->pod : NULL;
	bool running = c->state == CRI_RUNNING;
	struct container_facts *container;

	if (!c->id || !*c->id)
		return;
	container = pods_index_container(index, c->id);
	if (!container || (container->name && (!running || container->running)))
		return;
	free(container->name);
	container->name = xstrdup(c->name ? c->name : "");
	container->pod = pod;
	container->running = running;
}

void pods_index_add_cri(struct pods_index *index, const struct cri_snapshot *cri)
{
	for (size_t i = 0; i < cri->n_sandboxes; i++)
		add_sandbox(index, &cri->sandboxes[i]);
	for (size_t i = 0; i < cri->n_containers; i++)
		add_container(index, &cri->containers[i]);
}

/* --- the history --------------------------------------------------------------------------------------------------------- */

struct note {
	struct history *history;
	time_t now;
};

static void note(const struct note *to, const struct pod_facts *pod, const char *uid,
		 const char *id, const char *container)
{
	struct history_entry entry = {.last_seen = to->now};

	if (!pod || !pod->name || !*pod->name)
		return;
	history_set(entry.container_id, sizeof(entry.container_id), id);
	history_set(entry.pod_uid, sizeof(entry.pod_uid), uid);
	history_set(entry.ns, sizeof(entry.ns), pod->ns);
	history_set(entry.pod, sizeof(entry.pod), pod->name);
	history_set(entry.container, sizeof(entry.container), container);
	history_note(to->history, &entry);
}

static void note_pod(void *arg, const char *name, void *value)
{
	note(arg, value, name, NULL, NULL);
}

static void note_container(void *arg, const char *name, void *value)
{
	const struct container_facts *container = value;

	if (container->pod)
		note(arg, container->pod, container->pod->uid, name, container->name);
}

/* Exited containers as well: their cgroups are gone, and pages may still be charged to them. */
void pods_index_note(const struct pods_index *index, struct history *history)
{
	struct note to = {history, time(NULL)};

	map_each(&index->by_id, note_container, &to);
	map_each(&index->by_uid, note_pod, &to);
}
