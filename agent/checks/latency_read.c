/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of latency_rows.h: whose the cgroups are that waited. */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "checks/latency_rows.h"
#include "instruments/memcgs.h"

DEFINE_CLEANUP(cgroup_tree, struct cgroup_tree *, cgroup_tree_free);
DEFINE_CLEANUP(memcgs, struct memcgs_snapshot *, memcgs_snapshot_free);

struct naming {
	const struct check_env *env;
	const struct pods *pods;
	const struct cgroup_tree *tree;
	bool memory; /* ids are those of memory cgroups, which the table of pods knows */
	const struct memcgs_snapshot *removed; /* NULL: not read */
};

/* Where a cgroup is or was; NULL: gone without a trace. */
static const char *path_of(const struct naming *naming, uint64_t id, bool *dying)
{
	const struct cgroup_node *node = cgroup_tree_find(naming->tree, id);

	*dying = !node;
	if (node)
		return node->path;
	for (size_t i = 0; naming->removed && i < naming->removed->n; i++) {
		if (naming->removed->entries[i].id == id)
			return naming->removed->entries[i].path;
	}
	return NULL;
}

static void count_row(const struct naming *naming, const struct latency_row *row,
		      struct latency_rows *rows)
{
	/* Ids of other hierarchies begin at 1 again: there only paths tell. */
	uint64_t id = naming->memory ? row->cgroup_id : 0;
	struct owner owner = {0};
	bool dying;
	const char *path = path_of(naming, row->cgroup_id, &dying);

	if (!sources_means_cgroup(naming->env->sources, id, path))
		return;
	if (path) {
		owner = owner_of_cgroup(naming->pods, naming->env->sources->opts.identity.history,
					id, path, dying);
		owner.cgroup_id = row->cgroup_id;
	} else {
		owner.cgroup = xstrdup("(removed cgroups)");
		rows->unnamed += row->hist.count;
	}
	latency_rows_count(rows, &owner, row);
	owner_done(&owner);
}

static bool is_meant_here(const struct naming *naming)
{
	for (size_t i = 0; naming->pods && i < naming->pods->n; i++) {
		if (sources_means_pod(naming->env->spec, &naming->pods->items[i]))
			return true;
	}
	return false;
}

static bool all_live(const struct naming *naming, const struct latency_snapshot *diff)
{
	for (size_t i = 0; i < diff->n; i++) {
		if (!cgroup_tree_find(naming->tree, diff->rows[i].cgroup_id))
			return false;
	}
	return true;
}

int latency_rows_read(const struct check_env *env, const struct cgroupfs *cgroups,
		      const struct latency_snapshot *diff, const struct latency_words *words,
		      struct latency_rows **ret, struct err *err)
{
	struct naming naming = {.env = env, .memory = cgroups == &env->host->cgroups};
	__attribute__((cleanup(cgroup_tree_cleanup))) struct cgroup_tree *tree = NULL;
	__attribute__((cleanup(memcgs_cleanup))) struct memcgs_snapshot *removed = NULL;
	const struct memcgs_opts opts = {0};
	struct latency_rows *rows;
	int r = cgroup_tree_read(cgroups, &tree, err);

	if (r < 0)
		return r;
	/* Without the table of pods a cgroup still has its path. */
	(void)sources_pods(env->sources, &naming.pods, NULL);
	naming.tree = tree;
	if (spec_limits_pods(env->spec) && !is_meant_here(&naming))
		return err_say(err, ENODATA, "no pod on this node matches spec.target");
	if (naming.memory && !all_live(&naming, diff) &&
	    memcgs_read(&env->host->proc, &opts, &removed, NULL) == 0)
		naming.removed = removed;
	rows = xcalloc(1, sizeof(*rows));
	rows->words = *words;
	rows->window_ns = env->window_ns;
	rows->lost = diff->lost;
	for (size_t i = 0; i < diff->n; i++) {
		if (diff->rows[i].cause < words->n)
			hist_add(&rows->node[diff->rows[i].cause], &diff->rows[i].hist);
		count_row(&naming, &diff->rows[i], rows);
	}
	latency_rows_sort(rows);
	*ret = rows;
	return 0;
}
