/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Cgroups, and the state that a controller has of each. */
#ifndef MEMDIAG_BPF_COMPAT_CGROUP_H
#define MEMDIAG_BPF_COMPAT_CGROUP_H

#include "compat/base.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct cgroup_subsys;

struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
	__u64 id;
};

/* 6.15 (633488947ef6 "kernfs: Use RCU to access kernfs_node::parent."). */
struct kernfs_node___rcu {
	struct kernfs_node *__parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

/* The kernel's has no tag; the linker of types compares members only. */
struct atomic_long {
	__s64 counter;
};

struct percpu_ref_data {
	struct atomic_long count;
};

/* 5.10 moved what the hot path does not need into data (2b0d3d3e4fcf). */
struct percpu_ref {
	struct percpu_ref_data *data;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys *ss;
	struct percpu_ref refcnt;
	struct list_head sibling, children;
	unsigned int flags;
	__u64 serial_nr;
	struct cgroup_subsys_state *parent;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
};

#pragma clang attribute pop

enum cgroup_subsys_id {
	memory_cgrp_id___any = 0,
};

/* enum in cgroup-defs.h without a name: its values are the same since 3.13, the last one's since 4.13. */
#define COMPAT_CSS_ONLINE   2u
#define COMPAT_CSS_RELEASED 4u	/* off its parent's list of children */
#define COMPAT_CSS_DYING    16u /* its directory is removed */

static __always_inline struct kernfs_node *compat_kernfs_parent(struct kernfs_node *kn)
{
	struct kernfs_node___rcu *rcu = (void *)kn;

	if (bpf_core_field_exists(rcu->__parent))
		return BPF_CORE_READ(rcu, __parent);
	return BPF_CORE_READ(kn, parent);
}

#endif
