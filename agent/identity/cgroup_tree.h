/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every cgroup of the memory controller: id and path, by walking the mounted tree.
 */
#ifndef MEMDIAG_IDENTITY_CGROUP_TREE_H
#define MEMDIAG_IDENTITY_CGROUP_TREE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "instruments/cgroupfs.h"

struct cgroup_node {
	uint64_t id; /* kernfs id == st_ino == id in struct pages_memcg */
	char *path;  /* below the mount, "/" for the root */
};

struct cgroup_tree {
	struct cgroup_node *nodes; /* ascending by id */
	size_t n;
	uint64_t dropped; /* beyond CGROUP_TREE_MAX, or deeper than 64 levels */
};

enum { CGROUP_TREE_MAX = 65536 };

/* A cgroup that appears or goes during the walk is in it or not, never an error. Holds no descriptor afterwards. */
int cgroup_tree_read(const struct cgroupfs *cg, struct cgroup_tree **ret, struct err *err);
void cgroup_tree_free(struct cgroup_tree *tree);
/* NULL: not there. */
const struct cgroup_node *cgroup_tree_find(const struct cgroup_tree *tree, uint64_t id);

#endif
