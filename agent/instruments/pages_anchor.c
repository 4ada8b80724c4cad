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

int pages_anchor_find(const struct pages_anchor_programs *p, const struct root *proc,
		      uint64_t *ret_vmemmap, struct err *err)
{
	int r = pages_anchor_pagemap(p, proc, ret_vmemmap);

	if (r < 0)
		r = pages_anchor_zones(p, ret_vmemmap);
	if (r < 0)
		return err_set(
			err, EIO,
			"cannot tell where struct page begins (CAP_SYS_ADMIN makes %s/self/pagemap "
			"say so)",
			proc->path);
	return 0;
}
