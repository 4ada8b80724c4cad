/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who something belongs to, as far as it is known: a pod's container, else a cgroup, else the node.
 */
#ifndef MEMDIAG_IDENTITY_OWNER_H
#define MEMDIAG_IDENTITY_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/tree.h"

struct owner {
	char *cgroup; /* path below the cgroup mount; NULL: the node */
	uint64_t cgroup_id;
	bool dying; /* the cgroup is removed but still pinned */
};

void owner_done(struct owner *owner);
struct owner owner_copy(const struct owner *owner);

/* Adds cgroup (and, in rows, dying) to an object of the report. */
void owner_add(const struct owner *owner, cJSON *object);
/* The part of a finding's id after the reason: "/cgroup/system.slice". A dying cgroup's has "@<id>": paths repeat. */
char *owner_id(const struct owner *owner);

#endif
