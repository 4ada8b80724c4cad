/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/cgroup_lines.h"

#include "base/mem.h"

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

/* What of the kernel's memory has a counter of its own. */
static uint64_t kernel_parts(const struct cgroup_stat *s)
{
	return s->slab_reclaimable + s->slab_unreclaimable + s->kernel_stack + s->page_tables +
	       s->sec_page_tables + s->percpu + s->vmalloc + s->zswap;
}

uint64_t cgroup_kernel_bytes(const struct cgroup_stat *s)
{
	uint64_t parts = kernel_parts(s);

	return s->kernel > parts ? s->kernel : parts;
}

uint64_t cgroup_working_set(const struct cgroup_stat *s)
{
	return s->usage == UINT64_MAX ? 0 : less(s->usage, s->inactive_file);
}

/* As in meminfo_lines.c: the LRU lists of anonymous memory hold what is mapped, shared memory, and the swap cache. */
static uint64_t swap_cache_alone(const struct cgroup_stat *s)
{
	uint64_t alone = less(s->active_anon + s->inactive_anon, s->anon + s->shmem);

	return alone < s->swap_cached ? alone : s->swap_cached;
}

static size_t add(struct memory_line *lines, size_t n, const struct memory_line *more,
		  size_t n_more)
{
	for (size_t i = 0; i < n_more; i++)
		lines[n++] = more[i];
	return n;
}

size_t cgroup_lines(const struct cgroup_stat *s, bool v2,
		    struct memory_line lines[CGROUP_LINES_MAX])
{
	static const char user[] = "processes", files[] = "files", kernel[] = "kernel";
	const struct memory_line both[] = {
		{"anon", "anonymous", v2 ? "anon" : "total_rss", user, (int64_t)s->anon},
		{"pageCache", "page cache", v2 ? "file - shmem" : "total_cache - total_shmem",
		 files, (int64_t)less(s->cache, s->shmem)},
		{"shmem", "shared memory, tmpfs", v2 ? "shmem" : "total_shmem", user,
		 (int64_t)s->shmem},
		{"swapCache", "swap cache, not mapped",
		 v2 ? "swapcached outside anon" : "total_swapcached outside total_rss", user,
		 (int64_t)swap_cache_alone(s)},
	};
	const struct memory_line of_v1[] = {
		{"kernel", "kernel memory", "memory.kmem.usage_in_bytes", kernel,
		 (int64_t)s->kernel},
	};
	const struct memory_line of_v2[] = {
		{"hugePages", "huge pages", "hugetlb", user, (int64_t)s->hugetlb_inside},
		{"slabReclaimable", "slab, reclaimable", "slab_reclaimable", kernel,
		 (int64_t)s->slab_reclaimable},
		{"slabUnreclaimable", "slab, unreclaimable", "slab_unreclaimable", kernel,
		 (int64_t)s->slab_unreclaimable},
		{"kernelStack", "kernel stacks", "kernel_stack", kernel, (int64_t)s->kernel_stack},
		{"pageTables", "page tables", "pagetables + sec_pagetables", kernel,
		 (int64_t)(s->page_tables + s->sec_page_tables)},
		{"percpu", "per-CPU data", "percpu", kernel, (int64_t)s->percpu},
		{"vmalloc", "vmalloc", "vmalloc", kernel, (int64_t)s->vmalloc},
		{"zswap", "compressed by zswap", "zswap", user, (int64_t)s->zswap},
		{"kernelOther", "other kernel memory", "kernel - its parts", kernel,
		 (int64_t)less(s->kernel, kernel_parts(s))},
		{"socket", "sockets", "sock", kernel, (int64_t)s->socket},
	};
	size_t n = add(lines, 0, both, ARRAY_SIZE(both));
	int64_t sum = 0;

	_Static_assert(ARRAY_SIZE(both) + ARRAY_SIZE(of_v2) < CGROUP_LINES_MAX, "all fit");
	if (v2)
		n = add(lines, n, of_v2, ARRAY_SIZE(of_v2));
	else
		n = add(lines, n, of_v1, ARRAY_SIZE(of_v1));
	for (size_t i = 0; i < n; i++)
		sum += lines[i].bytes;
	lines[n++] = (struct memory_line){"residual", "reserved ahead",
					  v2 ? "memory.current - all above"
					     : "memory.usage_in_bytes - all above",
					  "not explained", (int64_t)s->usage - sum};
	return n;
}
