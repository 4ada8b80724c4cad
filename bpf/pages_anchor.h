/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Part of every object that walks struct page: programs that tell where it begins. See agent/instruments/pages_anchor.c. */
#ifndef MEMDIAG_BPF_PAGES_ANCHOR_H
#define MEMDIAG_BPF_PAGES_ANCHOR_H

#include "compat/file.h"
#include "compat/memcg.h"
#include "compat/page.h"
#include "compat/task.h"
#include "pages.h"

struct pages_anchor anchor; /* see pages.h */

/* The only page of a file: a tree with one entry at index 0 holds the page's address itself. */
SEC("raw_tp")
int pages_anchor(BPF_CTX)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct file **fds = BPF_CORE_READ(task, files, fdt, fd);
	struct file *file = NULL;

	anchor.struct_page = bpf_core_type_size(struct page);
	anchor.page = 0;
	if (compat_read(file, &fds[anchor.fd]))
		return 0;
	anchor.page = (__u64)BPF_CORE_READ(file, f_mapping, i_pages.xa_head);
	return 0;
}

#define ZONES	   2 /* DMA and DMA32: below 4 GiB, or all of memory on an arm64 that has none there */
#define ORDERS	   11
#define MIGRATIONS 4 /* unmovable, movable, reclaimable, high atomic; the rest may not be there */

__attribute__((noinline)) int free_one(__u64 pgdat, __u32 i)
{
	__u32 z = i / (ORDERS * MIGRATIONS), o = i / MIGRATIONS % ORDERS, m = i % MIGRATIONS;
	__u64 zone = pgdat + bpf_core_field_offset(struct pglist_data, node_zones) +
		     z * bpf_core_type_size(struct zone);
	__u64 list = zone + bpf_core_field_offset(struct zone, free_area) +
		     o * bpf_core_type_size(struct free_area) +
		     m * bpf_core_type_size(struct list_head);
	__u64 first = 0, spanned = 0, present = 0;
	struct pages_free *f = &anchor.free[anchor.n_free & (PAGES_FREE_MAX - 1)];

	compat_read(first, list);
	if (!first || first == list)
		return 0;
	f->page = first - bpf_core_field_offset(struct page, lru);
	compat_read(f->start_pfn, zone + bpf_core_field_offset(struct zone, zone_start_pfn));
	compat_read(spanned, zone + bpf_core_field_offset(struct zone, spanned_pages));
	compat_read(present, zone + bpf_core_field_offset(struct zone, present_pages));
	f->end_pfn = f->start_pfn + spanned;
	f->absent = spanned - present;
	anchor.n_free++;
	return 0;
}

/* Free pages of the two lowest zones of node 0. */
SEC("raw_tp")
int pages_zones(BPF_CTX)
{
	struct mem_cgroup *memcg = (void *)compat_memory_css(); /* css is its first member */
	struct mem_cgroup_per_node *node = NULL;
	__u64 pgdat;
	__u32 i;

	anchor.struct_page = bpf_core_type_size(struct page);
	anchor.n_free = 0;
	if (!memcg)
		return 0;
	compat_read(node, (__u64)memcg + bpf_core_field_offset(struct mem_cgroup, nodeinfo));
	pgdat = (__u64)BPF_CORE_READ(node, lruvec.pgdat);
	if (!pgdat)
		return 0;
	for (i = 0; i < ZONES * ORDERS * MIGRATIONS; i++) {
		if (anchor.n_free >= PAGES_FREE_MAX)
			break;
		free_one(pgdat, i);
	}
	return 0;
}

/* Downwards from struct pages to their edge. Never looks farther than at the byte below what could be read. */
SEC("raw_tp")
int pages_edge(BPF_CTX)
{
	char byte;
	__u32 i;

	anchor.at_edge = 0;
	for (i = 0; i < PAGES_STEPS; i++) {
		if (compat_read(byte, anchor.edge - 1)) {
			anchor.at_edge = 1;
			break;
		}
		anchor.edge -= anchor.section;
	}
	return 0;
}

#endif
