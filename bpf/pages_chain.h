/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Part of pages.bpf.c: names from something up to its root, of dentries and of kernfs nodes. */
#ifndef MEMDIAG_BPF_PAGES_CHAIN_H
#define MEMDIAG_BPF_PAGES_CHAIN_H

#include "compat/cgroup.h"
#include "compat/file.h"
#include "pages.h"

struct pages_chain chain; /* see pages.h */

/* One step up. Returns 1 at the root. */
__attribute__((noinline)) int dentry_step(__u32 i)
{
	struct dentry *dentry = (void *)chain.cur;
	__u64 parent = (__u64)BPF_CORE_READ(dentry, d_parent);
	const void *name = BPF_CORE_READ(dentry, d_name.name);

	if (i == 0)
		chain.first = parent;
	bpf_probe_read_kernel_str(chain.names[i & (PAGES_DEPTH - 1)], PAGES_NAME, name);
	if (parent == chain.cur || !parent) {
		chain.done = 1;
		return 1;
	}
	chain.n = i + 1;
	chain.cur = parent;
	return 0;
}

static __always_inline void dentry_walk(void)
{
	__u32 i;

	chain.n = 0;
	chain.done = 0;
	for (i = 0; i < PAGES_DEPTH; i++)
		if (dentry_step(i))
			break;
}

__attribute__((noinline)) int kernfs_step(__u32 i)
{
	struct kernfs_node *kn = (void *)chain.cur;
	struct kernfs_node *parent = compat_kernfs_parent(kn);

	if (!parent) {
		chain.done = 1;
		return 1;
	}
	bpf_probe_read_kernel_str(chain.names[i & (PAGES_DEPTH - 1)], PAGES_NAME,
				  BPF_CORE_READ(kn, name));
	chain.n = i + 1;
	chain.cur = (__u64)parent;
	return 0;
}

static __always_inline void kernfs_walk(void)
{
	__u32 i;

	for (i = 0; i < PAGES_DEPTH; i++)
		if (kernfs_step(i))
			break;
}

#endif
