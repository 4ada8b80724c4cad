/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory cgroups and superblocks get a small number and a record when the first page of theirs turns up. The kernel is
 * asked right then: a removed cgroup lives only as long as its pages do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/pages.h"
#include "pages.skel.h"

#include "base/mem.h"
#include "instruments/pages_internal.h"

static uint32_t memcg_new(struct pages_work *w, uint64_t id, char *path, bool dying)
{
	struct pages_memcg_rec *m;

	if (w->n_memcgs == w->cap_memcgs) {
		w->cap_memcgs = w->cap_memcgs ? w->cap_memcgs * 2 : 64;
		w->memcgs = xreallocarray(w->memcgs, w->cap_memcgs, sizeof(*w->memcgs));
	}
	m = &w->memcgs[w->n_memcgs];
	memset(m, 0, sizeof(*m));
	m->id = id;
	m->path = path;
	m->dying = dying;
	m->file.slot = PAGES_NO_SLOT;
	m->shmem_file.slot = PAGES_NO_SLOT;
	return (uint32_t)w->n_memcgs++;
}

static struct pages_super_rec *super_new(struct pages_work *w)
{
	struct pages_super_rec *s;

	if (w->n_supers == w->cap_supers) {
		w->cap_supers = w->cap_supers ? w->cap_supers * 2 : 64;
		w->supers = xreallocarray(w->supers, w->cap_supers, sizeof(*w->supers));
	}
	s = &w->supers[w->n_supers++];
	memset(s, 0, sizeof(*s));
	return s;
}

void pages_groups_init(struct pages_work *w)
{
	(void)memcg_new(w, 0, xstrdup("/"), false);
	(void)super_new(w);
}

void pages_groups_done(struct pages_work *w)
{
	for (size_t i = 0; i < w->n_memcgs; i++)
		free(w->memcgs[i].path);
	free(w->memcgs);
	free(w->supers);
	pages_index_done(&w->memcg_of);
	pages_index_done(&w->super_of);
}

/* The memory cgroup behind an address not seen before. */
static uint32_t memcg_ask(struct pages_work *w, uint64_t address)
{
	struct pages_group *g = &w->kernel.skel->bss->group;
	uint32_t *known, i;

	g->address = address;
	if (w->n_memcgs >= PAGES_MAX_MEMCGS ||
	    pages_kernel_run(&w->kernel, PAGES_PROGRAM_GROUP) < 0 || g->memcg == 0) {
		w->memcgs_unresolved++;
		return 0;
	}
	if (g->memcg != address) {
		known = pages_index_find(&w->memcg_of, g->memcg);
		if (known)
			return *known;
	}
	i = memcg_new(w, g->id, pages_chain_join(&w->kernel.skel->bss->chain), !g->online);
	if (g->memcg != address)
		pages_index_add(&w->memcg_of, g->memcg, i);
	return i;
}

uint32_t pages_memcg_index(struct pages_work *w, uint64_t address)
{
	uint32_t *known, i;

	if (address == 0)
		return 0;
	if (address == w->cached_memcg)
		return w->cached_memcg_index;
	known = pages_index_find(&w->memcg_of, address);
	if (known) {
		i = *known;
	} else {
		i = memcg_ask(w, address);
		pages_index_add(&w->memcg_of, address, i);
	}
	w->cached_memcg = address;
	w->cached_memcg_index = i;
	return i;
}

void pages_super_fill(struct pages_super_rec *s, const struct pages_super *a)
{
	s->root = a->root;
	s->dev = a->dev;
	s->kind = PAGES_FILE;
	if (a->magic == PAGES_TMPFS_MAGIC)
		s->kind = PAGES_SHMEM;
	else if (a->magic == PAGES_BDEV_MAGIC)
		s->kind = PAGES_BDEV;
	s->hugetlb = a->magic == PAGES_HUGETLBFS_MAGIC;
	s->kernel_mount = a->flags & PAGES_SB_KERNMOUNT;
	(void)snprintf(s->fstype, sizeof(s->fstype), "%.*s", (int)sizeof(a->type) - 1, a->type);
	(void)snprintf(s->id, sizeof(s->id), "%.*s", (int)sizeof(a->id) - 1, a->id);
}

static uint32_t super_ask(struct pages_work *w, uint64_t address)
{
	struct pages_super *a = &w->kernel.skel->bss->super;

	a->address = address;
	if (w->n_supers >= PAGES_MAX_SUPERS ||
	    pages_kernel_run(&w->kernel, PAGES_PROGRAM_SUPER) < 0) {
		w->supers_unresolved++;
		return 0;
	}
	pages_super_fill(super_new(w), a);
	return (uint32_t)(w->n_supers - 1);
}

uint32_t pages_super_index(struct pages_work *w, uint64_t address)
{
	uint32_t *known, i;

	if (address == 0)
		return 0;
	if (address == w->cached_super)
		return w->cached_super_index;
	known = pages_index_find(&w->super_of, address);
	if (known) {
		i = *known;
	} else {
		i = super_ask(w, address);
		pages_index_add(&w->super_of, address, i);
	}
	w->cached_super = address;
	w->cached_super_index = i;
	return i;
}
