/* SPDX-License-Identifier: Apache-2.0 */
/* What was counted becomes totals, and a short list of files that are worth a name. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../bpf/pages.h"
#include "pages.skel.h"

#include "base/mem.h"
#include "instruments/pages_internal.h"

/* --- which mappings are files ----------------------------------------------------------------------------------------- */

static void classify(struct pages_work *w, struct pages_entry *e, const struct pages_check *c)
{
	const struct pages_super_rec *sb;

	e->flags &= PAGES_ENTRY_SHARED;
	if (!(c->flags & PAGES_CHECK_VALID))
		return;
	e->sb = (uint16_t)pages_super_index(w, c->sb);
	sb = &w->supers[e->sb];
	/* In no counter of the kernel's page cache. */
	if (sb->hugetlb)
		return;
	e->flags |= PAGES_ENTRY_VALID;
	if (c->flags & PAGES_CHECK_DENTRY)
		e->flags |= PAGES_ENTRY_DENTRY;
	if (sb->kind == PAGES_SHMEM)
		e->flags |= PAGES_ENTRY_SHMEM;
	else if (sb->kind == PAGES_BDEV)
		e->flags |= PAGES_ENTRY_BDEV;
}

static int check_batch(struct pages_work *w, const size_t *slots, uint32_t n)
{
	struct pages_bpf__bss *bss = w->kernel.skel->bss;
	int64_t ns;

	if (n == 0)
		return 0;
	for (uint32_t i = 0; i < n; i++)
		bss->checks[i].mapping = w->table.entries[slots[i]].mapping;
	bss->n_checks = n;
	ns = pages_kernel_run(&w->kernel, PAGES_PROGRAM_CHECK);
	if (ns < 0)
		return (int)ns;
	for (uint32_t i = 0; i < n; i++)
		classify(w, &w->table.entries[slots[i]], &bss->checks[i]);
	return 0;
}

static int check_all(struct pages_work *w)
{
	size_t slots[PAGES_BATCH];
	uint32_t n = 0;
	int r;

	for (size_t i = 0; i < w->table.n_slots; i++) {
		if (!w->table.entries[i].mapping)
			continue;
		slots[n++] = i;
		if (n < PAGES_BATCH)
			continue;
		r = check_batch(w, slots, n);
		if (r < 0)
			return r;
		n = 0;
	}
	return check_batch(w, slots, n);
}

/* --- the largest ------------------------------------------------------------------------------------------------------ */

/* The n largest seen: a heap whose root is the smallest of them. */
struct largest {
	struct pages_best *v;
	size_t n, max;
};

static void sift_down(struct largest *l, size_t i)
{
	for (;;) {
		size_t child = 2 * i + 1;
		struct pages_best t;

		if (child >= l->n)
			return;
		if (child + 1 < l->n && l->v[child + 1].pages < l->v[child].pages)
			child++;
		if (l->v[i].pages <= l->v[child].pages)
			return;
		t = l->v[i];
		l->v[i] = l->v[child];
		l->v[child] = t;
		i = child;
	}
}

static void largest_offer(struct largest *l, size_t slot, uint64_t pages)
{
	if (l->n < l->max) {
		l->v[l->n].slot = slot;
		l->v[l->n++].pages = pages;
		if (l->n == l->max)
			for (size_t i = l->max / 2; i-- > 0;)
				sift_down(l, i);
		return;
	}
	if (pages <= l->v[0].pages)
		return;
	l->v[0].slot = slot;
	l->v[0].pages = pages;
	sift_down(l, 0);
}

static void better(struct pages_best *best, size_t slot, uint64_t pages)
{
	if (best->slot == PAGES_NO_SLOT || pages > best->pages) {
		best->slot = slot;
		best->pages = pages;
	}
}

/* --- totals ----------------------------------------------------------------------------------------------------------- */

/* One cgroup's share of one file. */
static void count_share(struct pages_work *w, size_t slot, uint32_t memcg, uint64_t pages,
			uint64_t dirty)
{
	struct pages_memcg_rec *m = &w->memcgs[memcg];

	m->pages += pages;
	if (w->table.entries[slot].flags & PAGES_ENTRY_SHMEM) {
		m->shmem += pages;
		better(&m->shmem_file, slot, pages);
	} else {
		m->dirty += dirty;
		better(&m->file, slot, pages);
	}
}

