/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What runtime and kubelet know, by container id and by pod UID. Private to identity/ and its tests.
 */
#ifndef MEMDIAG_IDENTITY_PODS_INTERNAL_H
#define MEMDIAG_IDENTITY_PODS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "base/tree.h"
#include "identity/cri.h"
#include "identity/history.h"
#include "identity/pods.h"

#define POD_SANDBOX_NAME "(sandbox)"

enum {
	PODS_INDEX_MAX_PODS = 4096,
	PODS_INDEX_MAX_CONTAINERS = 16384, /* and sandboxes; exited ones too */
	PODS_INDEX_MAX_IN_POD = 512,	   /* containers of one pod in a PodList */
};

struct pod_facts {
	char *ns, *name, *uid; /* uid as the API has it */
	bool ready;	       /* labels are of its current sandbox */
	bool listed;	       /* the kubelet knows it */
	cJSON *labels;	       /* NULL: unknown */
	const char *qos;       /* static text; NULL: unknown */
	uint64_t memory_request_bytes, memory_limit_bytes;
};

struct container_facts {
	char *name;
	struct pod_facts *pod; /* NULL: the runtime names a sandbox that it does not list */
	bool running;
	cJSON *volume_mounts; /* of the pod's spec; NULL: unknown */
	uint64_t memory_request_bytes, memory_limit_bytes;
};

struct pods_index {
	struct map by_id;  /* container id: struct container_facts */
	struct map by_uid; /* every UID a pod goes by: struct pod_facts, borrowed from pods */
	struct pod_facts **pods;
	size_t n_pods;
	uint64_t dropped;
};

struct pods_index *pods_index_new(void);
void pods_index_free(struct pods_index *index);
void pods_index_add_cri(struct pods_index *index, const struct cri_snapshot *cri);
void pods_index_add_list(struct pods_index *index, const cJSON *pod_list);
void pods_index_note(const struct pods_index *index, struct history *history);

/* A new pod under this UID; NULL at the ceiling, and counted. */
struct pod_facts *pods_index_new_pod(struct pods_index *index, const char *uid);
/* The pod also goes by this UID, unless another does. */
void pods_index_alias(struct pods_index *index, const char *uid, struct pod_facts *pod);
/* The container with this id: a new one, or the one that is there. NULL at the ceiling, and counted. */
struct container_facts *pods_index_container(struct pods_index *index, const char *id);

/* Fills everything but cgroup_id and cgroup from item->name. index and history may be NULL. */
void pods_resolve(const struct pods_index *index, const struct history *history,
		  struct pod_cgroup *item);

/*
 * A resource.Quantity ("128Mi", "1G", "1.5Gi", "12e6", "500m") in whole bytes, rounded up as Kubernetes does. -EINVAL: none, or
 * negative; -ERANGE: above 2^63-1.
 */
int pods_quantity_bytes(const char *s, uint64_t *ret);

#endif
