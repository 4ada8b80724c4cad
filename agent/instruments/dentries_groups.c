/* SPDX-License-Identifier: Apache-2.0 */
/* Memory cgroups get a small number when the first object charged to them turns up; the kernel is asked right then. */
#include <stdlib.h>
#include <string.h>

#include "../bpf/dentries.h"
#include "../bpf/pages.h"
#include "dentries.skel.h"

#include "base/mem.h"
#include "instruments/dentries_internal.h"

static uint32_t group_new(struct dentries_work *w, uint64_t id, char *path, bool dying)
{
	if (w->n_groups == w->cap_groups) {
		w->cap_groups = w->cap_groups ? w->cap_groups * 2 : 64;
		w->groups = xreallocarray(w->groups, w->cap_groups, sizeof(*w->groups));
	}
	w->groups[w->n_groups] =
		(struct dentries_group_rec){.id = id, .path = path, .dying = dying};
	return (uint32_t)w->n_groups++;
}

void dentries_groups_init(struct dentries_work *w)
{
	(void)group_new(w, 0, xstrdup("/"), false);
}

void dentries_groups_done(struct dentries_work *w)
{
	for (size_t i = 0; i < w->n_groups; i++)
		free(w->groups[i].path);
	free(w->groups);
	pages_index_done(&w->group_of);
}

static uint32_t group_ask(struct dentries_work *w, struct dentries_snapshot *s, uint64_t charged)
{
	struct pages_group *g = &w->skel->bss->group;
	uint32_t *known, i;

	g->address = charged;
	g->memcg = 0;
	if (w->n_groups >= DENTRIES_MAX_GROUPS ||
	    bpf_run(w->skel->progs.pages_group, &w->calls) < 0 || g->memcg == 0) {
		s->groups_unresolved++;
		return 0;
	}
	/* One memory cgroup has several obj_cgroups: those of its removed children, and of each node since 7.0. */
	known = pages_index_find(&w->group_of, g->memcg);
	if (known)
		return *known;
	i = group_new(w, g->id, pages_chain_join(&w->skel->bss->chain), !g->online);
	pages_index_add(&w->group_of, g->memcg, i);
	return i;
}

uint32_t dentries_group_index(struct dentries_work *w, struct dentries_snapshot *s,
			      uint64_t charged)
{
	uint32_t *known;

	if (charged == 0)
		return 0;
	if (charged == w->last_charged)
		return w->last_group;
	known = pages_index_find(&w->group_of, charged);
	w->last_charged = charged;
	w->last_group = known ? *known : group_ask(w, s, charged);
	if (!known)
		pages_index_add(&w->group_of, charged, w->last_group);
	return w->last_group;
}
