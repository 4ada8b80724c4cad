/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files below a directory that is an argument: /proc, /sys and the cgroup mount are handed in, so a recorded tree is a
 * fixture and a DaemonSet's /host mounts need no special case.
 */
#ifndef MEMDIAG_BASE_ROOT_H
#define MEMDIAG_BASE_ROOT_H

#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Ceiling of one file read whole: mountinfo of a node with 10,000 mounts is 2 MiB. */
#define ROOT_FILE_MAX ((size_t)16 << 20)

struct root {
	int fd;	    /* O_PATH of the directory; -1 when closed */
	char *path; /* for messages */
};

#define ROOT_INIT                      \
	{                              \
		.fd = -1, .path = NULL \
	}

int root_open(struct root *root, const char *path, struct err *err);
void root_close(struct root *root);

/* Appends the whole file to out; at most out->max bytes, -EFBIG beyond. rel must not begin with '/'. */
int root_read(const struct root *root, const char *rel, struct buf *out, struct err *err);
/* Opens a file below the root for reading. Returns the descriptor or -errno. */
int root_open_file(const struct root *root, const char *rel, struct err *err);
/* Reads a file that holds one unsigned number, or "max" (UINT64_MAX). */
int root_read_u64(const struct root *root, const char *rel, unsigned long long *ret,
		  struct err *err);

#define _cleanup_root_ _cleanup_(root_close)

#endif
