/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a page is, from its struct page. The classes are shared with user space (enum kernel_pages_class has their meaning); the
 * rest is part of every object that classifies pages.
 */
#ifndef MEMDIAG_BPF_PAGE_CLASS_H
#define MEMDIAG_BPF_PAGE_CLASS_H

enum page_class {
	PAGE_CLASS_FREE,
	PAGE_CLASS_PCP,
	PAGE_CLASS_ANON,
	PAGE_CLASS_FILE,
	PAGE_CLASS_SLAB,
	PAGE_CLASS_KMALLOC,
	PAGE_CLASS_TABLE,
	PAGE_CLASS_HUGETLB,
	PAGE_CLASS_COMPRESSED,
	PAGE_CLASS_OFFLINE,
	PAGE_CLASS_RESERVED,
	PAGE_CLASS_POOL,
	PAGE_CLASS_ACCOUNTED,
	PAGE_CLASS_COMPOUND,
	PAGE_CLASS_PLAIN,
	PAGE_CLASS_TAIL,
	PAGE_CLASSES
};

#ifdef __bpf__

#include "compat/page.h"

/* linux/poison.h on x86-64, arm64 and all others with 64 bits: list pointers and tails' mappings that must not be followed. */
#define POISON(pointer) ((pointer) >> 48 == 0xdead)

/* Whether mapping is of a file. Bit 0 is PAGE_MAPPING_ANON. */
static __always_inline bool mapping_is_file(__u64 mapping)
{
	return (__s64)mapping < 0 && !(mapping & 3) && !POISON(mapping);
}

/* Whether a page that nobody holds is on a list of free pages: the next one on it points back. */
static __always_inline bool page_on_list(const char *p, __u64 address)
{
	__u64 lru = address + bpf_core_field_offset(struct page, lru);
	__u64 next = *(const __u64 *)(p + bpf_core_field_offset(struct page, lru.next)), back;

	if ((__s64)next >= 0 || POISON(next))
		return false;
	compat_read(back, next + bpf_core_field_offset(struct list_head, prev));
	return back == lru;
}

/* Of types that are set, those that no other member can tell. PAGE_CLASSES: none of them. */
static __always_inline __u32 typed_class(__u32 type)
{
	if (compat_type_is_buddy(type))
		return PAGE_CLASS_FREE;
	if (compat_page_is_table(type))
		return PAGE_CLASS_TABLE;
	if (compat_page_is_offline(type))
		return PAGE_CLASS_OFFLINE;
	if (COMPAT_TYPE_IS(type, zsmalloc, 0))
		return PAGE_CLASS_COMPRESSED;
	if (COMPAT_TYPE_BYTE(type, large_kmalloc))
		return PAGE_CLASS_KMALLOC;
	return PAGE_CLASSES;
}

/*
 * p: a copy of the struct page at that address and of the one behind it; not of a compound page's tail. Read without a lock: a
 * page that changes hands right now may be anything.
 */
static __always_inline __u32 page_class(const char *p, __u64 address)
{
	__u64 flags = compat_page_flags(p), mapping = compat_page_mapping(p);
	__u32 type = compat_page_type(p), class;

	if (flags & COMPAT_PAGE_FLAG(PG_reserved))
		return PAGE_CLASS_RESERVED;
	if (compat_page_is_slab(p, type))
		return PAGE_CLASS_SLAB;
	if (compat_type_set(type)) {
		class = typed_class(type);
		if (class != PAGE_CLASSES)
			return class;
	}
	/* Before the mapping: pages of the pool belong to a file, too. */
	if (compat_page_is_hugetlb(p, type))
		return PAGE_CLASS_HUGETLB;
	if (mapping & 1)
		return PAGE_CLASS_ANON;
	if (flags & COMPAT_PAGE_FLAG(PG_lru) || mapping_is_file(mapping))
		return PAGE_CLASS_FILE;
	/* Before 6.18 (PAGE_MAPPING_MOVABLE): zsmalloc's, and what else can be moved but is no process'. */
	if ((mapping & 3) == 2)
		return PAGE_CLASS_COMPRESSED;
	if (compat_page_is_pool(p, type))
		return PAGE_CLASS_POOL;
	if (compat_page_is_kmem(p, type))
		return PAGE_CLASS_ACCOUNTED;
	/* Charged, but not as kernel memory, and in no mapping: a process' page on its way in or out. */
	if (compat_page_memcg(p))
		return PAGE_CLASS_ANON;
	if (flags & COMPAT_PAGE_FLAG(PG_head))
		return PAGE_CLASS_COMPOUND;
	if (compat_page_refcount(p))
		return PAGE_CLASS_PLAIN;
	return page_on_list(p, address) ? PAGE_CLASS_PCP : PAGE_CLASS_TAIL;
}

#endif
#endif
