/* SPDX-License-Identifier: Apache-2.0 */
/* Observing for RunQueueLatency: two snapshots of the waits, of the quotas and of the kernel's own count. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "checks/run_queue_latency.h"
#include "identity/cgroup_tree.h"
#include "instruments/bpf_load.h"
#include "instruments/cpu_times.h"

enum { QUOTAS_MAX = 8192 }; /* cgroups with a quota that are remembered */

/* A cgroup's quota as the window began. */
struct old_quota {
	uint64_t cgroup_id;
	struct cpu_quota quota;
};

struct observation {
	struct captures *captures;
	struct runqueue *rq;
	struct runqueue_snapshot *before;
	struct cpu_times *cpus; /* NULL: not read */
	struct cpu_cgroups cpu_cgroups;
	bool has_cpu_cgroups;
	struct old_quota *quotas; /* ascending by cgroup_id */
	size_t n_quotas;
};

static int by_id(const void *pa, const void *pb)
{
	const struct old_quota *a = pa, *b = pb;

	return a->cgroup_id < b->cgroup_id ? -1 : a->cgroup_id > b->cgroup_id;
}

/* Of all cgroups with a quota; without it a container is reported without. */
static void read_quotas(const struct check_env *env, struct observation *o)
{
	struct cgroup_tree *tree = NULL;

	o->has_cpu_cgroups = cpu_cgroups_open(&env->host->cgroups, &o->cpu_cgroups, NULL) == 0;
	if (!o->has_cpu_cgroups || cgroup_tree_read(&env->host->cgroups, &tree, NULL) < 0)
		return;
	o->quotas = xcalloc(tree->n + 1, sizeof(*o->quotas));
	for (size_t i = 0; i < tree->n && o->n_quotas < QUOTAS_MAX; i++) {
		struct old_quota *old = &o->quotas[o->n_quotas];

		if (cpu_quota_read(&o->cpu_cgroups, tree->nodes[i].path, &old->quota, NULL) < 0 ||
		    old->quota.periods == 0)
			continue;
		old->cgroup_id = tree->nodes[i].id;
		o->n_quotas++;
	}
	if (o->n_quotas > 1)
		qsort(o->quotas, o->n_quotas, sizeof(*o->quotas), by_id);
	cgroup_tree_free(tree);
}

static void stop(void *self)
{
	struct observation *o = self;

	if (!o)
		return;
	runqueue_snapshot_free(o->before);
	cpu_times_free(o->cpus);
	if (o->has_cpu_cgroups)
		cpu_cgroups_close(&o->cpu_cgroups);
	free(o->quotas);
	if (o->rq)
		captures_release(o->captures, CAPTURE_RUN_QUEUE);
	free(o);
}

static int start(const struct check_env *env, void **ret_self, struct err *err)
{
	struct observation *o = xcalloc(1, sizeof(*o));
	void *rq = NULL;
	int r;

	o->cpu_cgroups = (struct cpu_cgroups)CPU_CGROUPS_INIT;
	o->captures = env->captures;
	r = captures_hold(env->captures, CAPTURE_RUN_QUEUE, &rq, err);
	if (r == 0) {
		o->rq = rq;
		read_quotas(env, o);
		(void)cpu_times_read(&env->host->proc, &o->cpus, NULL);
		r = runqueue_read(o->rq, &o->before, err);
	}
	if (r < 0) {
		stop(o);
		return r;
	}
	*ret_self = o;
	return 0;
}

static void read_quota(const struct observation *o, const struct owner *owner,
		       struct run_queue_item *item)
{
	const struct old_quota key = {.cgroup_id = owner->cgroup_id}, *old = NULL;
	struct cpu_quota now;

	if (!o->has_cpu_cgroups || !owner->cgroup ||
	    cpu_quota_read(&o->cpu_cgroups, owner->cgroup, &now, NULL) < 0)
		return;
	if (o->n_quotas > 0)
		old = bsearch(&key, o->quotas, o->n_quotas, sizeof(*o->quotas), by_id);
	item->has_quota = true;
	item->quota = cpu_quota_diff(old ? &old->quota : NULL, &now);
}

static int by_wait(const void *pa, const void *pb)
{
	const struct run_queue_holder *a = pa, *b = pb;

	return (a->waits.wait_ns < b->waits.wait_ns) - (a->waits.wait_ns > b->waits.wait_ns);
}

