/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/meminfo.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"

enum {
	SAMPLES = 9,
	SAMPLE_GAP_MS =
		5, /* what moves between two files of one sample is another page each time */
};

#define FILE_MAX   \
	((size_t)4 \
	 << 20) /* zoneinfo has about 100 bytes for each zone and CPU: 1,000 CPUs and 16 nodes fit */
#define FIELD(key, member, required)                                  \
	{                                                             \
		key, offsetof(struct meminfo, member), 1024, required \
	}

/* "kB" in meminfo means KiB. */
static const struct keyvalue_field fields[] = {
	FIELD("MemTotal", total, true),
	FIELD("MemFree", free, true),
	FIELD("MemAvailable", available, true),
	FIELD("Buffers", buffers, true),
	FIELD("Cached", cached, true),
	FIELD("SwapCached", swap_cached, false),
	FIELD("Active(file)", active_file, false),
	FIELD("Inactive(file)", inactive_file, false),
	FIELD("Dirty", dirty, false),
	FIELD("Writeback", writeback, false),
	FIELD("AnonPages", anon_pages, true),
	FIELD("AnonHugePages", anon_huge_pages, false),
	FIELD("Shmem", shmem, true),
	FIELD("KReclaimable", k_reclaimable, false), /* since 4.20 */
	FIELD("Slab", slab, true),
	FIELD("SReclaimable", s_reclaimable, true),
	FIELD("SUnreclaim", s_unreclaim, true),
	FIELD("KernelStack", kernel_stack, false),
	FIELD("PageTables", page_tables, true),
	FIELD("SecPageTables", sec_page_tables, false), /* since 6.1 */
	FIELD("Percpu", percpu, false),
	FIELD("VmallocUsed", vmalloc_used, false),
	FIELD("Hugetlb", hugetlb, false),
	FIELD("Bounce", bounce, false),
	FIELD("WritebackTmp", writeback_tmp, false),
	FIELD("SwapTotal", swap_total, false),
	FIELD("SwapFree", swap_free, false),
	FIELD("Zswap", zswap, false), /* since 5.19 */
	FIELD("Zswapped", zswapped, false),
	FIELD("Balloon", balloon, false), /* since 6.16 */
};

void meminfo_parse(const char *text, struct meminfo *info, struct parse_notes *notes)
{
	keyvalue_parse(text, "meminfo", fields, ARRAY_SIZE(fields), info, NULL, notes);
}

/* The number behind the n-th occurrence of key in text; the caller moves on with *ret_next. */
static bool next_number(const char *text, const char *key, const char **ret_next, uint64_t *ret)
{
	const char *at = strstr(text, key);
	char digits[24] = "";
	size_t n;

	if (!at)
		return false;
	at += strlen(key);
	at += strspn(at, " ");
	n = strspn(at, "0123456789");
	*ret_next = at + n;
	if (n < sizeof(digits))
		memcpy(digits, at, n);
	if (num_u64(digits, 0, UINT64_MAX, ret) < 0)
		*ret = UINT64_MAX;
	return true;
}

/* The sum of all numbers behind key, in bytes; one that can't be is noted and left out. */
static uint64_t sum_pages(const char *text, const char *key, const char *file, const char *what,
			  uint64_t page_size, struct parse_notes *notes)
{
	const uint64_t most = KEYVALUE_MAX / page_size;
	uint64_t pages = 0, v;

	while (next_number(text, key, &text, &v)) {
		if (v > most - pages)
			parse_note(notes, file, what, "not a number, or too large");
		else
			pages += v;
	}
	return pages * page_size;
}

uint64_t meminfo_parse_pcp(const char *zoneinfo, uint64_t page_size, struct parse_notes *notes)
{
	/* Each zone has a block "cpu: 0 / count: 5 / high: …" for each CPU. */
	return sum_pages(zoneinfo, " count:", "zoneinfo", "count", page_size, notes);
}

uint64_t meminfo_parse_sockets(const char *sockstat, uint64_t page_size, struct parse_notes *notes)
{
	/* "TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 2", "UDP: inuse 2 mem 1" */
	return sum_pages(sockstat, " mem ", "sockstat", "mem", page_size, notes);
}

int meminfo_read(const struct root *proc, struct meminfo *ret, struct parse_notes *notes,
		 struct err *err)
{
	static const struct keyvalue_field vmstat[] = {
		{"nr_zspages", offsetof(struct meminfo, zspages), 1, false},
	};
	const uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	_cleanup_buf_ struct buf meminfo = BUF_INIT(FILE_MAX), zoneinfo = BUF_INIT(FILE_MAX),
				 vm = BUF_INIT(FILE_MAX), sockets = BUF_INIT(FILE_MAX);
	int r;

