/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For instruments that walk struct page: where it begins, and which page frames there are.
 */
#ifndef MEMDIAG_INSTRUMENTS_VMEMMAP_H
#define MEMDIAG_INSTRUMENTS_VMEMMAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"
#include "instruments/bpf_run.h"

/* What an object has of bpf/pages_anchor.h. */
struct pages_anchor;
struct pages_anchor_programs {
	struct pages_anchor *anchor;		      /* the variable, in the object's .bss */
	const struct bpf_program *by_file, *by_zones; /* pages_anchor, pages_zones */
	const struct bpf_program *edge;		      /* pages_edge */
	struct bpf_calls *calls;
};

/* Those of a skeleton whose object includes bpf/pages_anchor.h. */
#define PAGES_ANCHOR_PROGRAMS(skel, calls_)                                              \
	{                                                                                \
		.anchor = &(skel)->bss->anchor, .by_file = (skel)->progs.pages_anchor,   \
		.by_zones = (skel)->progs.pages_zones, .edge = (skel)->progs.pages_edge, \
		.calls = (calls_)                                                        \
	}

/*
 * The address of page frame 0's struct page, found without symbols.
 * By pagemap: the frame number of a page whose struct page is known (needs CAP_SYS_ADMIN). -EPERM: frame numbers hidden.
 * By zones: the struct pages on the free lists of the lowest zones (x86 only; needs memory cgroups). -ENODATA: cannot tell.
 * By edge: where the array ends below these (the same needs; on arm64 Linux 5.11 or later). -ENODATA: cannot tell.
 */
int pages_anchor_pagemap(const struct pages_anchor_programs *p, const struct root *proc,
			 uint64_t *ret_vmemmap);
int pages_anchor_zones(const struct pages_anchor_programs *p, uint64_t *ret_vmemmap);
int pages_anchor_edge(const struct pages_anchor_programs *p, const struct root *proc,
		      uint64_t *ret_vmemmap);
/* The first of these that works. */
int pages_anchor_find(const struct pages_anchor_programs *p, const struct root *proc,
		      uint64_t *ret_vmemmap, struct err *err);

/* Page frames [start, end), multiples of PAGES_CHUNK (bpf/pages.h). */
struct pages_range {
	uint64_t start, end;
};

/* Ascending and disjoint. The caller frees them. */
int pages_ranges_read(const struct root *proc, struct pages_range **ret, size_t *ret_n,
		      struct err *err);
/* The two sources: text of /proc/iomem (addresses need CAP_SYS_ADMIN) and /proc/zoneinfo. Return how many were found. */
size_t pages_ranges_iomem(const char *text, uint64_t page_size, struct pages_range **ret);
size_t pages_ranges_zoneinfo(const char *text, struct pages_range **ret);

#endif
