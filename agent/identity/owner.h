/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who something belongs to, as far as it is known: a pod's container, else a cgroup, else the node.
 */
#ifndef MEMDIAG_IDENTITY_OWNER_H
#define MEMDIAG_IDENTITY_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/tree.h"

struct pods;
struct history;

/* Strings are owned, or borrowed where a function says so; NULL when unknown. */
struct owner {
	char *cgroup; /* path below the cgroup mount; NULL: the node */
	uint64_t cgroup_id;
	bool dying; /* the cgroup is removed but still pinned */
	char *ns, *pod, *container, *pod_uid;
	char *unit; /* systemd unit of the host; NULL for pods */
	/* What made the pods, "CronJob/nightly" or "nightly", where it is about all of them; NULL elsewhere. */
	char *controller;
};

/* The owner of a cgroup as pods and history know it. pods and history may be NULL. The caller releases it. */
struct owner owner_of_cgroup(const struct pods *pods, const struct history *history,
			     uint64_t cgroup_id, const char *path, bool dying);
void owner_done(struct owner *owner);
struct owner owner_copy(const struct owner *owner);

/* Adds namespace, pod, container and cgroup, in rows also dying, to an object of the report. */
void owner_add(const struct owner *owner, cJSON *object);
/* The same for a finding's subject: with podUID, without dying. */
void owner_add_subject(const struct owner *owner, cJSON *object);
/*
 * The part of a finding's id after the reason: "/namespace/pod/container", "/namespace/controller", else "/cgroup/system.slice". A dying cgroup's has
 * "@<id>": names and paths repeat.
 */
char *owner_id(const struct owner *owner);

#endif
