/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/kernel_sites.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

/* A site's growth counts as such above this: below is the coming and going of any kernel. */
#define GROWTH_MIN (1 << 20)

/* Pages of processes, files and slab: other lines and checks. A module's allocations are its own wherever it is. */
static bool is_told_elsewhere(const struct alloc_site *site)
{
	return !site->module &&
	       (strncmp(site->where, "mm/", 3) == 0 || strncmp(site->where, "fs/", 3) == 0);
}

static int by_growth(const void *pa, const void *pb)
{
	const struct kernel_site *a = pa, *b = pb;
	int64_t ga = a->grown >= GROWTH_MIN ? a->grown : 0,
		gb = b->grown >= GROWTH_MIN ? b->grown : 0;

	if (ga != gb)
		return ga > gb ? -1 : 1;
	if (a->site->bytes != b->site->bytes)
		return a->site->bytes > b->site->bytes ? -1 : 1;
	return strcmp(a->site->where, b->site->where);
}

void kernel_sites_choose(const struct allocinfo *now, const struct allocinfo *before,
			 struct kernel_sites *ret)
{
	_cleanup_free_ struct kernel_site *all = xcalloc(now->n + 1, sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; i < now->n; i++) {
		const struct alloc_site *old = allocinfo_find(before, &now->sites[i]);

		if (is_told_elsewhere(&now->sites[i]))
			continue;
		all[n].site = &now->sites[i];
		if (before)
			all[n].grown =
				(int64_t)now->sites[i].bytes - (old ? (int64_t)old->bytes : 0);
		n++;
	}
	if (n > 1)
		qsort(all, n, sizeof(*all), by_growth);
	ret->n = n < KERNEL_SITES_MAX ? n : KERNEL_SITES_MAX;
	memcpy(ret->items, all, ret->n * sizeof(*all));
}

void kernel_sites_add(const struct kernel_sites *sites, size_t top, cJSON *list)
{
	for (size_t i = 0; i < sites->n && i < top; i++) {
		const struct alloc_site *site = sites->items[i].site;
		_cleanup_free_ char *where = text_plain(site->where, strlen(site->where));
		_cleanup_free_ char *function = text_plain(site->function, strlen(site->function));
		cJSON *row = tree_push_object(list);

		text_shorten_middle(where, 256);
		tree_add_u64(row, "bytes", site->bytes);
		tree_add_int(row, "growthBytes", sites->items[i].grown);
		tree_add_u64(row, "count", site->calls);
		tree_add_str(row, "where", where);
		tree_add_text(row, "function", function, 128);
		if (site->module)
			tree_add_text(row, "module", site->module, 64);
	}
}
