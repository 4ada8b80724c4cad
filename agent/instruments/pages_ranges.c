/* SPDX-License-Identifier: Apache-2.0 */
/* Which page frames there are, and what the kernel itself counts. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../bpf/pages.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/num.h"
#include "instruments/pages_internal.h"

#define RANGES_MAX 65536

struct ranges {
	struct pages_range *v;
	size_t n;
};

/* Widened to whole chunks: struct page is there (and says "no file") for the few frames beside the range as well. */
static void ranges_add(struct ranges *r, uint64_t start, uint64_t end)
{
	if (end <= start || end > UINT64_MAX - PAGES_CHUNK || r->n >= RANGES_MAX)
		return;
	if ((r->n & (r->n - 1)) == 0)
		r->v = xreallocarray(r->v, r->n ? r->n * 2 : 1, sizeof(*r->v));
	r->v[r->n].start = start / PAGES_CHUNK * PAGES_CHUNK;
	r->v[r->n].end = (end + PAGES_CHUNK - 1) / PAGES_CHUNK * PAGES_CHUNK;
	r->n++;
}

static int by_start(const void *a, const void *b)
{
	const struct pages_range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static size_t ranges_merge(struct ranges *r)
{
	size_t out = 0;

	if (r->n == 0)
		return 0;
	qsort(r->v, r->n, sizeof(*r->v), by_start);
	for (size_t i = 1; i < r->n; i++) {
		if (r->v[i].start > r->v[out].end)
			r->v[++out] = r->v[i];
		else if (r->v[i].end > r->v[out].end)
			r->v[out].end = r->v[i].end;
	}
	return out + 1;
}

/* "  100000000-63fffffff : System RAM", at any depth: hotplugged memory sits below its device. */
static bool iomem_line(const char *line, uint64_t *first, uint64_t *last)
{
	size_t n;

	line += strspn(line, " ");
	n = strspn(line, "0123456789abcdef");
	if (num_hex(line, n, first) < 0 || line[n] != '-')
		return false;
	line += n + 1;
	n = strspn(line, "0123456789abcdef");
	if (num_hex(line, n, last) < 0)
		return false;
	return strncmp(line + n, " : System RAM", strlen(" : System RAM")) == 0;
}

size_t pages_ranges_iomem(const char *text, uint64_t page_size, struct pages_range **ret)
{
	struct ranges r = {NULL, 0};
	uint64_t first, last;

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		/* Without the privilege every address reads 0. */
		if (iomem_line(line, &first, &last) && last > 0)
			ranges_add(&r, (first + page_size - 1) / page_size, (last + 1) / page_size);
	}
	*ret = r.v;
	return ranges_merge(&r);
}

/* The number after a label at the beginning of the line, such as "spanned  4095" or "start_pfn: 1". */
static bool labelled(const char *line, const char *label, uint64_t *ret)
{
	char digits[24];
	size_t n;

	line += strspn(line, " ");
	if (strncmp(line, label, strlen(label)) != 0)
		return false;
	line += strlen(label);
	line += strspn(line, " ");
	n = strspn(line, "0123456789");
	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, line, n);
	digits[n] = '\0';
	return num_u64(digits, 0, UINT64_MAX, ret) == 0;
}

size_t pages_ranges_zoneinfo(const char *text, struct pages_range **ret)
{
	struct ranges r = {NULL, 0};
	uint64_t spanned = 0, start;

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, "Node ", strlen("Node ")) == 0)
			spanned = 0;
		(void)labelled(line, "spanned ", &spanned);
		if (labelled(line, "start_pfn:", &start))
			ranges_add(&r, start, start + spanned);
	}
	*ret = r.v;
	return ranges_merge(&r);
}

int pages_ranges_read(const struct root *proc, struct pages_range **ret, size_t *ret_n,
		      struct err *err)
{
	_cleanup_buf_ struct buf iomem = BUF_INIT(ROOT_FILE_MAX);
	_cleanup_buf_ struct buf zoneinfo = BUF_INIT(ROOT_FILE_MAX);
	_cleanup_free_ struct pages_range *ranges = NULL;
	size_t n = 0;
	int r;

	if (root_read(proc, "iomem", &iomem, NULL) == 0)
		n = pages_ranges_iomem(iomem.data, (uint64_t)sysconf(_SC_PAGESIZE), &ranges);
	if (n == 0) {
		free(take_ptr(ranges));
		r = root_read(proc, "zoneinfo", &zoneinfo, err);
		if (r < 0)
			return r;
		n = pages_ranges_zoneinfo(zoneinfo.data, &ranges);
	}
	if (n == 0)
		return err_say(err, EIO,
			       "neither %s/iomem nor %s/zoneinfo says what memory there is",
			       proc->path, proc->path);
	*ret = take_ptr(ranges);
	*ret_n = n;
	return 0;
}

static bool find_line(const char *text, const char *label, uint64_t *ret)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (labelled(line, label, ret))
			return true;
	}
	return false;
}

/*
 * Pages that the kernel has moved since it booted: migrated (compaction, NUMA balancing, CMA) or made one with others by
 * khugepaged, which since 7.x does that to files that are written too.
 */
static uint64_t moved_pages(const char *vmstat)
{
	const uint64_t huge = (uint64_t)sysconf(_SC_PAGESIZE) / 8; /* entries of one page table */
	uint64_t migrated = 0, collapsed = 0;

	(void)find_line(vmstat, "pgmigrate_success ", &migrated);
	(void)find_line(vmstat, "thp_collapse_alloc ", &collapsed);
	return migrated + collapsed * huge;
}

int pages_vmstat_read(const struct root *proc, struct pages_vmstat *ret, struct err *err)
{
	_cleanup_buf_ struct buf vmstat = BUF_INIT(ROOT_FILE_MAX);
	_cleanup_buf_ struct buf meminfo = BUF_INIT(ROOT_FILE_MAX);
	uint64_t pages, swap = 0;
	int r = root_read(proc, "vmstat", &vmstat, err);

	if (r < 0)
		return r;
	if (!find_line(vmstat.data, "nr_file_pages ", &pages))
		return err_say(err, EIO, "%s/vmstat has no nr_file_pages", proc->path);
	/* nr_swapcached is in vmstat since 5.12 (b6038942480e); meminfo always had it. */
	if (!find_line(vmstat.data, "nr_swapcached ", &swap) &&
	    root_read(proc, "meminfo", &meminfo, NULL) == 0 &&
	    find_line(meminfo.data, "SwapCached:", &swap))
		swap = swap * 1024 / (uint64_t)sysconf(_SC_PAGESIZE);
	ret->file_pages = pages > swap ? pages - swap : 0;
	ret->moved_pages = moved_pages(vmstat.data);
	return 0;
}
