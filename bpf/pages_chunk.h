/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Part of every object that walks struct page: reading it in chunks, and passing over what is large and of one kind. */
#ifndef MEMDIAG_BPF_PAGES_CHUNK_H
#define MEMDIAG_BPF_PAGES_CHUNK_H

#include "compat/page.h"
#include "pages.h"

#define STRUCT_PAGE_MAX 128 /* 64 bytes, more with debug options */
#define ORDER_MAX	18  /* a hugetlb page of 1 GiB */

/* The struct pages that are being looked at, and room for what would follow the last. */
char chunk[(PAGES_CHUNK + 1) * STRUCT_PAGE_MAX] __attribute__((aligned(8)));

/* Reads PAGES_CHUNK struct pages from that frame on. */
static __always_inline bool chunk_read(__u64 vmemmap, __u64 pfn)
{
	const __u32 size = bpf_core_type_size(struct page);

	return size <= STRUCT_PAGE_MAX &&
	       !bpf_probe_read_kernel(chunk, PAGES_CHUNK * size,
				      (const void *)(vmemmap + pfn * size));
}

/* Pages in the folio whose head is p, 1 for a single page. p + 1 must be in the chunk. */
static __always_inline __u64 page_count(const char *p)
{
	__u32 order;

	if (!(compat_page_flags(p) & COMPAT_PAGE_FLAG(PG_head)) || compat_page_is_tail(p))
		return 1;
	order = compat_folio_order(p);
	return order <= ORDER_MAX ? 1ULL << order : 1;
}

/*
 * A block of at least a chunk begins where a chunk begins: a large folio, or free memory, of which the allocator keeps the
 * order in the first page. Returns its pages; 0: there is none. The order is read without a lock, as compaction does: a wrong
 * one is possible for a block that changes hands right now, and bounded.
 */
static __always_inline __u64 chunk_block(__u64 pfn, bool *folio)
{
	__u64 pages = page_count(chunk), order;

	if (pages >= PAGES_CHUNK && !(pfn & (pages - 1))) {
		*folio = true;
		return pages;
	}
	if (compat_type_is_buddy(compat_page_type(chunk))) {
		order = *(const __u64 *)(chunk + bpf_core_field_offset(struct page, private));
		if (order > ORDER_MAX)
			return 0;
		pages = 1ULL << order;
		if (pages >= PAGES_CHUNK && !(pfn & (pages - 1)))
			return pages;
	}
	return 0;
}

#endif