	/* The per-CPU lists first: they and MemFree move most, and against each other. */
	r = root_read(proc, "zoneinfo", &zoneinfo, err);
	if (r == 0)
		r = root_read(proc, "meminfo", &meminfo, err);
	if (r == 0)
		r = root_read(proc, "vmstat", &vm, err);
	if (r < 0)
		return r;
	memset(ret, 0, sizeof(*ret));
	meminfo_parse(meminfo.data ? meminfo.data : "", ret, notes);
	keyvalue_parse(vm.data ? vm.data : "", "vmstat", vmstat, ARRAY_SIZE(vmstat), ret, NULL,
		       notes);
	ret->zspages *= page_size;
	ret->pcp = meminfo_parse_pcp(zoneinfo.data ? zoneinfo.data : "", page_size, notes);
	/* Of this network namespace only; it is no part of the sum. */
	if (root_read(proc, "net/sockstat", &sockets, NULL) == 0 && sockets.data)
		ret->socket = meminfo_parse_sockets(sockets.data, page_size, notes);
	return 0;
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
		{"swapCache", "swap cache", "SwapCached", user, (int64_t)m->swap_cached},
		{"compressed", "compressed (zswap, zram)", "nr_zspages", user, (int64_t)m->zspages},
		{"pageCache", "page cache", "Cached + Buffers - Shmem", files,
		 (int64_t)m->cached + (int64_t)m->buffers - (int64_t)m->shmem},
		{"writebackTmp", "FUSE writeback", "WritebackTmp", files,
		 (int64_t)m->writeback_tmp},
		{"slabReclaimable", "slab, reclaimable", "SReclaimable", kernel,
		 (int64_t)m->s_reclaimable},
		{"slabUnreclaimable", "slab, unreclaimable", "SUnreclaim", kernel,
		 (int64_t)m->s_unreclaim},
		{"miscReclaimable", "other reclaimable", "KReclaimable - SReclaimable", kernel,
		 m->k_reclaimable > m->s_reclaimable
			 ? (int64_t)(m->k_reclaimable - m->s_reclaimable)
			 : 0},
		{"kernelStack", "kernel stacks", "KernelStack", kernel, (int64_t)m->kernel_stack},
		{"vmalloc", "vmalloc", stacks_inside ? "VmallocUsed - KernelStack" : "VmallocUsed",
		 kernel, (int64_t)(m->vmalloc_used - (stacks_inside ? m->kernel_stack : 0))},
		{"pageTables", "page tables", "PageTables + SecPageTables", kernel,
		 (int64_t)(m->page_tables + m->sec_page_tables)},
		{"percpu", "per-CPU data", "Percpu", kernel, (int64_t)m->percpu},
		{"bounce", "bounce buffers", "Bounce", kernel, (int64_t)m->bounce},
	};
	int64_t sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		lines[i] = all[i];
		sum += all[i].bytes;
	}
	lines[ARRAY_SIZE(all)] = (struct memory_line){"residual", "drivers, GPU, NIC, leaks",
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

/* How many of the residuals come before residuals[k] in ascending order. */
static size_t rank_of(const int64_t *residuals, size_t n, size_t k)
{
	size_t rank = 0;

	for (size_t i = 0; i < n; i++)
		rank += residuals[i] < residuals[k] || (residuals[i] == residuals[k] && i < k);
	return rank;
}

size_t meminfo_choose(const int64_t *residuals, size_t n)
{
	size_t k = 0, negative = 0, rank;

	for (size_t i = 0; i < n; i++)
		negative += residuals[i] < 0;
	/* Memory is not less than nothing: below zero it is a sample of two different moments. */
	rank = n / 4 > negative ? n / 4 : negative;
	if (rank >= n)
		rank = n - 1;
	while (rank_of(residuals, n, k) != rank)
		k++;
	return k;
}

int meminfo_sample(const struct root *proc, struct meminfo *ret, struct parse_notes *notes,
		   struct err *err)
{
	const struct timespec gap = {0, SAMPLE_GAP_MS * 1000000L};
	struct meminfo samples[SAMPLES];
	int64_t residuals[SAMPLES];

	for (int i = 0; i < SAMPLES; i++) {
		int r = meminfo_read(proc, &samples[i], i == 0 ? notes : NULL, err);

		if (r < 0)
			return r;
		residuals[i] = meminfo_residual(&samples[i]);
		if (i + 1 < SAMPLES)
			(void)nanosleep(&gap, NULL);
	}
	*ret = samples[meminfo_choose(residuals, SAMPLES)];
	return 0;
}
