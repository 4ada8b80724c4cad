/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a cgroup is: the tree of cgroups joined with the runtime's list, the kubelet's pods and the history, on the container
 * id (a static pod's UID in its cgroup differs from its mirror pod's).
 */
#ifndef MEMDIAG_IDENTITY_PODS_H
#define MEMDIAG_IDENTITY_PODS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/tree.h"
#include "identity/cgroup_name.h"
#include "identity/history.h"
#include "identity/kubelet.h"
#include "instruments/host.h"

enum pod_source {
	POD_FROM_CGROUP, /* the path alone: UID and container id, no names */
	POD_FROM_CRI,
	POD_FROM_KUBELET, /* CRI or path, completed by the kubelet */
	POD_FROM_HISTORY, /* the pod is gone; its names are remembered */
};
extern const char *const pod_source_names[]; /* "cgroup", "cri", "kubelet", "history" */

/* One cgroup that belongs to a pod, or to a unit of the host. Owned strings; NULL when unknown. */
struct pod_cgroup {
	uint64_t cgroup_id;
	char *cgroup;
	struct cgroup_name name;
	char *ns, *pod;
	char *container; /* "(sandbox)": the pause container; NULL: the pod's own cgroup, or (see name.kind) unknown */
	char *pod_uid; /* as the API has it, else as the path has it; NULL: no pod's */
	uint64_t memory_request_bytes, memory_limit_bytes; /* 0: none or unknown */
	enum pod_source source;
	const cJSON *labels; /* the pod's; borrowed from the table; NULL: unknown */
};

struct pods {
	struct pod_cgroup *items; /* ascending by cgroup_id */
	size_t n;
	char *runtime;	       /* "containerd 2.1.9"; NULL: no runtime answered */
	char *runtime_socket;  /* where it did; NULL with runtime */
	char *runtime_problem; /* why names are missing; NULL: nothing is */
	char *kubelet_problem; /* why the kubelet's part is missing; NULL: not asked for, or nothing is */
	uint64_t dropped;
	/* What items borrow from. */
	void *backing;
};

struct pods_opts {
	const struct host *host;
	const char *cri_socket;		    /* NULL: the well-known ones; "": do not ask */
	const struct kubelet_opts *kubelet; /* NULL: do not ask */
	struct history *history;	    /* noted and asked; NULL: none */
};

/* Only an unreadable cgroup tree is an error: what else is missing is in *_problem. */
int pods_read(const struct pods_opts *opts, struct pods **ret, struct err *err);
void pods_free(struct pods *pods);

/*
 * By id; else, for a cgroup that is gone, by what its path says and what runtime, kubelet and history know of that: fills *scratch
 * then, which the caller releases with pod_cgroup_done() before pods_free(); it is emptied in every other case. NULL: neither a
 * pod's nor a unit's. pods, path and history may be NULL.
 */
const struct pod_cgroup *pods_find(const struct pods *pods, uint64_t cgroup_id, const char *path,
				   const struct history *history, struct pod_cgroup *scratch);
void pod_cgroup_done(struct pod_cgroup *item);

/*
 * The name of the pod's volume that a container of this cgroup has mounted at mount_point (a path in the container); NULL: none,
 * or the kubelet was not asked. The caller frees it.
 */
char *pods_volume_name(const struct pods *pods, uint64_t cgroup_id, const char *mount_point);

/*
 * Joins what was read; no I/O, for tests. cri and pod_list may be NULL; nothing of them is borrowed. What they tell is noted in
 * history, which may be NULL.
 */
struct cri_snapshot;
struct cgroup_tree;
struct pods *pods_join(const struct cgroup_tree *tree, const struct cri_snapshot *cri,
		       const cJSON *pod_list, struct history *history);

/*
 * Whether a pod is meant by target.namespaces and target.podSelector (a v1.LabelSelector); NULL or empty: every one. Where labels
 * are unknown only the empty selector matches; one that Kubernetes would refuse matches nothing. A host's unit is meant only
 * when neither restricts.
 */
bool pod_matches(const struct pod_cgroup *item, const cJSON *namespaces, const cJSON *selector);

#endif
