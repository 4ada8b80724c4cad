/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/kmem_owner.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/cleanup.h"

const char *const kmem_kind_names[KMEM_KINDS] = {
	"packetRing", "tcp",	  "udp",       "unix",	 "perfBuffer",	 "bpfMap",
	"bpfProgram", "ioUring",  "pipe",      "dmaBuf", "drm",		 "nvidia",
	"rdma",	      "pagePool", "hugePages", "memfd",	 "secretMemory", "hugePageRemains",
	"vmalloc",
};
const char *const kmem_line_names[KMEM_LINES] = {
	"residual",  "vmalloc", "percpu",    "slabUnreclaimable",
	"hugePages", "shmem",	"pageCache", "anon",
};
const char *const kmem_certainty_names[] = {"exact", "atLeast", "atMost"};

static int by_key(const void *pa, const void *pb)
{
	const struct kmem_owner *a = pa, *b = pb;

	if (a->kind != b->kind)
		return a->kind < b->kind ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	if (a->certainty != b->certainty)
		return a->certainty < b->certainty ? -1 : 1;
	return strcmp(a->what, b->what);
}

static int by_bytes(const void *pa, const void *pb)
{
	const struct kmem_owner *a = pa, *b = pb;

	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return by_key(pa, pb);
}

static void sum_up(struct kmem_owners *owners)
{
	size_t n = 0;

	if (owners->n < 2)
		return;
	qsort(owners->items, owners->n, sizeof(*owners->items), by_key);
	for (size_t i = 1; i < owners->n; i++) {
		struct kmem_owner *last = &owners->items[n];

		if (by_key(last, &owners->items[i]) == 0) {
			last->bytes += owners->items[i].bytes;
			last->count += owners->items[i].count;
		} else {
			owners->items[++n] = owners->items[i];
		}
	}
	owners->n = n + 1;
}

/* Sizes come from foreign text: none is larger than any memory, so that sums cannot overflow. */
#define BYTES_MAX (1ULL << 46)

void kmem_owners_add(struct kmem_owners *owners, const struct kmem_owner *owner)
{
	struct kmem_owner *row;

	if (owner->bytes == 0)
		return;
	/* Only once: summing up for each row that comes to a full table would be quadratic. */
	if (owners->n == KMEM_MAX_OWNERS && owners->dropped == 0)
		sum_up(owners);
	if (owners->n == KMEM_MAX_OWNERS) {
		owners->dropped++;
		owners->dropped_bytes += owner->bytes < BYTES_MAX ? owner->bytes : BYTES_MAX;
		return;
	}
	if (owners->n == owners->cap) {
		owners->cap = owners->cap ? owners->cap * 2 : 64;
		owners->items = xreallocarray(owners->items, owners->cap, sizeof(*owners->items));
	}
	row = &owners->items[owners->n++];
	*row = *owner;
	if (row->bytes > BYTES_MAX)
		row->bytes = BYTES_MAX;
}

void kmem_owners_merge(struct kmem_owners *owners)
{
	sum_up(owners);
	if (owners->n > 1)
		qsort(owners->items, owners->n, sizeof(*owners->items), by_bytes);
}

void kmem_owners_done(struct kmem_owners *owners)
{
	free(owners->items);
	memset(owners, 0, sizeof(*owners));
}

void kmem_missing_add(struct kmem_missing *missing, const char *fmt, ...)
{
	char text[KMEM_MISSING_BYTES];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < missing->n; i++) {
		if (strcmp(missing->lines[i], text) == 0)
			return;
	}
	if (missing->n == KMEM_MAX_MISSING)
		missing->dropped++;
	else
		memcpy(missing->lines[missing->n++], text, sizeof(text));
}
