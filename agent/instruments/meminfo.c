/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/meminfo.h"

#include <errno.h>
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
	FIELD("Active(anon)", active_anon, false),
	FIELD("Inactive(anon)", inactive_anon, false),
	FIELD("Active(file)", active_file, false),
	FIELD("Inactive(file)", inactive_file, false),
	FIELD("Mlocked", mlocked, false),
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
	FIELD("Balloon", balloon, false),      /* since 6.16 */
	FIELD("GPUActive", gpu_active, false), /* both: newer than 6.18 */
	FIELD("GPUReclaim", gpu_reclaim, false),
	FIELD("HardwareCorrupted", hw_poison, false),
	FIELD("Hugepagesize", huge_page_size, false),
	{"HugePages_Free", offsetof(struct meminfo, huge_free), 1, false},
	{"HugePages_Rsvd", offsetof(struct meminfo, huge_reserved), 1, false},
};

void meminfo_parse(const char *text, struct meminfo *info, struct parse_notes *notes)
{
	keyvalue_parse(text, "meminfo", fields, ARRAY_SIZE(fields), info, NULL, notes);
}

/* The number behind a key, up to a blank or the line's end: without it the file may have been cut in its middle. */
static int number_at(const char *s, uint64_t *ret)
{
	size_t skip = strspn(s, " "), n = strspn(s + skip, "0123456789");
	char digits[24] = "";

	if (n == 0 || (s[skip + n] != ' ' && s[skip + n] != '\n'))
		return -EINVAL;
	if (n >= sizeof(digits))
		return -ERANGE;
	memcpy(digits, s + skip, n);
	return num_u64(digits, 0, UINT64_MAX, ret);
}

/* The sum of all numbers behind key, in bytes; a line whose number can't be added is noted and left out. */
static uint64_t sum_pages(const char *text, const char *key, const char *file, uint64_t page_size,
			  uint64_t *ret_n, struct parse_notes *notes)
{
	const uint64_t most = KEYVALUE_MAX / page_size;
	uint64_t pages = 0, v, n = 0;

	for (const char *at = text; (at = strstr(at, key)); at += strlen(key)) {
		const char *line = at;
		int r = number_at(at + strlen(key), &v);

		while (line > text && line[-1] != '\n')
			line--;
		line += strspn(line, " ");
		n++;
		if (r == -EINVAL)
			parse_note(notes, file, line, "not a number");
		else if (r < 0 || v > most - pages)
			parse_note(notes, file, line, "too large");
		else
			pages += v;
	}
	*ret_n = n;
	return pages * page_size;
}

uint64_t meminfo_parse_pcp(const char *zoneinfo, uint64_t page_size, struct parse_notes *notes)
{
	/* Each zone has a block "cpu: 0 / count: 5 / high: …" for each CPU. */
	uint64_t n, ret = sum_pages(zoneinfo, " count:", "zoneinfo", page_size, &n, notes);

	if (n == 0)
		parse_note(notes, "zoneinfo", "count", "is missing");
	return ret;
}

uint64_t meminfo_parse_sockets(const char *sockstat, uint64_t page_size, struct parse_notes *notes)
{
	/* "TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 2", "UDP: inuse 2 mem 1" */
	uint64_t n;

	return sum_pages(sockstat, " mem ", "sockstat", page_size, &n, notes);
}

void meminfo_parse_vmstat(const char *text, uint64_t page_size, struct meminfo *info,
			  struct parse_notes *notes)
{
	const struct keyvalue_field vm_fields[] = {
		{"nr_zspages", offsetof(struct meminfo, zspages), page_size, false},
		{"nr_memmap_pages", offsetof(struct meminfo, memmap), page_size, false}, /* 6.11 */
	};

	keyvalue_parse(text, "vmstat", vm_fields, ARRAY_SIZE(vm_fields), info, NULL, notes);
}

/* A file without which there is still something to say: its absence is noted. */
static const char *read_optional(const struct root *proc, const char *rel, struct buf *text,
				 struct parse_notes *notes)
{
	if (root_read(proc, rel, text, NULL) < 0 || !text->data) {
		parse_note(notes, rel, "file", "cannot be read");
		return NULL;
	}
	return text->data;
}

int meminfo_read(const struct root *proc, struct meminfo *ret, struct parse_notes *notes,
		 struct err *err)
{
	const uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	_cleanup_buf_ struct buf meminfo = BUF_INIT(FILE_MAX), zoneinfo = BUF_INIT(FILE_MAX),
				 vm = BUF_INIT(FILE_MAX), sockets = BUF_INIT(FILE_MAX);
	/* The per-CPU lists first: they and MemFree move most, and against each other. */
	const char *zones = read_optional(proc, "zoneinfo", &zoneinfo, notes), *text;
	int r = root_read(proc, "meminfo", &meminfo, err);

	if (r < 0)
		return r;
	memset(ret, 0, sizeof(*ret));
	meminfo_parse(meminfo.data ? meminfo.data : "", ret, notes);
	if (zones)
		ret->pcp = meminfo_parse_pcp(zones, page_size, notes);
	text = read_optional(proc, "vmstat", &vm, notes);
	if (text)
		meminfo_parse_vmstat(text, page_size, ret, notes);
	/* A kernel without a network has none; it is no part of the sum. */
	if (root_read(proc, "net/sockstat", &sockets, NULL) == 0 && sockets.data)
		ret->socket = meminfo_parse_sockets(sockets.data, page_size, notes);
	return 0;
}

/* How many of the residuals come before residuals[k] in ascending order. */
static size_t rank_of(const int64_t *residuals, size_t n, size_t k)
{
	size_t rank = 0;

	for (size_t i = 0; i < n; i++)
		rank += residuals[i] < residuals[k] || (i < k && residuals[i] == residuals[k]);
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