/* Names of holders: those of the rows where they waited too, else of the table of pods. */
static struct owner owner_of(const struct check_env *env, const struct cgroup_tree *tree,
			     const struct pods *pods, uint64_t cgroup_id)
{
	const struct cgroup_node *node = cgroup_id ? cgroup_tree_find(tree, cgroup_id) : NULL;
	struct owner none = {0};

	if (!cgroup_id)
		return none;
	if (!node)
		none.cgroup = xstrdup("(a removed cgroup)");
	else
		none = owner_of_cgroup(pods, env->sources->opts.identity.history, cgroup_id,
				       node->path, false);
	none.cgroup_id = cgroup_id;
	return none;
}

static void read_holders(const struct check_env *env, const struct runqueue_snapshot *diff,
			 const struct latency_rows *rows, struct run_queue_item *items)
{
	const struct pods *pods = NULL;
	struct cgroup_tree *tree = NULL;

	if (cgroup_tree_read(&env->host->cgroups, &tree, NULL) < 0)
		return;
	(void)sources_pods(env->sources, &pods, NULL);
	for (size_t i = 0; i < rows->n; i++) {
		struct run_queue_item *item = &items[i];

		for (size_t k = 0; k < diff->n_holders; k++) {
			const struct runqueue_holder *waits = &diff->holders[k];

			if (waits->waiter_id != rows->items[i].owner.cgroup_id)
				continue;
			item->holders = xreallocarray(item->holders, item->n_holders + 1,
						      sizeof(*item->holders));
			item->holders[item->n_holders++] = (struct run_queue_holder){
				.owner = owner_of(env, tree, pods, waits->holder_id),
				.waits = *waits,
			};
		}
		if (item->n_holders > 1)
			qsort(item->holders, item->n_holders, sizeof(*item->holders), by_wait);
	}
	cgroup_tree_free(tree);
}

static void free_items(struct run_queue_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < items[i].n_holders; k++)
			owner_done(&items[i].holders[k].owner);
		free(items[i].holders);
	}
	free(items);
}

static void judge(const struct check_env *env, const struct observation *o,
		  const struct runqueue_snapshot *diff, const struct latency_rows *rows,
		  struct check_result *result)
{
	struct run_queue_item *items = xcalloc(rows->n + 1, sizeof(*items));
	struct cpu_times *cpus = NULL;
	struct run_queue_facts facts = {
		.spec = env->spec,
		.rows = rows,
		.items = items,
		.method = runqueue_method(o->rq),
		.missing = runqueue_missing(o->rq),
		.lost_holders = diff->lost_holders,
		.self_pid = (uint32_t)getpid(),
		.n_cpus = (unsigned int)sysconf(_SC_NPROCESSORS_ONLN),
		.cpu_mount = o->has_cpu_cgroups ? o->cpu_cgroups.root.path : NULL,
		.v2 = o->has_cpu_cgroups && o->cpu_cgroups.v2,
	};

	if (o->cpus && o->cpus->has_schedstat &&
	    cpu_times_read(&env->host->proc, &cpus, NULL) == 0 &&
	    cpus->delay_ns >= o->cpus->delay_ns) {
		facts.has_schedstat = true;
		facts.schedstat_ns = cpus->delay_ns - o->cpus->delay_ns;
		facts.schedstat_waits = cpus->waits - o->cpus->waits;
	}
	for (size_t i = 0; i < rows->n; i++)
		read_quota(o, &rows->items[i].owner, &items[i]);
	read_holders(env, diff, rows, items);
	run_queue_judge(&facts, result);
	free_items(items, rows->n);
	cpu_times_free(cpus);
}

static int finish(const struct check_env *env, void *self, struct check_result *result,
		  struct err *err)
{
	struct observation *o = self;
	struct runqueue_snapshot *after = NULL, *diff;
	struct latency_rows *rows = NULL;
	int r = runqueue_read(o->rq, &after, err);

	if (r < 0)
		return r;
	diff = runqueue_diff(o->before, after);
	r = latency_rows_read(env, &env->host->cgroups, diff->waits, &run_queue_words, &rows, err);
	if (r == 0)
		judge(env, o, diff, rows, result);
	latency_rows_free(rows);
	runqueue_snapshot_free(diff);
	runqueue_snapshot_free(after);
	return r;
}

const struct check check_run_queue_latency = {
	.type = CHECK_RUN_QUEUE_LATENCY,
	.needs = "BPF tracing: BTF, CAP_BPF, CAP_PERFMON; a kernel that times run queues",
	.probe = check_probe_bpf,
	.captures = true,
	.start = start,
	.finish = finish,
	.stop = stop,
};
