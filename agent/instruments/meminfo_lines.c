/* SPDX-License-Identifier: Apache-2.0 */
/* What the node's counters add up to: arithmetic only. */
#include <string.h>

#include "base/mem.h"
#include "instruments/meminfo.h"

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/*
 * Swap cache that no process has mapped: the rest of it is in AnonPages already. The LRU lists of anonymous memory hold both and
 * shared memory; what is mlocked is on another list, so this is at least that much less than there is, at most Unevictable less.
 */
static uint64_t swap_cache_alone(const struct meminfo *m)
{
	return smaller(m->swap_cached,
		       less(m->active_anon + m->inactive_anon, m->anon_pages + m->shmem));
}

/* zswap's pool is in zsmalloc's pages, but for its older allocators (zbud, z3fold: before 6.15), which are counted nowhere else. */
static uint64_t zram(const struct meminfo *m)
{
	return m->zspages >= m->zswap ? m->zspages - m->zswap : m->zspages;
}

static int64_t page_cache(const struct meminfo *m)
{
	return (int64_t)m->cached + (int64_t)m->buffers - (int64_t)m->shmem;
}

size_t meminfo_lines(const struct meminfo *m, struct memory_line lines[MEMORY_LINES_MAX])
{
	static const char free_group[] = "free", user[] = "processes", files[] = "files",
			  kernel[] = "kernel";
	/* Kernel stacks are vmalloc memory under VMAP_STACK (x86-64, arm64): then they are inside VmallocUsed. */
	bool stacks_inside = m->kernel_stack <= m->vmalloc_used;
	const struct memory_line all[] = {
		{"free", "free", "MemFree", free_group, (int64_t)m->free},
		{"perCPUFree", "free, on per-CPU lists", "zoneinfo count", free_group,
		 (int64_t)m->pcp},
		{"anon", "anonymous", "AnonPages", user, (int64_t)m->anon_pages},
		{"shmem", "shared memory, tmpfs", "Shmem", user, (int64_t)m->shmem},
		{"hugePages", "huge page pool", "Hugetlb", user, (int64_t)m->hugetlb},
		{"swapCache", "swap cache, not mapped", "SwapCached outside AnonPages", user,
		 (int64_t)swap_cache_alone(m)},
		{"zswap", "compressed by zswap", "Zswap", user, (int64_t)m->zswap},
		{"zram", "compressed by zram", "nr_zspages - Zswap", user, (int64_t)zram(m)},
		{"pageCache", "page cache", "Cached + Buffers - Shmem", files, page_cache(m)},
		{"writebackTmp", "FUSE writeback", "WritebackTmp", files,
		 (int64_t)m->writeback_tmp},
		{"slabReclaimable", "slab, reclaimable", "SReclaimable", kernel,
		 (int64_t)m->s_reclaimable},
		{"slabUnreclaimable", "slab, unreclaimable", "SUnreclaim", kernel,
		 (int64_t)m->s_unreclaim},
		{"miscReclaimable", "other reclaimable", "KReclaimable - SReclaimable", kernel,
		 (int64_t)less(m->k_reclaimable, m->s_reclaimable)},
		{"kernelStack", "kernel stacks", "KernelStack", kernel, (int64_t)m->kernel_stack},
		{"vmalloc", "vmalloc", stacks_inside ? "VmallocUsed - KernelStack" : "VmallocUsed",
		 kernel, (int64_t)(m->vmalloc_used - (stacks_inside ? m->kernel_stack : 0))},
		{"pageTables", "page tables", "PageTables + SecPageTables", kernel,
		 (int64_t)(m->page_tables + m->sec_page_tables)},
		{"percpu", "per-CPU data", "Percpu", kernel, (int64_t)m->percpu},
		{"memmap", "page descriptors", "nr_memmap_pages", kernel, (int64_t)m->memmap},
		{"gpu", "graphics drivers", "GPUActive + GPUReclaim", kernel,
		 (int64_t)(m->gpu_active + m->gpu_reclaim)},
		{"bounce", "bounce buffers", "Bounce", kernel, (int64_t)m->bounce},
		{"hwPoison", "broken, not used", "HardwareCorrupted", kernel,
		 (int64_t)m->hw_poison},
	};
	int64_t sum = 0;

	_Static_assert(ARRAY_SIZE(all) < MEMORY_LINES_MAX, "with the residual");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		lines[i] = all[i];
		sum += all[i].bytes;
	}
	lines[ARRAY_SIZE(all)] = (struct memory_line){"residual", "drivers, NIC, leaks",
						      "MemTotal - all above", "not explained",
						      (int64_t)m->total - sum};
	return ARRAY_SIZE(all) + 1;
}

