/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what judging slab caches needs: sums and caches before and after the window, then who owns what. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "checks/slab_cache.h"
#include "instruments/meminfo.h"

enum {
	MAX_CGROUPS = 1024, /* whose memory.stat is read: each makes the kernel sum counters up */
	/* The walk of dentries gets at most this share of what is left of the CPU budget: other scans follow. */
	BUDGET_SHARE = 4,
};

/* One end of the window. */
struct reading {
	struct slabs_snapshot *slabs;
	struct err slabs_err; /* when slabs is NULL */
	struct slab_sums sums;
};

static void read_slabs(const struct root *proc, struct reading *ret)
{
	_cleanup_root_ struct root sys = ROOT_INIT;
	struct meminfo info = {0};
	/* Not everywhere: without it what can be reclaimed is unknown by cache, and known as a sum. */
	bool has_sys = root_open(&sys, SLABS_SYS, NULL) == 0;

	(void)slabs_read(proc, has_sys ? &sys : NULL, &ret->slabs, &ret->slabs_err);
	if (meminfo_read(proc, &info, NULL, NULL) == 0)
		ret->sums = (struct slab_sums){info.s_reclaimable, info.s_unreclaim};
}

static int start(const struct check_env *env, void **ret_self, struct err *err)
{
	struct reading *before = xcalloc(1, sizeof(*before));

	(void)err;
	if (!spec_limits_pods(env->spec))
		read_slabs(&env->host->proc, before);
	*ret_self = before;
	return 0;
}

static void stop(void *self)
{
	struct reading *before = self;

	slabs_snapshot_free(before->slabs);
	free(before);
}

/* --- containers ----------------------------------------------------------------------------------------------------------- */

static int by_slab(const void *pa, const void *pb)
{
	const struct slab_container *a = pa, *b = pb;
	uint64_t x = slab_container_bytes(a), y = slab_container_bytes(b);

	if (x != y)
		return x > y ? -1 : 1;
	return strcmp(a->owner.cgroup, b->owner.cgroup);
}

/* Containers, and what of the host is no pod's; a pod's own cgroup is the sum of its containers. */
static bool is_row(const struct spec *spec, const struct pod_cgroup *item)
{
	if (item->name.kind != CGROUP_KIND_CONTAINER && item->name.kind != CGROUP_KIND_UNIT)
		return false;
	return !spec_limits_pods(spec) || sources_means_pod(spec, item);
}

static size_t read_containers(const struct check_env *env, struct slab_container **ret,
			      uint64_t *ret_not_read)
{
	const struct cgroupfs *cg = &env->host->cgroups;
	struct slab_container *list;
	const struct pods *pods = NULL;
	size_t n = 0;

	if (cg->mode == CGROUP_NONE || sources_pods(env->sources, &pods, NULL) < 0)
		return 0;
	*ret = list = xcalloc(pods->n < MAX_CGROUPS ? pods->n : MAX_CGROUPS, sizeof(*list));
	for (size_t i = 0; i < pods->n; i++) {
		const struct pod_cgroup *item = &pods->items[i];

		if (!is_row(env->spec, item))
			continue;
		if (n == MAX_CGROUPS) {
			(*ret_not_read)++;
			continue;
		}
		if (cgroupfs_stat(cg, item->cgroup, &list[n].stat, NULL, NULL) < 0)
			continue;
		list[n].owner = owner_of_cgroup(pods, NULL, item->cgroup_id, item->cgroup, false);
		list[n].can_reclaim = cgroupfs_has(cg, item->cgroup, "memory.reclaim");
		n++;
	}
	if (n > 1)
		qsort(list, n, sizeof(*list), by_slab);
	return n;
}

/* --- what this kernel has --------------------------------------------------------------------------------------------------- */

