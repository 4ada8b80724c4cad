/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Memory cgroups: their counters, and the lists of pages that are charged to them. */
#ifndef MEMDIAG_BPF_COMPAT_MEMCG_H
#define MEMDIAG_BPF_COMPAT_MEMCG_H

#include "compat/cgroup.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* 6.1 (ec1c86b25f4b); in 6.1 and 6.2 it is struct lru_gen_struct. Of a member's type only the members matter. */
struct lru_gen_folio {
	long nr_pages[1]; /* [generations][anon, file][zones] in one dimension */
};

struct lruvec {
	struct pglist_data *pgdat;
	struct lru_gen_folio lrugen;
};

struct mem_cgroup_per_node {
	struct lruvec lruvec;
	unsigned long lru_zone_size[1]; /* [zones][lru lists] in one dimension */
};

/* Newer pahole (Debian's Linux 7.2) keeps the dimensions of arrays apart, and libbpf tells such types from flat ones. */
struct mem_cgroup_per_node___nested {
	unsigned long lru_zone_size[1][1];
};

struct lru_gen_folio___nested {
	long nr_pages[1][1][1];
};

struct lruvec___nested {
	struct lru_gen_folio___nested lrugen;
};

struct page_counter {
	struct atomic_long usage;
	unsigned long max, high;
};

/* Its long state[] holds counters of what is below it too, as of the last flush: all by enum, or (6.11) some, in the enum's order. */
struct memcg_vmstats {
	long state[1];
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory, swap, memsw; /* the last two share their place */
	struct page_counter kmem, tcpmem; /* v1; without CONFIG_MEMCG_V1 (6.11) there are none */
	struct mem_cgroup_per_node *nodeinfo[1];
	struct memcg_vmstats *vmstats; /* since 6.1 (410f8e82689e) */
};

/* 5.13 to 6.0 (2d146aa3aa84 "mm: memcontrol: switch to rstat"). */
struct mem_cgroup___embedded {
	struct memcg_vmstats vmstats;
};

/* Before 5.13. */
struct mem_cgroup___array {
	struct atomic_long vmstats[1];
};

struct obj_cgroup {
	struct mem_cgroup *memcg;
};

#pragma clang attribute pop

/* Values are the running kernel's, by name. The slabs' are the same in every state[]: all that come before are counted as well. */
enum node_stat_item {
	NR_SLAB_RECLAIMABLE_B = 5,
};

enum memcg_stat_item {
	MEMCG_SOCK = 1,
	MEMCG_KMEM = 2, /* since 5.18 (a8c49af3be5f) */
	MEMCG_NR_STAT = 3,
};

#endif
