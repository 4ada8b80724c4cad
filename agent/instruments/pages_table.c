/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/pages_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/mem.h"

#define SLOTS_MIN ((size_t)1024)

/*
 * Tables are mappings of their own, so that all of their memory goes back at once. Out of memory is fatal, as in
 * base/mem.h.
 */
static void *table_alloc(size_t n, size_t size)
{
	void *p = mmap(NULL, n * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		(void)fprintf(stderr, "memdiag: out of memory (%zu bytes)\n", n * size);
		exit(EXIT_FAILURE);
	}
	return p;
}

static void table_free(void *p, size_t n, size_t size)
{
	if (p)
		(void)munmap(p, n * size);
}

/* Addresses of one slab cache differ in few bits in the middle; the multiplication spreads these to the top. */
static size_t slot_of(uint64_t key, size_t n_slots)
{
	return (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 24) & (n_slots - 1);
}

static bool crowded(size_t n, size_t n_slots)
{
	return n * 3 >= n_slots * 2;
}

void pages_table_init(struct pages_table *t, size_t max)
{
	memset(t, 0, sizeof(*t));
	t->max = max;
}

void pages_table_done(struct pages_table *t)
{
	table_free(t->entries, t->n_slots, sizeof(*t->entries));
	table_free(t->shares, t->n_share_slots, sizeof(*t->shares));
	memset(t, 0, sizeof(*t));
}

static struct pages_entry *entry_slot(const struct pages_table *t, uint64_t mapping)
{
	size_t i = slot_of(mapping, t->n_slots);

	while (t->entries[i].mapping && t->entries[i].mapping != mapping)
		i = (i + 1) & (t->n_slots - 1);
	return &t->entries[i];
}

static struct pages_share *share_slot(const struct pages_table *t, uint64_t mapping, uint32_t memcg)
{
	size_t i = slot_of(mapping ^ memcg * 0xff51afd7ed558ccdULL, t->n_share_slots);

	while (t->shares[i].mapping &&
	       (t->shares[i].mapping != mapping || t->shares[i].memcg != memcg))
		i = (i + 1) & (t->n_share_slots - 1);
	return &t->shares[i];
}

static void grow_entries(struct pages_table *t)
{
	struct pages_entry *old = t->entries;
	size_t n = t->n_slots;

	t->n_slots = n ? n * 2 : SLOTS_MIN;
	t->entries = table_alloc(t->n_slots, sizeof(*old));
	for (size_t i = 0; i < n; i++)
		if (old[i].mapping)
			*entry_slot(t, old[i].mapping) = old[i];
	table_free(old, n, sizeof(*old));
}

static void grow_shares(struct pages_table *t)
{
	struct pages_share *old = t->shares;
	size_t n = t->n_share_slots;

	t->n_share_slots = n ? n * 2 : SLOTS_MIN;
	t->shares = table_alloc(t->n_share_slots, sizeof(*old));
	for (size_t i = 0; i < n; i++)
		if (old[i].mapping)
			*share_slot(t, old[i].mapping, old[i].memcg) = old[i];
	table_free(old, n, sizeof(*old));
}

static bool share_add(struct pages_table *t, uint64_t mapping, uint32_t memcg, uint32_t pages,
		      uint32_t dirty)
{
	struct pages_share *s;

	if (crowded(t->n_shares, t->n_share_slots))
		grow_shares(t);
	s = share_slot(t, mapping, memcg);
	if (!s->mapping) {
		if (t->n_shares >= t->max)
			return false;
		s->mapping = mapping;
		s->memcg = memcg;
		t->n_shares++;
	}
	s->pages += pages;
	s->dirty += dirty;
	return true;
}

bool pages_table_add(struct pages_table *t, uint64_t mapping, uint32_t memcg, uint32_t pages,
		     uint32_t dirty)
{
	struct pages_entry *e;

	if (crowded(t->n_entries, t->n_slots))
		grow_entries(t);
	e = entry_slot(t, mapping);
	if (!e->mapping) {
		if (t->n_entries >= t->max)
			return false;
		e->mapping = mapping;
		e->first = memcg;
		t->n_entries++;
	}
	if (e->first == memcg) {
		e->first_pages += pages;
		e->first_dirty += dirty;
	} else {
		if (!share_add(t, mapping, memcg, pages, dirty))
			return false;
		e->flags |= PAGES_ENTRY_SHARED;
	}
	e->pages += pages;
	e->dirty += dirty;
	return true;
}

struct pages_entry *pages_table_find(const struct pages_table *t, uint64_t mapping)
{
	struct pages_entry *e;

	if (t->n_slots == 0)
		return NULL;
	e = entry_slot(t, mapping);
	return e->mapping ? e : NULL;
}

void pages_table_prefetch(const struct pages_table *t, uint64_t mapping)
{
	if (t->n_slots > 0)
		__builtin_prefetch(&t->entries[slot_of(mapping, t->n_slots)]);
}

static size_t index_slot(const struct pages_index *x, uint64_t key)
{
	size_t i = slot_of(key, x->n_slots);

	while (x->keys[i] && x->keys[i] != key)
		i = (i + 1) & (x->n_slots - 1);
	return i;
}

uint32_t *pages_index_find(const struct pages_index *x, uint64_t key)
{
	size_t i;

	if (x->n_slots == 0)
		return NULL;
	i = index_slot(x, key);
	return x->keys[i] ? &x->values[i] : NULL;
}

void pages_index_add(struct pages_index *x, uint64_t key, uint32_t value)
{
	size_t i;

	if (crowded(x->n_keys, x->n_slots)) {
		struct pages_index old = *x;

		x->n_slots = old.n_slots ? old.n_slots * 2 : 64;
		x->keys = xcalloc(x->n_slots, sizeof(*x->keys));
		x->values = xcalloc(x->n_slots, sizeof(*x->values));
		for (size_t k = 0; k < old.n_slots; k++) {
			if (!old.keys[k])
				continue;
			i = index_slot(x, old.keys[k]);
			x->keys[i] = old.keys[k];
			x->values[i] = old.values[k];
		}
		free(old.keys);
		free(old.values);
	}
	i = index_slot(x, key);
	x->keys[i] = key;
	x->values[i] = value;
	x->n_keys++;
}

void pages_index_done(struct pages_index *x)
{
	free(x->keys);
	free(x->values);
	memset(x, 0, sizeof(*x));
}
