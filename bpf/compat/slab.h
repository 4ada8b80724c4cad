/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Slabs, their caches of objects, and whom objects are charged to. A slab's struct page is looked at as a copy of it: p. */
#ifndef MEMDIAG_BPF_COMPAT_SLAB_H
#define MEMDIAG_BPF_COMPAT_SLAB_H

#include "compat/page.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct slab {
	struct kmem_cache *slab_cache;
	void *freelist;
	unsigned long memcg_data; /* obj_exts since 6.10 (21c690a349ba) */
	unsigned long obj_exts;
	unsigned int stride; /* 7.0: what is told of each object may lie in the object itself */
};

struct slabobj_ext {
	struct obj_cgroup *objcg;
};

/* Before 5.11 (270c6a71460e). */
struct page___obj_cgroups {
	struct obj_cgroup **obj_cgroups;
};

/* Before 5.17 (d122019bf061 "mm: Split slab into its own type"). */
struct page___slab {
	struct kmem_cache *slab_cache;
	void *freelist;
};

/* SLUB's. SLAB, gone since 6.8 (16a1d968358a), has no red_left_pad. */
struct kmem_cache {
	unsigned int size;
	unsigned int red_left_pad;
	const char *name;
};

#pragma clang attribute pop

/* The kmem_cache of a slab; 0: unknown. */
static __always_inline __u64 compat_page_slab_cache(const char *p)
{
	if (bpf_core_field_exists(struct slab, slab_cache))
		return COMPAT_LOAD(__u64, p, slab, slab_cache);
	if (bpf_core_field_exists(struct page___slab, slab_cache))
		return COMPAT_LOAD(__u64, p, page___slab, slab_cache);
	return 0;
}

/* What a slab's first object is charged to is told there, the next ones compat_slab_charge_stride() bytes apart; 0: none is charged. */
static __always_inline __u64 compat_slab_charges(const char *p)
{
	__u64 v = 0;

	if (bpf_core_field_exists(struct slab, obj_exts))
		v = COMPAT_LOAD(__u64, p, slab, obj_exts);
	else if (bpf_core_field_exists(struct slab, memcg_data))
		v = COMPAT_LOAD(__u64, p, slab, memcg_data);
	else if (bpf_core_field_exists(struct page, memcg_data))
		v = COMPAT_LOAD(__u64, p, page, memcg_data);
	else if (bpf_core_field_exists(struct page___obj_cgroups, obj_cgroups))
		v = COMPAT_LOAD(__u64, p, page___obj_cgroups, obj_cgroups);
	return v & ~7ULL;
}

static __always_inline __u32 compat_slab_charge_stride(const char *p)
{
	if (bpf_core_field_exists(struct slab, stride))
		return COMPAT_LOAD(__u32, p, slab, stride);
	if (bpf_core_field_exists(struct slabobj_ext, objcg)) {
		barrier();
		return bpf_core_type_size(struct slabobj_ext);
	}
	return 8;
}

/* Where in what is told of an object its obj_cgroup is. */
static __always_inline __u32 compat_slab_charge_at(void)
{
	if (bpf_core_field_exists(struct slabobj_ext, objcg)) {
		barrier();
		return bpf_core_field_offset(struct slabobj_ext, objcg);
	}
	return 0;
}

/* The first free object of a slab, whose address is plain even where those inside objects are mangled; 0: none. */
static __always_inline __u64 compat_page_freelist(const char *p)
{
	if (bpf_core_field_exists(struct slab, freelist))
		return COMPAT_LOAD(__u64, p, slab, freelist);
	if (bpf_core_field_exists(struct page___slab, freelist))
		return COMPAT_LOAD(__u64, p, page___slab, freelist);
	return 0;
}

#endif
