/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Part of every object that meets charged pages: the memory cgroup behind what a page points to, and who that is. */
#ifndef MEMDIAG_BPF_PAGES_GROUP_H
#define MEMDIAG_BPF_PAGES_GROUP_H

#include "compat/memcg.h"
#include "compat/task.h"
#include "pages.h"
#include "pages_chain.h"

struct pages_group group; /* see pages.h */

static __always_inline struct cgroup_subsys *memcg_subsystem(void)
{
	struct cgroup_subsys_state *css = compat_memory_css();

	return css ? BPF_CORE_READ(css, ss) : NULL;
}

/* Whether css is one of the memory controller. */
static __always_inline bool is_memcg(struct mem_cgroup *memcg, struct cgroup_subsys *memory)
{
	return memory && BPF_CORE_READ(memcg, css.ss) == memory;
}

/* NULL: the address is of neither a memcg nor an objcg (any more). */
static __always_inline struct mem_cgroup *memcg_of(__u64 address, struct cgroup_subsys *memory)
{
	struct mem_cgroup *memcg = (void *)address;
	struct obj_cgroup *objcg = (void *)address;

	if (is_memcg(memcg, memory))
		return memcg;
	/* 2026: pages point to an obj_cgroup, so that removing a cgroup can move them to its parent. */
	memcg = BPF_CORE_READ(objcg, memcg);
	return is_memcg(memcg, memory) ? memcg : NULL;
}

SEC("raw_tp")
int pages_group(BPF_CTX)
{
	struct mem_cgroup *memcg = memcg_of(group.address, memcg_subsystem());
	struct kernfs_node *kn;

	group.memcg = (__u64)memcg;
	group.objcg = group.memcg != group.address;
	chain.n = 0;
	chain.done = 0;
	if (!memcg)
		return 0;
	kn = BPF_CORE_READ(memcg, css.cgroup, kn);
	group.id = BPF_CORE_READ(kn, id);
	group.online = !!(BPF_CORE_READ(memcg, css.flags) & COMPAT_CSS_ONLINE);
	chain.cur = (__u64)kn;
	kernfs_walk();
	return 0;
}

#endif