static void read_knobs(const struct root *proc, struct slab_facts *facts)
{
	unsigned long long v;
	struct stat st;

	facts->cache_pressure =
		root_read_u64(proc, "sys/vm/vfs_cache_pressure", &v, NULL) == 0 ? v : UINT64_MAX;
	facts->has_dentry_negative = root_read_u64(proc, "sys/fs/dentry-negative", &v, NULL) == 0 &&
				     v == 0;
	facts->has_allocinfo = fstatat(proc->fd, "allocinfo", &st, 0) == 0;
}

/* --- all of it -------------------------------------------------------------------------------------------------------------- */

static int read_dentries(const struct check_env *env, struct dentries_snapshot **ret,
			 struct err *err)
{
	struct sources *sources = env->sources;
	struct dentries_opts opts = {
		.top = sources->opts.top,
		.cpu_budget_ns = sources_budget_left(sources) / BUDGET_SHARE,
	};
	int r = dentries_read(&env->host->proc, &opts, ret, err);

	if (r == 0)
		sources->cpu_spent_ns += (*ret)->cpu_ns;
	return r;
}

/* Names of those who are charged. The caller frees it. */
static struct owner *read_group_owners(const struct check_env *env,
				       const struct dentries_snapshot *s)
{
	struct owner *owners = xcalloc(s->n_groups, sizeof(*owners));
	const struct pods *pods = NULL;

	/* Without the table of pods a cgroup still has its path. */
	(void)sources_pods(env->sources, &pods, NULL);
	for (size_t i = 0; i < s->n_groups; i++)
		owners[i] = owner_of_cgroup(pods, env->sources->opts.identity.history,
					    s->groups[i].id, s->groups[i].path, s->groups[i].dying);
	return owners;
}

static void free_owners(struct owner *owners, size_t n)
{
	for (size_t i = 0; owners && i < n; i++)
		owner_done(&owners[i]);
	free(owners);
}

static int finish(const struct check_env *env, void *self, struct check_result *result,
		  struct err *err)
{
	const struct reading *before = self;
	struct slab_container *containers = NULL;
	struct dentries_snapshot *dentries = NULL;
	struct owner *group_owners = NULL;
	struct reading after = {0};
	struct err dentries_err = {0};
	struct slab_facts facts = {
		.spec = env->spec,
		.window_ns = env->window_ns,
		.v2 = env->host->cgroups.mode == CGROUP_V2,
		.cgroup_mount = env->host->cgroups.memory.path,
		.mem_total_bytes = env->host->mem_total_bytes,
	};

	if (!spec_limits_pods(env->spec)) {
		read_slabs(&env->host->proc, &after);
		if (!after.slabs)
			facts.slabs_problem = after.slabs_err.msg;
		if (read_dentries(env, &dentries, &dentries_err) < 0)
			facts.dentries_problem = dentries_err.msg;
		/* Without them paths are as the superblock has them. */
		(void)sources_mounts(env->sources, &facts.mounts, NULL);
		read_knobs(&env->host->proc, &facts);
	}
	facts.before = before->slabs;
	facts.after = after.slabs;
	facts.sums_before = before->sums;
	facts.sums_after = after.sums;
	facts.dentries = dentries;
	if (dentries)
		facts.group_owners = group_owners = read_group_owners(env, dentries);
	facts.n_containers = read_containers(env, &containers, &facts.containers_not_read);
	facts.containers = containers;
	if (facts.slabs_problem && facts.dentries_problem && facts.n_containers == 0)
		return err_say(err, dentries_err.code, "%s; %s", facts.slabs_problem,
			       facts.dentries_problem);
	slab_cache_judge(&facts, result);
	for (size_t i = 0; i < facts.n_containers; i++)
		owner_done(&containers[i].owner);
	free(containers);
	free_owners(group_owners, dentries ? dentries->n_groups : 0);
	slabs_snapshot_free(after.slabs);
	dentries_snapshot_free(dentries);
	return 0;
}

const struct check check_slab_cache = {
	.type = CHECK_SLAB_CACHE,
	.needs = "slabinfo; for the owners of dentries the BPF walk: BTF, CAP_BPF, CAP_PERFMON",
	.captures = true,
	.start = start,
	.finish = finish,
	.stop = stop,
};