static void count_file(struct pages_work *w, struct pages_snapshot *s, size_t slot)
{
	const struct pages_entry *e = &w->table.entries[slot];

	s->n_files++;
	s->total_bytes += e->pages;
	if (e->flags & PAGES_ENTRY_SHMEM)
		s->shmem_bytes += e->pages;
	else
		s->dirty_bytes += e->dirty;
	if (e->flags & PAGES_ENTRY_BDEV) {
		s->bdev_bytes += e->pages;
	} else if (!(e->flags & PAGES_ENTRY_DENTRY)) {
		s->unresolved_bytes += e->pages;
		s->unresolved_files++;
		if (e->flags & PAGES_ENTRY_SHMEM)
			s->shmem_unresolved_bytes += e->pages;
	}
	count_share(w, slot, e->first, e->first_pages, e->first_dirty);
}

static void count_shares(struct pages_work *w)
{
	const struct pages_table *t = &w->table;

	for (size_t i = 0; i < t->n_share_slots; i++) {
		const struct pages_share *share = &t->shares[i];
		const struct pages_entry *e;

		if (!share->mapping)
			continue;
		e = pages_table_find(t, share->mapping);
		if (e && e->flags & PAGES_ENTRY_VALID)
			count_share(w, (size_t)(e - t->entries), share->memcg, share->pages,
				    share->dirty);
	}
}

static void count_memcgs(struct pages_work *w, struct pages_snapshot *s)
{
	for (size_t i = 0; i < w->n_memcgs; i++) {
		struct pages_memcg_rec *m = &w->memcgs[i];

		m->pages += m->unnamed;
		s->unnamed_bytes += m->unnamed;
		s->total_bytes += m->unnamed;
	}
}

/* --- choosing ---------------------------------------------------------------------------------------------------------- */

static void choose(struct pages_work *w, size_t slot)
{
	struct pages_entry *e;

	if (slot == PAGES_NO_SLOT)
		return;
	e = &w->table.entries[slot];
	if (e->flags & PAGES_ENTRY_SELECTED)
		return;
	e->flags |= PAGES_ENTRY_SELECTED;
	if ((w->n_selected & (w->n_selected - 1)) == 0)
		w->selected = xreallocarray(w->selected, w->n_selected ? w->n_selected * 2 : 1,
					    sizeof(*w->selected));
	w->selected[w->n_selected++] = slot;
}

static void choose_all(struct pages_work *w, const struct largest *l)
{
	for (size_t i = 0; i < l->n; i++)
		choose(w, l->v[i].slot);
}

/* The largest file and shared memory of the largest memory cgroups. */
static void choose_of_memcgs(struct pages_work *w)
{
	struct largest l = {NULL, 0, 4 * w->opts->top};

	l.v = xcalloc(l.max, sizeof(*l.v));
	for (size_t i = 0; i < w->n_memcgs; i++)
		if (w->memcgs[i].pages > 0)
			largest_offer(&l, i, w->memcgs[i].pages);
	for (size_t i = 0; i < l.n; i++) {
		choose(w, w->memcgs[l.v[i].slot].file.slot);
		choose(w, w->memcgs[l.v[i].slot].shmem_file.slot);
	}
	free(l.v);
}

static void to_bytes(struct pages_snapshot *s)
{
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);

	s->total_bytes *= page_size;
	s->shmem_bytes *= page_size;
	s->bdev_bytes *= page_size;
	s->dirty_bytes *= page_size;
	s->unresolved_bytes *= page_size;
	s->shmem_unresolved_bytes *= page_size;
	s->unnamed_bytes *= page_size;
}

int pages_select(struct pages_work *w, struct pages_snapshot *s, struct err *err)
{
	struct largest all = {NULL, 0, w->opts->top}, shmem = {NULL, 0, w->opts->top};
	int r = check_all(w);

	if (r < 0)
		return err_set(err, -r, "cannot run the check of mappings");
	all.v = xcalloc(all.max, sizeof(*all.v));
	shmem.v = xcalloc(shmem.max, sizeof(*shmem.v));
	for (size_t i = 0; i < w->table.n_slots; i++) {
		const struct pages_entry *e = &w->table.entries[i];

		if (!(e->flags & PAGES_ENTRY_VALID)) {
			if (!w->supers[e->sb].hugetlb)
				s->invalid_pages += e->pages;
			continue;
		}
		count_file(w, s, i);
		largest_offer(&all, i, e->pages);
		if (e->flags & PAGES_ENTRY_SHMEM)
			largest_offer(&shmem, i, e->pages);
	}
	count_shares(w);
	count_memcgs(w, s);
	choose_all(w, &all);
	choose_all(w, &shmem);
	choose_of_memcgs(w);
	free(all.v);
	free(shmem.v);
	to_bytes(s);
	return 0;
}
