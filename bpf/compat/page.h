/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Page frames: struct page and folios, what they are and whose, and the zones that they are in. A struct page is looked at as a
 * copy of it: p.
 */
#ifndef MEMDIAG_BPF_COMPAT_PAGE_H
#define MEMDIAG_BPF_COMPAT_PAGE_H

#include "compat/base.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

/* The kernel's has no tag; the linker of types compares members only. */
struct atomic_int {
	int counter;
};

struct page {
	struct list_head lru;
	struct address_space *mapping;
	unsigned long private;
	unsigned long memcg_data;
	unsigned int page_type;
	struct atomic_int _refcount;
	unsigned long pp_magic; /* since 5.14 (c07aea3ef4d4) */
};

/* Before 5.11 (bcfe06bf2622 "mm: memcontrol: Use helpers to read page's memcg data"). */
struct page___mem_cgroup {
	struct mem_cgroup *mem_cgroup;
};

/* Before 6.6 (9c5ccf2db04b) a compound page's kind; in struct folio from 6.1 on. */
struct page___dtor {
	unsigned char compound_dtor;
};

struct folio___dtor {
	unsigned char _folio_dtor;
};

/* How many pages of a large folio are mapped each for itself; since 6.3 (eec20426d48b). */
struct folio___mapped {
	struct atomic_int _nr_pages_mapped;
};

/* All mappings of it less one; since 6.10 (05c5323b2a34). */
struct folio___large {
	struct atomic_int _large_mapcount;
};

/* Before 6.1 (c3a15bff46cb moved the order of compound pages into struct folio). */
struct page___compound_order {
	unsigned char compound_order;
};

struct folio {
	unsigned long memcg_data;
	unsigned long _flags_1; /* the order is in its low byte since 6.6 (ebc1baf5c9b4) */
};

/* 6.1 to 6.5. */
struct folio___order {
	unsigned char _folio_order;
};

struct free_area {
	struct list_head free_list[1];
	unsigned long nr_free;
};

struct zone {
	unsigned long zone_start_pfn;
	unsigned long spanned_pages;
	unsigned long present_pages;
	struct free_area free_area[1];
};

struct pglist_data {
	struct zone node_zones[1];
};

#pragma clang attribute pop

enum compound_dtor_id {
	HUGETLB_PAGE_DTOR___any = 0,
};

enum pageflags {
	PG_dirty___any = 0,
	PG_head___any = 0,
	PG_lru___any = 0,
	PG_reserved___any = 0,
	PG_swapcache___any = 0,
	PG_slab___any = 0,    /* a page type since 6.10 (46df8e73a4a3) */
	PG_hugetlb___any = 0, /* 6.6 to 6.8, of the second page; then a type (d99e3140a4d3) */
};

/* 6.12 (4ffca5a96678 "mm: support only one page type per page"): a number in the top byte. */
enum pagetype___byte {
	PGTY_buddy___any = 0,
	PGTY_offline___any = 0,
	PGTY_table___any = 0,
	PGTY_guard___any = 0,
	PGTY_hugetlb___any = 0,
	PGTY_slab___any = 0,
	PGTY_zsmalloc___any = 0,
	PGTY_unaccepted___any = 0,
	PGTY_large_kmalloc___any = 0, /* 6.14 */
	PGTY_netpp___any = 0,	      /* 2026: page_pool's pages */
};

/* 6.11 (ff202303c398): an enumeration of bits that are cleared when the type is set. */
enum pagetype___bits {
	PG_buddy___bit = 0,
	PG_offline___bit = 0,
	PG_table___bit = 0,
	PG_guard___bit = 0,
	PG_hugetlb___bit = 0,
	PG_slab___bit = 0,
	PG_zsmalloc___bit = 0,
};

enum compact_result {
	COMPACT_SUCCESS___any = 0,
};

/* Page flags are the first word in every kernel (memdesc_flags_t since 6.18, 53fbef56e07d, so CO-RE by type fails). */
#define compat_page_flags(p) (*(const __u64 *)(p))
/* The second word has bit 0 set in tail pages (compound_head, renamed compound_info in 2026). */
#define compat_page_is_tail(p) (*(const __u64 *)((p) + 8) & 1)

#define compat_page_mapping(p) (*(const __u64 *)((p) + bpf_core_field_offset(struct page, mapping)))

