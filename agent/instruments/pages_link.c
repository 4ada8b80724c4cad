/* SPDX-License-Identifier: Apache-2.0 */
/* The snapshot's memory cgroups, and who of files and cgroups points to whom. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "instruments/pages_internal.h"

/* Index of the snapshot's file for a slot of the table. */
static size_t file_of(const struct pages_index *files, size_t slot)
{
	uint32_t *i = slot == PAGES_NO_SLOT ? NULL : pages_index_find(files, slot + 1);

	return i ? *i : SIZE_MAX;
}

static void charge_add(struct pages_file *f, size_t memcg, uint64_t bytes)
{
	if ((f->n_charges & (f->n_charges - 1)) == 0)
		f->charges = xreallocarray(f->charges, f->n_charges ? f->n_charges * 2 : 1,
					   sizeof(*f->charges));
	f->charges[f->n_charges].memcg = memcg;
	f->charges[f->n_charges++].bytes = bytes;
}

static int by_bytes_desc(const void *a, const void *b)
{
	const struct pages_charge *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return (x->memcg > y->memcg) - (x->memcg < y->memcg);
}

static void link_charges(struct pages_work *w, struct pages_snapshot *s,
			 const struct pages_index *files, const size_t *memcg_at)
{
	const struct pages_table *t = &w->table;
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);

	for (size_t i = 0; i < s->n_files_kept; i++) {
		const struct pages_entry *e = &t->entries[w->selected[i]];

		charge_add(&s->files[i], memcg_at[e->first], e->first_pages * page_size);
	}
	for (size_t i = 0; i < t->n_share_slots; i++) {
		const struct pages_share *share = &t->shares[i];
		const struct pages_entry *e;
		size_t file;

		if (!share->mapping)
			continue;
		e = pages_table_find(t, share->mapping);
		if (!e || !(e->flags & PAGES_ENTRY_SELECTED))
			continue;
		file = file_of(files, (size_t)(e - t->entries));
		if (file != SIZE_MAX)
			charge_add(&s->files[file], memcg_at[share->memcg],
				   share->pages * page_size);
	}
	for (size_t i = 0; i < s->n_files_kept; i++)
		qsort(s->files[i].charges, s->files[i].n_charges, sizeof(*s->files[i].charges),
		      by_bytes_desc);
}

/* A record and where it was in pages_work. */
struct ranked {
	uint64_t pages;
	size_t i;
};

static int by_rank(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;

	if (x->pages != y->pages)
		return x->pages < y->pages ? 1 : -1;
	return (x->i > y->i) - (x->i < y->i);
}

/* Fills memcg_at[]: index in the snapshot by index in pages_work. */
static void link_memcgs(struct pages_work *w, struct pages_snapshot *s,
			const struct pages_index *files, size_t *memcg_at)
{
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	_cleanup_free_ struct ranked *order = xcalloc(w->n_memcgs, sizeof(*order));
	size_t n = 0;

	for (size_t i = 0; i < w->n_memcgs; i++) {
		memcg_at[i] = SIZE_MAX;
		if (w->memcgs[i].pages == 0)
			continue;
		order[n].pages = w->memcgs[i].pages;
		order[n++].i = i;
	}
	qsort(order, n, sizeof(*order), by_rank);
	s->memcgs = xcalloc(n + 1, sizeof(*s->memcgs));
	s->n_memcgs = n;
	for (size_t i = 0; i < n; i++) {
		struct pages_memcg_rec *from = &w->memcgs[order[i].i];
		struct pages_memcg *to = &s->memcgs[i];

		memcg_at[order[i].i] = i;
		to->id = from->id;
		to->path = take_ptr(from->path);
		to->dying = from->dying;
		to->cached_bytes = from->pages * page_size;
		to->shmem_bytes = from->shmem * page_size;
		to->dirty_bytes = from->dirty * page_size;
		to->top_file = file_of(files, from->file.slot);
		to->top_shmem = file_of(files, from->shmem_file.slot);
	}
}

void pages_link(struct pages_work *w, struct pages_snapshot *s)
{
	_cleanup_free_ size_t *memcg_at = xcalloc(w->n_memcgs, sizeof(*memcg_at));
	struct pages_index files = {NULL, NULL, 0, 0};

	for (size_t i = 0; i < s->n_files_kept; i++)
		pages_index_add(&files, w->selected[i] + 1, (uint32_t)i);
	link_memcgs(w, s, &files, memcg_at);
	link_charges(w, s, &files, memcg_at);
	pages_index_done(&files);
}
