/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a container sees the filesystems: a file of the host becomes the path that the container itself would use.
 */
#ifndef MEMDIAG_IDENTITY_CONTAINER_VIEW_H
#define MEMDIAG_IDENTITY_CONTAINER_VIEW_H

#include <stdint.h>

#include "base/err.h"
#include "base/root.h"
#include "identity/cri.h"
#include "identity/mountinfo.h"
#include "identity/mounts.h"
#include "instruments/cgroupfs.h"

struct container_view {
	struct mountinfo info; /* of one of its processes */
	/* Layers of the overlay that is its root, topmost first, as paths of the host; none when its root is no overlay. */
	char **layers;
	size_t n_layers;
	/* Folders of the host and where the container has them, as the runtime tells; only when info could not be read. */
	struct cri_mount *binds;
	size_t n_binds;
};

/*
 * Reads the view of the container whose processes are in this cgroup. -ESRCH: nobody is in it any more, or it uses the
 * host's own mounts. Holds no descriptor afterwards.
 */
int container_view_read(const struct root *proc, const struct cgroupfs *cg, const char *cgroup,
			struct container_view **ret, struct err *err);
/*
 * The same by what the container runtime says: volumes alone, no layers. For where another process's mounts may not be read
 * (AppArmor, no CAP_SYS_PTRACE). Errors as cri_mounts().
 */
int container_view_ask(const char *cri_socket, const char *container_id,
		       struct container_view **ret, struct err *err);
void container_view_free(struct container_view *view);

/*
 * The container's path of a file that is fs_path on device major:minor; NULL when the container does not see it. mounts are
 * the host's. *ret_point, if not NULL, is the mount point it lies below, borrowed. The caller frees the path.
 */
char *container_view_path(const struct container_view *view, const struct mounts *mounts,
			  uint32_t major, uint32_t minor, const char *fs_path,
			  const char **ret_point);

/*
 * The name of the pod volume that a path of the host belongs to, by the kubelet's layout
 * (…/pods/UID/volumes/PLUGIN/NAME/…, …/pods/UID/volume-subpaths/NAME/…); NULL: none. The caller frees it.
 */
char *container_volume_of_path(const char *host_path);

/* Pure, for tests: the layers in an overlay's options; see struct container_view. */
void container_view_set_layers(struct container_view *view, const char *options);

#endif
