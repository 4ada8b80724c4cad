/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The container runtime's view, read over its CRI socket (runtime.v1, gRPC over HTTP/2): pods, containers, mounts.
 * Blocking calls for the worker thread, bounded in time and size. Never GetContainerEvents: a reader that stalls can block
 * containerd.
 */
#ifndef MEMDIAG_IDENTITY_CRI_H
#define MEMDIAG_IDENTITY_CRI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/tree.h"

enum cri_state { CRI_CREATED = 0, CRI_RUNNING = 1, CRI_EXITED = 2, CRI_UNKNOWN = 3 };

struct cri_sandbox {
	char *id, *name, *uid, *ns; /* of the pod */
	bool ready;
	cJSON *labels; /* object of strings */
};

struct cri_container {
	char *id, *sandbox_id, *name;
	enum cri_state state;
	uint64_t created_ns; /* unix time */
};

struct cri_mount {
	char *container_path, *host_path;
};

struct cri_snapshot {
	char *runtime; /* "containerd 2.1.9": name and version */
	char *socket;  /* the one that answered */
	struct cri_sandbox *sandboxes;
	size_t n_sandboxes;
	struct cri_container *containers;
	size_t n_containers;
	uint64_t dropped; /* beyond the ceilings */
};

enum {
	CRI_MAX_CONTAINERS =
		4096,	       /* and sandboxes, and mounts of one: kubelet's default is 110 pods */
	CRI_TIMEOUT_MS = 5000, /* of one call */
	CRI_MAX_REPLY = 16 << 20, /* bytes; containerd's own limit */
};

/*
 * Lists everything, containers that run first. socket NULL: the well-known ones in order (containerd, CRI-O, cri-dockerd, k3s),
 * the first that answers: Docker's containerd listens with its CRI switched off. -ENOENT: there is none; -ETIMEDOUT, -EPROTO,
 * -EFBIG, -EACCES, -ECONNREFUSED, -ENOSYS (no CRI) as they are, with the method and the gRPC status in err; of the first
 * socket that is there when none answers.
 */
int cri_read(const char *socket, struct cri_snapshot **ret, struct err *err);
void cri_snapshot_free(struct cri_snapshot *snapshot);
DEFINE_CLEANUP(cri_snapshot, struct cri_snapshot *, cri_snapshot_free);

/*
 * The mounts of one container; socket is the snapshot's. The caller frees *ret with cri_mounts_free(). -ENOENT: the container
 * is gone; else as cri_read().
 */
int cri_mounts(const char *socket, const char *container_id, struct cri_mount **ret, size_t *ret_n,
	       struct err *err);
void cri_mounts_free(struct cri_mount *mounts, size_t n);

#endif
