/* SPDX-License-Identifier: Apache-2.0 */
/* Owners of kernel memory: joining what user space and the pages tell. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "checks/kernel_memory.h"

/* Less than this of a cgroup is not told as a row of its own. */
#define CHARGED_MIN (1ULL << 20)

static bool same(const struct kmem_owner *a, const struct kmem_owner *b)
{
	return a->kind == b->kind && a->line == b->line && a->pid == b->pid &&
	       a->certainty == b->certainty && strcmp(a->what, b->what) == 0;
}

static int by_key(const void *pa, const void *pb)
{
	const struct kmem_owner *a = *(const struct kmem_owner *const *)pa,
				*b = *(const struct kmem_owner *const *)pb;

	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	return strcmp(a->what, b->what);
}

/* The row that is the same; NULL: there was none. */
static const struct kmem_owner *find(const struct kmem_owner **sorted, size_t n,
				     const struct kmem_owner *row)
{
	size_t from = 0, to = n;

	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (by_key(&sorted[mid], &row) < 0)
			from = mid + 1;
		else
			to = mid;
	}
	for (; from < n && by_key(&sorted[from], &row) == 0; from++)
		if (same(sorted[from], row))
			return sorted[from];
	return NULL;
}

struct kernel_owners kernel_owners_join(const struct kmem_owners *now,
					const struct kmem_owners *before)
{
	struct kernel_owners owners = {.n = now->n};
	size_t n = before ? before->n : 0;
	_cleanup_free_ const struct kmem_owner **sorted = xcalloc(n + 1, sizeof(*sorted));

	owners.items = xcalloc(now->n + 1, sizeof(*owners.items));
	for (size_t i = 0; i < n; i++)
		sorted[i] = &before->items[i];
	if (n > 1)
		qsort(sorted, n, sizeof(*sorted), by_key);
	for (size_t i = 0; i < now->n; i++) {
		const struct kmem_owner *old = find(sorted, n, &now->items[i]);

		owners.items[i].row = now->items[i];
		owners.items[i].read_once = !before || now->items[i].kind == KMEM_VMALLOC;
		if (!owners.items[i].read_once)
			owners.items[i].grown =
				(int64_t)now->items[i].bytes - (old ? (int64_t)old->bytes : 0);
	}
	return owners;
}

/* Kinds whose pages are charged to a memory cgroup (GFP_KERNEL_ACCOUNT). TCP's are on v2 only, by a counter of their own. */
static bool is_charged(const struct kernel_owner *owner)
{
	switch (owner->row.kind) {
	case KMEM_PIPE:
	case KMEM_UNIX:
	case KMEM_IO_URING:
	case KMEM_BPF_PROG:
		return !owner->charged;
	case KMEM_BPF_MAP:
		return !owner->charged &&
		       (owner->row.line == KMEM_IN_RESIDUAL || owner->row.line == KMEM_IN_VMALLOC);
	default:
		return false;
	}
}

static struct kernel_owner *append(struct kernel_owners *owners)
{
	struct kernel_owner *row;

	owners->items = xreallocarray(owners->items, owners->n + 1, sizeof(*owners->items));
	row = &owners->items[owners->n++];
	memset(row, 0, sizeof(*row));
	row->row.line = KMEM_IN_RESIDUAL;
	row->read_once = true;
	return row;
}

/* A row that pages tell of a memory cgroup. */
static struct kernel_owner *append_memcg(struct kernel_owners *owners,
					 const struct kernel_pages_memcg *memcg, uint64_t bytes)
{
	struct kernel_owner *row = append(owners);

	row->row.bytes = bytes;
	row->whose.cgroup = memcg->path && memcg->id ? xstrdup(memcg->path) : NULL;
	row->whose.cgroup_id = memcg->id;
	row->whose.dying = memcg->dying;
	return row;
}

void kernel_owners_add_pages(struct kernel_owners *owners,
			     const struct kernel_pages_snapshot *pages)
{
	size_t n = owners->n;
	uint64_t pools = 0;

	for (size_t i = 0; i < n; i++)
		pools += owners->items[i].row.kind == KMEM_PAGE_POOL ? owners->items[i].row.bytes
								     : 0;
	if (pages->bytes[KERNEL_PAGES_PAGE_POOL] > pools + CHARGED_MIN) {
		struct kernel_owner *row = append(owners);

		row->row.kind = KMEM_PAGE_POOL;
		row->row.bytes = pages->bytes[KERNEL_PAGES_PAGE_POOL] - pools;
		(void)snprintf(row->row.what, sizeof(row->row.what), "devices unknown");
	}
	for (size_t i = 0; i < pages->n_memcgs; i++) {
		const struct kernel_pages_memcg *memcg = &pages->memcgs[i];
		uint64_t known = 0;
		struct kernel_owner *row;

		for (size_t k = 0; k < n; k++)
			if (is_charged(&owners->items[k]) && memcg->id != 0 &&
			    owners->items[k].whose.cgroup_id == memcg->id)
				known += owners->items[k].row.bytes;
		if (memcg->unmapped_bytes > CHARGED_MIN)
			append_memcg(owners, memcg, memcg->unmapped_bytes)->row.kind =
				KMEM_HUGE_REMAINS;
		if (memcg->bytes <= known + CHARGED_MIN)
			continue;
		row = append_memcg(owners, memcg, memcg->bytes - known);
		row->charged = true;
		row->row.certainty = KMEM_AT_MOST;
	}
}

static int by_bytes(const void *pa, const void *pb)
{
	const struct kernel_owner *a = pa, *b = pb;

	if (a->row.bytes != b->row.bytes)
		return a->row.bytes > b->row.bytes ? -1 : 1;
	if (a->row.kind != b->row.kind)
		return a->row.kind < b->row.kind ? -1 : 1;
	if (a->row.pid != b->row.pid)
		return a->row.pid < b->row.pid ? -1 : 1;
	return strcmp(a->row.what, b->row.what);
}

void kernel_owners_sort(struct kernel_owners *owners)
{
	if (owners->n > 1)
		qsort(owners->items, owners->n, sizeof(*owners->items), by_bytes);
}

void kernel_owners_done(struct kernel_owners *owners)
{
	for (size_t i = 0; i < owners->n; i++)
		owner_done(&owners->items[i].whose);
	free(owners->items);
	memset(owners, 0, sizeof(*owners));
}
