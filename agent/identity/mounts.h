/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a file of a superblock is found: a path from the superblock's root becomes one that a process of the host can open.
 */
#ifndef MEMDIAG_IDENTITY_MOUNTS_H
#define MEMDIAG_IDENTITY_MOUNTS_H

#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/root.h"

struct mounts;

/*
 * Reads the mount tables: the first process's, and, once per further mount namespace, that of one process in it. At most
 * 65536 mounts and 1024 namespaces; what is beyond is not found. Holds no descriptor afterwards.
 */
int mounts_read(const struct root *proc, struct mounts **ret, struct err *err);
void mounts_free(struct mounts *mounts);
DEFINE_CLEANUP(mounts, struct mounts *, mounts_free);

/*
 * The path on the host of fs_path (from the superblock's root, beginning with '/') on device major:minor: through the first
 * process's mounts when one reaches it, else through /proc/PID/root of a process whose namespace has it. NULL: mounted
 * nowhere, or no mount shows that part of the filesystem. The caller frees it.
 */
char *mounts_host_path(const struct mounts *mounts, uint32_t major, uint32_t minor,
		       const char *fs_path);

/* The mount point, on the host, of the mount that mounts_host_path() would go through; NULL: none. Borrowed. */
const char *mounts_mount_point(const struct mounts *mounts, uint32_t major, uint32_t minor,
			       const char *fs_path);

/*
 * Whether the file fs_path on device major:minor is below folder, a path as the first process sees it or, where the folder was
 * named in another mount namespace, as a process there does: the rest of fs_path, beginning with '/'; NULL: it is not. So a
 * filesystem that is mounted in several places (a folder of a data disk bound to /var/lib/containerd) needs no choice of one.
 */
const char *mounts_below(const struct mounts *mounts, const char *folder, uint32_t major,
			 uint32_t minor, const char *fs_path);

#endif
