/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what a MemoryBreakdown is made of. */
#include <stdlib.h>

#include "base/mem.h"
#include "checks/memory_breakdown.h"

enum {
	MAX_CGROUPS = 1024, /* whose memory.stat is read: each makes the kernel sum counters up */
	MAX_ROWS = 100,	    /* as the CRD has it */
};

/* Pods with their containers, and what of the host is no pod's. */
static bool is_row(const struct spec *spec, const struct pod_cgroup *item)
{
	return item->name.kind != CGROUP_KIND_OTHER &&
	       (!spec_limits_pods(spec) || sources_means_pod(spec, item));
}

/* False: the cgroup is gone meanwhile, or cannot be read. */
static bool read_row(const struct check_env *env, const struct pods *pods,
		     const struct pod_cgroup *item, struct breakdown_facts *facts,
		     struct breakdown_row *row)
{
	const struct cgroupfs *cgroups = &env->host->cgroups;

	if (cgroupfs_stat(cgroups, item->cgroup, &row->stat, &facts->notes, NULL) < 0 ||
	    row->stat.usage > KEYVALUE_MAX)
		return false;
	/* Looking for its files is not worth while where the node has no huge page. */
	if (facts->node.hugetlb > 0)
		row->hugetlb = cgroupfs_hugetlb(cgroups, item->cgroup);
	row->kind = item->name.kind;
	row->owner = owner_of_cgroup(pods, NULL, item->cgroup_id, item->cgroup, false);
	return true;
}

static void read_rows(const struct check_env *env, struct breakdown_facts *facts, struct err *err)
{
	const struct pods *pods = NULL;
	size_t n = 0, max;

	if (env->host->cgroups.mode == CGROUP_NONE) {
		facts->problem = "this host has no memory controller";
		return;
	}
	if (sources_pods(env->sources, &pods, err) < 0) {
		facts->problem = err->msg;
		return;
	}
	facts->rows = xcalloc(pods->n < MAX_CGROUPS ? pods->n : MAX_CGROUPS, sizeof(*facts->rows));
	for (size_t i = 0; i < pods->n; i++) {
		if (!is_row(env->spec, &pods->items[i]))
			continue;
		if (n == MAX_CGROUPS)
			facts->not_read++;
		else
			n += read_row(env, pods, &pods->items[i], facts, &facts->rows[n]);
	}
	/* As many pods as are asked for, and a container of each. */
	max = 2 * (size_t)env->spec->top;
	facts->n_rows = breakdown_rows_arrange(facts->rows, n, max < MAX_ROWS ? max : MAX_ROWS,
					       &facts->not_listed);
}

static int finish(const struct check_env *env, void *self, struct check_result *result,
		  struct err *err)
{
	struct breakdown_facts facts = {
		.spec = env->spec,
		.v2 = env->host->cgroups.mode == CGROUP_V2,
	};
	struct err rows_err = {0};
	int r = meminfo_sample(&env->host->proc, &facts.node, &facts.notes, err);

	(void)self;
	if (r == 0) {
		read_rows(env, &facts, &rows_err);
		memory_breakdown_judge(&facts, result);
	}
	for (size_t i = 0; i < facts.n_rows; i++)
		owner_done(&facts.rows[i].owner);
	free(facts.rows);
	return r;
}

const struct check check_memory_breakdown = {
	.type = CHECK_MEMORY_BREAKDOWN,
	.needs = "counters in /proc and the memory controller",
	.finish = finish,
};