int64_t meminfo_residual(const struct meminfo *info)
{
	struct memory_line lines[MEMORY_LINES_MAX];
	size_t n = meminfo_lines(info, lines);

	return lines[n - 1].bytes;
}

/* The three parts of a line: as much of a and of b as there is room for, and the rest. */
static void split(int64_t whole, uint64_t a, uint64_t b, struct memory_line parts[3])
{
	int64_t room = whole > 0 ? whole : 0;

	parts[0].bytes = (int64_t)smaller(a, (uint64_t)room);
	parts[1].bytes = (int64_t)smaller(b, (uint64_t)(room - parts[0].bytes));
	parts[2].bytes = whole - parts[0].bytes - parts[1].bytes;
}

size_t meminfo_parts(const struct meminfo *m, struct memory_line parts[MEMORY_PARTS_MAX])
{
	static const struct memory_line all[] = {
		{"activeFile", "used again", "Active(file)", "pageCache", 0},
		{"inactiveFile", "reclaimed first", "Inactive(file)", "pageCache", 0},
		{"otherFile", "mlocked, on its way", "the rest of it", "pageCache", 0},
		{"dirty", "dirty", "Dirty", "pageCache", 0},
		{"writeback", "being written back", "Writeback", "pageCache", 0},
		{"clean", "clean", "the rest of it", "pageCache", 0},
		{"hugePagesFree", "free in the pool", "HugePages_Free - HugePages_Rsvd",
		 "hugePages", 0},
		{"hugePagesReserved", "reserved, not used yet", "HugePages_Rsvd", "hugePages", 0},
		{"hugePagesUsed", "in use, other sizes", "the rest of it", "hugePages", 0},
	};
	uint64_t size = m->huge_page_size, most = size > 0 ? KEYVALUE_MAX / size : 0;
	uint64_t reserved = smaller(m->huge_reserved, most) * size;

	_Static_assert(ARRAY_SIZE(all) <= MEMORY_PARTS_MAX, "all fit");
	memcpy(parts, all, sizeof(all));
	split(page_cache(m), m->active_file, m->inactive_file, parts);
	split(page_cache(m), m->dirty, m->writeback, parts + 3);
	split((int64_t)m->hugetlb, less(smaller(m->huge_free, most) * size, reserved), reserved,
	      parts + 6);
	return ARRAY_SIZE(all);
}

size_t meminfo_beside(const struct meminfo *m, struct memory_line beside[MEMORY_BESIDE_MAX])
{
	const struct memory_line all[] = {
		{"socket", "sockets", "sockstat mem", "in slab and in what is not explained",
		 (int64_t)m->socket},
		{"balloon", "balloon", "Balloon", "given to the hypervisor", (int64_t)m->balloon},
		{"zswapped", "held by zswap", "Zswapped", "uncompressed", (int64_t)m->zswapped},
		{"swapUsed", "swapped out", "SwapTotal - SwapFree", "on swap",
		 (int64_t)less(m->swap_total, m->swap_free)},
	};

	_Static_assert(ARRAY_SIZE(all) <= MEMORY_BESIDE_MAX, "all fit");
	memcpy(beside, all, sizeof(all));
	return ARRAY_SIZE(all);
}
