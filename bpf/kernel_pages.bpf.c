// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Reads every struct page and says what the page is. How it gets past verifiers, and why a call is bounded: see pages.bpf.c.
 */
#include "compat/page.h"
#include "kernel_pages.h"
#include "pages.h"
#include "pages_anchor.h"
#include "pages_chunk.h"
#include "pages_group.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct kernel_pages_scan scan; /* see kernel_pages.h */
struct kernel_pages_run runs[KERNEL_PAGES_RUNS];

/*
 * Adds to the run that is open, or opens the next. With none open the record looked at is the last, which is never filled: what is
 * charged to none would match it, so a first one always opens.
 */
static __always_inline void run_add(__u64 memcg, __u64 charged, __u64 unmapped)
{
	__u32 n = scan.n_runs;
	struct kernel_pages_run *run = &runs[(n - 1) & (KERNEL_PAGES_RUNS - 1)];

	if (!n || run->memcg != memcg) {
		run = &runs[n & (KERNEL_PAGES_RUNS - 1)];
		run->memcg = memcg;
		run->charged = 0;
		run->unmapped = 0;
		scan.n_runs = n + 1;
	}
	run->charged += charged;
	run->unmapped += unmapped;
}

/* Pages in the block that begins at p: compound, or free. */
static __always_inline __u64 block_pages(const char *p, __u64 pfn)
{
	__u64 pages = page_count(p), order;

	if (pages == 1 && compat_type_is_buddy(compat_page_type(p))) {
		order = *(const __u64 *)(p + bpf_core_field_offset(struct page, private));
		pages = order <= ORDER_MAX ? 1ULL << order : 1;
	}
	return pfn & (pages - 1) ? 1 : pages;
}

/* Counts the block that begins with the i-th page of the chunk. */
__attribute__((noinline)) int page_one(__u32 i)
{
	const __u32 size = bpf_core_type_size(struct page);
	__u32 at = i * size, class;
	__u64 pfn = scan.next + i, pages, unmapped;
	const char *p;

	/* See page_add() in pages.bpf.c. */
	barrier_var(at);
	if (at > (PAGES_CHUNK - 1) * STRUCT_PAGE_MAX)
		return 0;
	p = chunk + at;
	if (compat_page_is_tail(p)) {
		scan.torn++;
		scan.skip = i + 1;
		return 0;
	}
	pages = block_pages(p, pfn);
	/* A huge page or free block never crosses the end of memory; one that changed while it was read might seem to. */
	if (pages > scan.end - pfn)
		pages = 1;
	class = page_class(p, scan.vmemmap + pfn * size);
	/* Of a block on a CPU's list only the first page is linked. */
	if (class == PAGE_CLASS_TAIL && scan.before == PAGE_CLASS_PCP)
		class = PAGE_CLASS_PCP;
	scan.before = class;
	scan.pages[class & (KERNEL_PAGES_CLASSES - 1)] += pages;
	if (class == PAGE_CLASS_ACCOUNTED)
		run_add(compat_page_memcg(p), pages, 0);
	if (class == PAGE_CLASS_ANON && pages > 1) {
		unmapped = compat_folio_unmapped(p, pages);
		if (unmapped)
			run_add(compat_page_memcg(p), 0, unmapped);
	}
	scan.skip = i + pages;
	return 0;
}

/*
 * Whether all of the chunk's struct pages are still zero: their initialisation was deferred (at boot; some kernels, such as
 * Firecracker guests', leave it until the memory is needed) and nobody ever had them. An initialised page that is not mapped has
 * a type of all ones, and one that is mapped has flags.
 */
__attribute__((noinline)) int chunk_untouched(void)
{
	const __u32 size = bpf_core_type_size(struct page);
	__u64 any = 0;
	__u32 i;

	for (i = 0; i < PAGES_CHUNK; i++)
		any |= compat_page_flags(chunk + i * size) | compat_page_type(chunk + i * size) |
		       compat_page_refcount(chunk + i * size);
	return !any;
}

/* Reads one chunk. Returns 1 when there is nothing more to read, or no room for what it may find. */
__attribute__((noinline)) int scan_chunk(void)
{
	__u64 pfn = scan.next;
	__u32 i;

	if (pfn >= scan.end || scan.n_runs >= KERNEL_PAGES_RUNS - PAGES_CHUNK)
		return 1;
	if (!chunk_read(scan.vmemmap, pfn)) {
		scan.skipped++;
		scan.next = (pfn | (PAGES_SECTION - 1)) + 1;
		return 0;
	}
	if (!compat_page_flags(chunk) && chunk_untouched()) {
		scan.pages[PAGE_CLASS_FREE] += PAGES_CHUNK;
		scan.next = pfn + PAGES_CHUNK;
		return 0;
	}
	scan.skip = 0;
	for (i = 0; i < PAGES_CHUNK; i++)
		if (i >= scan.skip)
			page_one(i);
	scan.next = pfn + (scan.skip > PAGES_CHUNK ? scan.skip : PAGES_CHUNK);
	return 0;
}

SEC("raw_tp")
int kernel_pages_scan(BPF_CTX)
{
	__u32 i;

	for (i = 0; i < KERNEL_PAGES_CHUNKS_MAX; i++)
		if (i >= scan.chunks || scan_chunk())
			break;
	return 0;
}