/*
 * A member that the running kernel lacks relocates to an instruction that the verifier refuses; that is fine in a branch
 * which is never taken. barrier() keeps the compiler from lifting it out of that branch.
 */
#define COMPAT_LOAD(type, p, t, member)                                         \
	({                                                                      \
		barrier();                                                      \
		*(const type *)((p) + bpf_core_field_offset(struct t, member)); \
	})

/* The memcg or objcg without its flag bits; 0 when charged to none. */
static __always_inline __u64 compat_page_memcg(const char *p)
{
	__u64 v = 0;

	if (bpf_core_field_exists(struct page, memcg_data))
		v = COMPAT_LOAD(__u64, p, page, memcg_data);
	else if (bpf_core_field_exists(struct folio, memcg_data))
		v = COMPAT_LOAD(__u64, p, folio, memcg_data);
	else if (bpf_core_field_exists(struct page___mem_cgroup, mem_cgroup))
		v = COMPAT_LOAD(__u64, p, page___mem_cgroup, mem_cgroup);
	return v & ~7ULL;
}

static __always_inline __u32 compat_page_type(const char *p)
{
	return *(const __u32 *)(p + bpf_core_field_offset(struct page, page_type));
}

/*
 * The type shares its word with the mapcount: -1 is "not mapped", other negative values are a type (slab, buddy, page
 * table, hugetlb, ...) in all of its encodings.
 */
static __always_inline bool compat_type_set(__u32 type)
{
	return type + 1 > 0x80000000U;
}

/* 4.18 to 6.11: each type is a bit that is cleared. */
static __always_inline bool compat_type_has_bit(__u32 type, __u32 bit)
{
	return bit && compat_type_set(type) && !(type & bit);
}

