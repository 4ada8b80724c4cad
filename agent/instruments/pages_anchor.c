/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the kernel's array of struct page begins. The address is random since boot and its symbol may be missing from
 * kallsyms, so it is worked out from a page whose struct page is known.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../bpf/pages.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "instruments/vmemmap.h"

#define VOTES 4

#define PAGEMAP_PFN	((1ULL << 55) - 1)
#define PAGEMAP_PRESENT (1ULL << 63)

/* The frame number behind an address of ours. */
static int frame_number(int pagemap, const void *at, long page_size, uint64_t *ret)
{
	off_t where = (off_t)((uintptr_t)at / (uintptr_t)page_size * sizeof(uint64_t));
	uint64_t entry;

	if (pread(pagemap, &entry, sizeof(entry), where) != (ssize_t)sizeof(entry))
		return -EIO;
	if (!(entry & PAGEMAP_PRESENT) || !(entry & PAGEMAP_PFN))
		return -EPERM;
	*ret = entry & PAGEMAP_PFN;
	return 0;
}

/* One page in a memfd of its own: its struct page from the file's tree, its frame number from pagemap. */
static int vote_by_pagemap(const struct pages_anchor_programs *p, int pagemap, uint64_t *ret)
{
	_cleanup_close_ int fd = memfd_create("memdiag-anchor", MFD_CLOEXEC);
	long page_size = sysconf(_SC_PAGESIZE);
	struct pages_anchor *a = p->anchor;
	int64_t ns = -EIO;
	uint64_t pfn = 0;
	char *page;
	int r;

	if (fd < 0 || ftruncate(fd, page_size) < 0)
		return -errno;
	page = mmap(NULL, (size_t)page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return -errno;
	*(volatile char *)page = 1;
	a->fd = (__u32)fd;
	r = frame_number(pagemap, page, page_size, &pfn);
	if (r == 0)
		ns = bpf_run(p->by_file, p->calls);
	(void)munmap(page, (size_t)page_size);
	if (r < 0 || ns < 0)
		return r < 0 ? r : (int)ns;
	/* A kernel address, and not a tree node (bit 1) or a value (bit 0). */
	if ((int64_t)a->page >= 0 || a->page & 3)
		return -ENODATA;
	*ret = a->page - pfn * a->struct_page;
	return 0;
}

int pages_anchor_pagemap(const struct pages_anchor_programs *p, const struct root *proc,
			 uint64_t *ret_vmemmap)
{
	_cleanup_close_ int pagemap = root_open_file(proc, "self/pagemap", NULL);
	uint64_t votes[VOTES];
	int r;

	if (pagemap < 0)
		return pagemap;
	for (size_t i = 0; i < VOTES; i++) {
		r = vote_by_pagemap(p, pagemap, &votes[i]);
		if (r < 0)
			return r;
		/* A page that moved between the two reads votes for something else: try that once more. */
		if (votes[i] != votes[0] && vote_by_pagemap(p, pagemap, &votes[i]) < 0)
			return -ENODATA;
		if (votes[i] != votes[0])
			return -ENODATA;
	}
	*ret_vmemmap = votes[0];
	return 0;
}

/*
 * x86 places the array at a multiple of 1 GiB (KASLR moves it by whole PUDs, arch/x86/mm/kaslr.c), and the struct pages of
 * the first 4 GiB of memory fill 64 MiB of it. So any struct page from the two lowest zones shows the beginning; the frame
 * number that follows must be one of its zone.
 */
int pages_anchor_zones(const struct pages_anchor_programs *p, uint64_t *ret_vmemmap)
{
#ifdef __x86_64__
	const uint64_t align = 1ULL << 30;
	struct pages_anchor *a = p->anchor;
	uint64_t base = 0, pfn;
	int64_t ns = bpf_run(p->by_zones, p->calls);
	uint32_t votes = 0;

	if (ns < 0)
		return (int)ns;
	for (uint32_t i = 0; i < a->n_free && i < PAGES_FREE_MAX; i++) {
		const struct pages_free *f = &a->free[i];

		if (votes == 0)
			base = f->page & ~(align - 1);
		pfn = (f->page - base) / a->struct_page;
		if ((f->page - base) % a->struct_page != 0)
			return -ENODATA;
		/* A list that changed meanwhile leads anywhere. */
		if (pfn < f->start_pfn || pfn >= f->end_pfn)
			continue;
		votes++;
	}
	if (votes < 2 || votes * 2 <= a->n_free)
		return -ENODATA;
	*ret_vmemmap = base;
	return 0;
#else
	(void)p;
	(void)ret_vmemmap;
	return -ENODATA;
#endif
}

/* What comes and goes together of the array, and what frame 0's struct page is a multiple of: in bytes of memory. */
static uint64_t section_bytes(uint64_t page_size)
{
	return page_size == 65536 ? 512ULL << 20 : 128ULL << 20;
}

static uint64_t base_bytes(uint64_t page_size)
{
	return page_size == 65536 ? 512ULL << 20 : 1ULL << 30;
}

/* The lowest of the free pages in the lowest zone of all. NULL: unknown, or the zone may lack a whole section. */
static const struct pages_free *lowest_free(const struct pages_anchor *a, const char *zoneinfo,
					    uint64_t section_frames)
{
	_cleanup_free_ struct pages_range *ranges = NULL;
	const struct pages_free *lowest = NULL;

	if (pages_ranges_zoneinfo(zoneinfo, &ranges) == 0)
		return NULL;
	for (uint32_t i = 0; i < a->n_free && i < PAGES_FREE_MAX; i++) {
		const struct pages_free *f = &a->free[i];

		if (f->start_pfn / PAGES_CHUNK * PAGES_CHUNK != ranges[0].start ||
		    f->absent >= section_frames)
			continue;
		if (!lowest || f->page < lowest->page)
			lowest = f;
	}
	return lowest;
}

/*
 * What is below memory's first section has no struct pages. So from a free page of the lowest zone downwards, section by section,
 * the first that cannot be read is that edge, and the zone's first frame number is known. Only what is next to something that was
 * read is read: arm64 has a guard of 2 MiB or more beside the array, and devices' I/O behind it. Frame 0's own struct page may be
 * far below; arm64 has it at a multiple of what 1 GiB of memory fills (ARM64_MEMSTART_ALIGN; since 5.11, 9ad7c6d5e75b), x86 of 1 GiB.
 */
int pages_anchor_edge(const struct pages_anchor_programs *p, const struct root *proc,
		      uint64_t *ret_vmemmap)
{
	_cleanup_buf_ struct buf zoneinfo = BUF_INIT(ROOT_FILE_MAX);
	const uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t section_frames = section_bytes(page_size) / page_size;
	struct pages_anchor *a = p->anchor;
	int r = root_read(proc, "zoneinfo", &zoneinfo, NULL);
	const struct pages_free *f;
	int64_t ns = r < 0 ? r : bpf_run(p->by_zones, p->calls);
	uint64_t base, pfn;

	if (ns < 0)
		return (int)ns;
	f = lowest_free(a, zoneinfo.data, section_frames);
	/* An odd size is one of a debugging kernel, where a section is no power of two. */
	if (!f || (a->struct_page & (a->struct_page - 1)) != 0)
		return -ENODATA;
	a->section = (__u32)(section_frames * a->struct_page);
	a->edge = f->page & ~((uint64_t)a->section - 1);
	a->at_edge = 0;
	while (!a->at_edge &&
	       f->page - a->edge <= (f->end_pfn - f->start_pfn) * a->struct_page + a->section) {
		ns = bpf_run(p->edge, p->calls);
		if (ns < 0)
			return (int)ns;
	}
	base = a->edge - f->start_pfn / section_frames * a->section;
	pfn = (f->page - base) / a->struct_page;
	if (!a->at_edge || base % (base_bytes(page_size) / page_size * a->struct_page) != 0 ||
	    pfn < f->start_pfn || pfn >= f->end_pfn)
		return -ENODATA;
	*ret_vmemmap = base;
	return 0;
}

int pages_anchor_find(const struct pages_anchor_programs *p, const struct root *proc,
		      uint64_t *ret_vmemmap, struct err *err)
{
	int r = pages_anchor_pagemap(p, proc, ret_vmemmap);

	if (r < 0)
		r = pages_anchor_zones(p, ret_vmemmap);
	if (r < 0)
		r = pages_anchor_edge(p, proc, ret_vmemmap);
	if (r < 0)
		return err_set(
			err, EIO,
			"cannot tell where struct page begins (CAP_SYS_ADMIN makes %s/self/pagemap "
			"say so)",
			proc->path);
	return 0;
}
