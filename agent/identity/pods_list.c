/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A v1.PodList, into the index. A static pod comes from the kubelet under the hash of its manifest, which is the UID in its
 * cgroup's path, and from the API server as a mirror with a UID of its own and the hash as annotation.
 */
#include <string.h>

#include "base/mem.h"
#include "identity/pods_internal.h"

#define ANNOTATION_MIRROR "kubernetes.io/config.mirror"

enum { MAX_ID = 128 }; /* bytes of a container id that is taken in */

static const char *const status_lists[] = {"status.initContainerStatuses",
					   "status.containerStatuses",
					   "status.ephemeralContainerStatuses"};
static const char *const spec_lists[] = {"spec.initContainers", "spec.containers",
					 "spec.ephemeralContainers"};

struct amount {
	uint64_t request, limit; /* bytes; 0: none */
};

static uint64_t add(uint64_t a, uint64_t b)
{
	return __builtin_add_overflow(a, b, &a) ? UINT64_MAX : a;
}

static uint64_t max(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* 0: none, or none that Kubernetes would take. */
static uint64_t quantity(const cJSON *object, const char *path)
{
	const char *s = tree_str(object, path);
	uint64_t v;

	return s && pods_quantity_bytes(s, &v) == 0 ? v : 0;
}

/* The item of the list at path with this name. */
static const cJSON *named(const cJSON *pod, const char *path, const char *name)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, tree_get(pod, path)) {
		if (strcmp(tree_str_or_empty(item, "name"), name) == 0)
			return item;
	}
	return NULL;
}

/* What is in force (status, since 1.33; pods are resized in place), else what is asked for. which indexes the lists. */
static struct amount container_amount(const cJSON *pod, size_t which, const char *name)
{
	const cJSON *spec = named(pod, spec_lists[which], name);
	const cJSON *status = named(pod, status_lists[which], name);
	const cJSON *from = tree_get(status, "resources") ? status : spec;

	return (struct amount){quantity(from, "resources.requests.memory"),
			       quantity(from, "resources.limits.memory")};
}

/* --- the pod's own sums -------------------------------------------------------------------------------------------------- */

/* As the kubelet sets them on the pod's cgroup: the limit is in force only when every container has one. */
struct sums {
	struct amount containers, sidecars, init;
	bool unlimited;
};

static void sum_list(struct sums *sums, const cJSON *pod, size_t which)
{
	const cJSON *spec;

	cJSON_ArrayForEach (spec, tree_get(pod, spec_lists[which])) {
		bool sidecar = strcmp(tree_str_or_empty(spec, "restartPolicy"), "Always") == 0;
		struct amount a = container_amount(pod, which, tree_str_or_empty(spec, "name"));
		struct amount *to = which == 1 ? &sums->containers : &sums->sidecars;

		sums->unlimited = sums->unlimited || a.limit == 0;
		if (which == 1 || sidecar) {
			to->request = add(to->request, a.request);
			to->limit = add(to->limit, a.limit);
			a = (struct amount){0, 0};
		}
		/* An init container runs beside the sidecars that come before it. */
		sums->init.request =
			max(sums->init.request, add(a.request, sums->sidecars.request));
		sums->init.limit = max(sums->init.limit, add(a.limit, sums->sidecars.limit));
	}
}

static struct amount pod_amount(const cJSON *pod)
{
	uint64_t overhead = quantity(pod, "spec.overhead.memory");
	struct amount own = {quantity(pod, "spec.resources.requests.memory"),
			     quantity(pod, "spec.resources.limits.memory")};
	struct sums sums = {.unlimited = false};
	struct amount a;

	sum_list(&sums, pod, 0);
	sum_list(&sums, pod, 1);
	a.request = max(add(sums.containers.request, sums.sidecars.request), sums.init.request);
	a.limit = sums.unlimited
			  ? 0
			  : max(add(sums.containers.limit, sums.sidecars.limit), sums.init.limit);
	a.request = own.request ? own.request : a.request;
	a.limit = own.limit ? own.limit : a.limit;
	a.request = add(a.request, overhead);
	a.limit = a.limit ? add(a.limit, overhead) : 0;
	return a;
}

/* --- containers ---------------------------------------------------------------------------------------------------------- */

/* "containerd://ID"; NULL: none. */
static const char *container_id(const cJSON *status, const char *path)
{
	const char *s = tree_str_or_empty(status, path);
	const char *id = strstr(s, "://");

	id = id ? id + 3 : s;
	return *id && strlen(id) < MAX_ID ? id : NULL;
}

/* The one that runs or ran last, and the one before it. */
static const char *const id_paths[] = {"containerID", "state.terminated.containerID",
				       "lastState.terminated.containerID"};

/* The pod that the runtime has one of these containers in. */
static struct pod_facts *pod_of_containers(const struct pods_index *index, const cJSON *pod)
{
	for (size_t which = 0; which < ARRAY_SIZE(status_lists); which++) {
		const cJSON *status;

		cJSON_ArrayForEach (status, tree_get(pod, status_lists[which])) {
			const char *id = container_id(status, "containerID");
			const struct container_facts *container = id ? map_get(&index->by_id, id)
								     : NULL;

			if (container && container->pod && !container->pod->listed)
				return container->pod;
		}
	}
	return NULL;
}