/* The type of that name in the newest encoding; false where there is none. */
#define COMPAT_TYPE_BYTE(type, name)                                                              \
	(bpf_core_enum_value_exists(enum pagetype___byte, PGTY_##name##___any)                    \
		 ? (type) >> 24 == bpf_core_enum_value(enum pagetype___byte, PGTY_##name##___any) \
		 : false)
#define COMPAT_TYPE_IS_BYTE bpf_core_enum_value_exists(enum pagetype___byte, PGTY_buddy___any)
#define COMPAT_TYPE_IS_ENUM bpf_core_enum_value_exists(enum pagetype___bits, PG_buddy___bit)

/* The same in any encoding. `macro`: the type's bit where it was a macro (to 6.10); 0: there was none. */
#define COMPAT_TYPE_IS(type, name, macro)                                                      \
	(COMPAT_TYPE_IS_BYTE ? COMPAT_TYPE_BYTE(type, name)                                    \
	 : COMPAT_TYPE_IS_ENUM                                                                 \
		 ? compat_type_has_bit(                                                        \
			   type, bpf_core_enum_value(enum pagetype___bits, PG_##name##___bit)) \
		 : compat_type_has_bit(type, macro))

static __always_inline bool compat_type_is_buddy(__u32 type)
{
	return COMPAT_TYPE_IS(type, buddy, 0x80);
}

#define COMPAT_PAGE_FLAG(name)                                               \
	(bpf_core_enum_value_exists(enum pageflags, name##___any)            \
		 ? 1ULL << bpf_core_enum_value(enum pageflags, name##___any) \
		 : 0)

/* The order of a compound page whose first two struct pages are at p. */
static __always_inline __u32 compat_folio_order(const char *p)
{
	if (bpf_core_field_exists(struct page___compound_order, compound_order))
		return COMPAT_LOAD(__u8, p + bpf_core_type_size(struct page), page___compound_order,
				   compound_order);
	if (bpf_core_field_exists(struct folio___order, _folio_order))
		return COMPAT_LOAD(__u8, p, folio___order, _folio_order);
	if (bpf_core_field_exists(struct folio, _flags_1))
		return COMPAT_LOAD(__u8, p, folio, _flags_1);
	return 0;
}

/* Slab: a page flag, a bit among the types (a macro in 6.10), a type. */
static __always_inline bool compat_page_is_slab(const char *p, __u32 type)
{
	if (bpf_core_enum_value_exists(enum pageflags, PG_slab___any))
		return compat_page_flags(p) & COMPAT_PAGE_FLAG(PG_slab);
	return COMPAT_TYPE_IS(type, slab, 0x1000);
}

/* 5.10 marks pages of kernel memory that is charged by a type (to 5.11, 18b2db3b0385), whose bit then went to page tables. */
#define COMPAT_KMEMCG_IS_TYPE bpf_core_field_exists(struct page___mem_cgroup, mem_cgroup)

static __always_inline bool compat_page_is_table(__u32 type)
{
	return COMPAT_TYPE_IS(type, table, COMPAT_KMEMCG_IS_TYPE ? 0x400 : 0x200);
}

/* Offline, not accepted yet, or guarded by debug_pagealloc: nobody's to use. */
static __always_inline bool compat_page_is_offline(__u32 type)
{
	return COMPAT_TYPE_IS(type, offline, 0x100) || COMPAT_TYPE_BYTE(type, unaccepted) ||
	       COMPAT_TYPE_IS(type, guard, COMPAT_KMEMCG_IS_TYPE ? 0x800 : 0x400);
}

/* A huge page of the pool, used or free. p + 1 must be readable. */
static __always_inline bool compat_page_is_hugetlb(const char *p, __u32 type)
{
	if (!(compat_page_flags(p) & COMPAT_PAGE_FLAG(PG_head)))
		return false;
	if (bpf_core_field_exists(struct page___dtor, compound_dtor))
		return COMPAT_LOAD(__u8, p + bpf_core_type_size(struct page), page___dtor,
				   compound_dtor) ==
		       bpf_core_enum_value(enum compound_dtor_id, HUGETLB_PAGE_DTOR___any);
	if (bpf_core_field_exists(struct folio___dtor, _folio_dtor))
		return COMPAT_LOAD(__u8, p, folio___dtor, _folio_dtor) ==
		       bpf_core_enum_value(enum compound_dtor_id, HUGETLB_PAGE_DTOR___any);
	if (bpf_core_enum_value_exists(enum pageflags, PG_hugetlb___any))
		return COMPAT_LOAD(__u64, p, folio, _flags_1) & COMPAT_PAGE_FLAG(PG_hugetlb);
	return COMPAT_TYPE_IS(type, hugetlb, 0x800);
}

/* A page that page_pool handed to a network driver: a magic number, a poison pointer of 6.16's (ee62ce7a1d90) with an index. */
static __always_inline bool compat_page_is_pool(const char *p, __u32 type)
{
	__u64 magic;

	if (!bpf_core_field_exists(struct page, pp_magic))
		return COMPAT_TYPE_BYTE(type, netpp);
	magic = COMPAT_LOAD(__u64, p, page, pp_magic);
	return magic >> 48 == 0xdead && (magic & 0x7c) == 0x40;
}

/* Charged kernel memory. (Of slab the bit says something else.) */
static __always_inline bool compat_page_is_kmem(const char *p, __u32 type)
{
	if (bpf_core_field_exists(struct page, memcg_data))
		return COMPAT_LOAD(__u64, p, page, memcg_data) & 2;
	if (bpf_core_field_exists(struct folio, memcg_data))
		return COMPAT_LOAD(__u64, p, folio, memcg_data) & 2;
	return COMPAT_KMEMCG_IS_TYPE && compat_type_has_bit(type, 0x200);
}

/*
 * Of the pages of an anonymous large folio whose head is p, those that no process maps any more. They stay until the folio is
 * split, under pressure, and AnonPages does not count them. 0 where the kernel cannot tell.
 */
static __always_inline __u64 compat_folio_unmapped(const char *p, __u64 pages)
{
	const __u32 whole = 0x800000; /* mm/internal.h: mapped as one, by a PMD */
	__u32 mapped;

	if (!bpf_core_field_exists(struct folio___mapped, _nr_pages_mapped) ||
	    compat_page_flags(p) & COMPAT_PAGE_FLAG(PG_swapcache))
		return 0;
	mapped = COMPAT_LOAD(__u32, p, folio___mapped, _nr_pages_mapped);
	/* With CONFIG_NO_PAGE_MAPCOUNT (6.15) pages are not counted. */
	if (!mapped && bpf_core_field_exists(struct folio___large, _large_mapcount) &&
	    COMPAT_LOAD(__u32, p, folio___large, _large_mapcount) != ~0U)
		return 0;
	return mapped < pages && mapped < whole ? pages - mapped : 0;
}

#define compat_page_refcount(p) \
	(*(const __u32 *)((p) + bpf_core_field_offset(struct page, _refcount)))

#endif