/* which indexes the lists. */
static void add_container(struct pods_index *index, struct pod_facts *pod, const cJSON *item,
			  size_t which, const cJSON *status)
{
	const char *name = tree_str_or_empty(status, "name");
	struct amount amount = container_amount(item, which, name);
	const cJSON *mounts = tree_get(named(item, spec_lists[which], name), "volumeMounts");

	for (size_t i = 0; i < ARRAY_SIZE(id_paths); i++) {
		const char *id = container_id(status, id_paths[i]);
		struct container_facts *container = id ? pods_index_container(index, id) : NULL;

		if (!container)
			continue;
		/* An id that is another pod's already stays with that. */
		if (container->pod && container->pod != pod)
			continue;
		container->pod = pod;
		if (!container->name)
			container->name = xstrdup(name);
		container->memory_request_bytes = amount.request;
		container->memory_limit_bytes = amount.limit;
		cJSON_Delete(container->volume_mounts);
		container->volume_mounts = cJSON_Duplicate(mounts, true);
	}
}

static void add_containers(struct pods_index *index, struct pod_facts *pod, const cJSON *item)
{
	int n = 0;

	for (size_t which = 0; which < ARRAY_SIZE(status_lists); which++) {
		const cJSON *status;

		cJSON_ArrayForEach (status, tree_get(item, status_lists[which])) {
			if (++n > PODS_INDEX_MAX_IN_POD)
				index->dropped++;
			else
				add_container(index, pod, item, which, status);
		}
	}
}

/* --- pods ---------------------------------------------------------------------------------------------------------------- */

static const char *qos_class(const cJSON *item)
{
	static const char *const classes[] = {"Guaranteed", "Burstable", "BestEffort"};
	const char *s = tree_str_or_empty(item, "status.qosClass");

	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		if (strcmp(s, classes[i]) == 0)
			return classes[i];
	}
	return NULL;
}

static void replace(char **field, const char *value)
{
	free(*field);
	*field = xstrdup(value);
}

static void fill_pod(struct pod_facts *pod, const cJSON *item)
{
	const cJSON *labels = tree_get(item, "metadata.labels");
	struct amount amount = pod_amount(item);

	replace(&pod->ns, tree_str_or_empty(item, "metadata.namespace"));
	replace(&pod->name, tree_str_or_empty(item, "metadata.name"));
	replace(&pod->uid, tree_str_or_empty(item, "metadata.uid"));
	cJSON_Delete(pod->labels);
	pod->labels = cJSON_IsObject(labels) ? cJSON_Duplicate(labels, true) : cJSON_CreateObject();
	pod->qos = qos_class(item);
	pod->memory_request_bytes = amount.request;
	pod->memory_limit_bytes = amount.limit;
	pod->listed = true;
}

/*
 * The pod whose mirror this says it is. Whoever may make pods may write that annotation: it must have the pod's name as well, and
 * is looked at when every other pod is in.
 */
static struct pod_facts *mirrored(const struct pods_index *index, const cJSON *item,
				  const char *mirror)
{
	struct pod_facts *pod = map_get(&index->by_uid, mirror);

	if (!pod || strcmp(pod->name, tree_str_or_empty(item, "metadata.name")) != 0 ||
	    strcmp(pod->ns, tree_str_or_empty(item, "metadata.namespace")) != 0)
		return NULL;
	return pod;
}

/* The pod's own UID, the hash that a mirror names, then whatever pod has its containers. mirror NULL: it is none. */
static void add_pod(struct pods_index *index, const cJSON *item, const char *mirror)
{
	const char *uid = tree_str_or_empty(item, "metadata.uid");
	struct pod_facts *pod;

	if (!*uid || !*tree_str_or_empty(item, "metadata.name"))
		return;
	pod = map_get(&index->by_uid, uid);
	if (!pod && mirror)
		pod = mirrored(index, item, mirror);
	if (!pod)
		pod = pod_of_containers(index, item);
	if (!pod)
		pod = pods_index_new_pod(index, uid);
	if (!pod)
		return;
	/* Where a list has a static pod and its mirror, the mirror is the one that the API knows. */
	if (!pod->listed || mirror)
		fill_pod(pod, item);
	pods_index_alias(index, uid, pod);
	if (mirror)
		pods_index_alias(index, mirror, pod);
	add_containers(index, pod, item);
}

void pods_index_add_list(struct pods_index *index, const cJSON *pod_list)
{
	for (int mirrors = 0; mirrors < 2; mirrors++) {
		const cJSON *item;

		cJSON_ArrayForEach (item, tree_get(pod_list, "items")) {
			const char *mirror = cJSON_GetStringValue(tree_member(
				tree_get(item, "metadata.annotations"), ANNOTATION_MIRROR));

			if ((mirror != NULL) == mirrors)
				add_pod(index, item, mirror);
		}
	}
}
