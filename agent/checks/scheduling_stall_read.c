/* SPDX-License-Identifier: Apache-2.0 */
/* Observing for SchedulingStall, and naming what was seen. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "checks/scheduling_stall.h"
#include "identity/cgroup_tree.h"
#include "instruments/bpf_load.h"
#include "instruments/cpu_times.h"
#include "instruments/ksyms.h"

struct observation {
	struct captures *captures;
	struct stalls *stalls;
	struct stalls_snapshot *before;
	struct cpu_times *cpus; /* NULL: not read */
};

static void stop(void *self)
{
	struct observation *o = self;

	if (!o)
		return;
	stalls_snapshot_free(o->before);
	cpu_times_free(o->cpus);
	if (o->stalls)
		captures_release(o->captures, CAPTURE_STALLS);
	free(o);
}

static int start(const struct check_env *env, void **ret_self, struct err *err)
{
	struct observation *o = xcalloc(1, sizeof(*o));
	void *stalls = NULL;
	int r;

	o->captures = env->captures;
	r = captures_hold(env->captures, CAPTURE_STALLS, &stalls, err);
	if (r == 0) {
		o->stalls = stalls;
		(void)cpu_times_read(&env->host->proc, &o->cpus, NULL);
		r = stalls_read(o->stalls, 0, &o->before, err);
	}
	if (r < 0) {
		stop(o);
		return r;
	}
	*ret_self = o;
	return 0;
}

/* --- names ------------------------------------------------------------------------------------------------------------ */

static void name_frames(const struct ksyms *symbols, struct stall_row *row)
{
	_cleanup_free_ char **all = xcalloc(STALLS_FRAMES, sizeof(*all));
	size_t n = row->event.n_frames < STALLS_FRAMES ? row->event.n_frames : STALLS_FRAMES;
	char name[KSYMS_NAME_MAX];
	size_t first;

	for (size_t i = 0; i < n; i++)
		all[i] = xstrdup(ksyms_name(symbols, row->event.frames[i], name, sizeof(name)));
	first = stall_first_frame(all, n);
	row->frames = xcalloc(STALLS_FRAMES, sizeof(*row->frames));
	for (size_t i = 0; i < n; i++) {
		if (i < first)
			free(all[i]);
		else
			row->frames[row->n_frames++] = all[i];
	}
}

static int by_duration(const void *pa, const void *pb)
{
	const struct stall_row *a = pa, *b = pb;

	return (a->event.duration_ns < b->event.duration_ns) -
	       (a->event.duration_ns > b->event.duration_ns);
}

/* The events with names; those of pods that are not meant are left out. */
static struct stall_row *name_rows(const struct check_env *env, const struct stalls_snapshot *after,
				   const struct ksyms *symbols, size_t *ret_n)
{
	struct stall_row *rows = xcalloc(after->n_events + 1, sizeof(*rows));
	struct cgroup_tree *tree = NULL;
	const struct pods *pods = NULL;
	uint64_t now_ns = clock_mono_ns();
	time_t now = time(NULL);
	size_t n = 0;

	(void)cgroup_tree_read(&env->host->cgroups, &tree, NULL);
	(void)sources_pods(env->sources, &pods, NULL);
	for (size_t i = 0; i < after->n_events; i++) {
		const struct stalls_event *event = &after->events[i];
		const struct cgroup_node *node = tree ? cgroup_tree_find(tree, event->cgroup)
						      : NULL;
		struct stall_row *row = &rows[n];

		if (!sources_means_cgroup(env->sources, event->cgroup, node ? node->path : NULL))
			continue;
		row->event = *event;
		if (node)
			row->owner = owner_of_cgroup(pods, env->sources->opts.identity.history,
						     event->cgroup, node->path, false);
		else
			row->owner.cgroup = xstrdup("(a removed cgroup)");
		row->owner.cgroup_id = event->cgroup;
		row->end = now - (time_t)((now_ns - event->end_ns) / NSEC_PER_SEC);
		name_frames(symbols, row);
		n++;
	}
	if (n > 1)
		qsort(rows, n, sizeof(*rows), by_duration);
	cgroup_tree_free(tree);
	*ret_n = n;
	return rows;
}

static void free_rows(struct stall_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		owner_done(&rows[i].owner);
		for (size_t k = 0; k < rows[i].n_frames; k++)
			free(rows[i].frames[k]);
		free(rows[i].frames);
	}
	free(rows);
}

/* --- CPUs ------------------------------------------------------------------------------------------------------------- */

static unsigned int permille(uint64_t after, uint64_t before, uint64_t total)
{
	return after > before && total > 0 ? (unsigned int)num_muldiv(after - before, 1000, total)
					   : 0;
}

static struct stall_cpu *read_cpus(const struct check_env *env, const struct observation *o,
				   size_t *ret_n)
{
	struct cpu_times *now = NULL;
	struct stall_cpu *cpus;
	size_t n = 0;

	*ret_n = 0;
	if (!o->cpus || cpu_times_read(&env->host->proc, &now, NULL) < 0)
		return NULL;
	cpus = xcalloc(now->n + 1, sizeof(*cpus));
	for (size_t i = 0; i < now->n; i++) {
		const struct cpu_time *after = &now->cpus[i];
		const struct cpu_time *before = cpu_times_find(o->cpus, after->cpu);
		uint64_t total =
			before && after->total > before->total ? after->total - before->total : 0;

		if (!before)
			continue;
		cpus[n].cpu = after->cpu;
		cpus[n].irq_permille = permille(after->irq, before->irq, total);
		cpus[n].softirq_permille = permille(after->softirq, before->softirq, total);
		cpus[n].steal_permille = permille(after->steal, before->steal, total);
		if (after->steal > before->steal)
			cpus[n].stolen_ns = (after->steal - before->steal) * NSEC_PER_SEC /
					    (uint64_t)sysconf(_SC_CLK_TCK);
		n++;
	}
	cpu_times_free(now);
	*ret_n = n;
	return cpus;
}

/* --- the end ---------------------------------------------------------------------------------------------------------- */

static void judge(const struct check_env *env, const struct observation *o,
		  const struct stalls_snapshot *after, struct check_result *result)
{
	struct latency_snapshot *diff = latency_diff(o->before->waits, after->waits);
	struct stall_facts facts = {
		.spec = env->spec,
		.window_ns = env->window_ns,
		.method = stalls_method(o->stalls),
		.missing = stalls_missing(o->stalls),
		.lost = after->missed + after->lost - o->before->lost,
		.self_pid = (uint32_t)getpid(),
	};
	struct ksyms *symbols = NULL;
	struct stall_row *rows;
	struct stall_cpu *cpus;

	if (after->n_events > 0)
		facts.no_symbols = ksyms_load(&env->host->proc, &symbols, NULL) < 0;
	rows = name_rows(env, after, symbols, &facts.n);
	cpus = read_cpus(env, o, &facts.n_cpus);
	facts.rows = rows;
	facts.cpus = cpus;
	for (size_t i = 0; i < diff->n; i++)
		if (diff->rows[i].cause < STALLS_KINDS)
			hist_add(&facts.node[diff->rows[i].cause], &diff->rows[i].hist);
	scheduling_stall_judge(&facts, result);
	free_rows(rows, facts.n);
	free(cpus);
	ksyms_free(symbols);
	latency_snapshot_free(diff);
}

static int finish(const struct check_env *env, void *self, struct check_result *result,
		  struct err *err)
{
	struct observation *o = self;
	struct stalls_snapshot *after = NULL;
	int r = stalls_read(o->stalls, o->before->seq, &after, err);

	if (r == 0)
		judge(env, o, after, result);
	stalls_snapshot_free(after);
	return r;
}

const struct check check_scheduling_stall = {
	.type = CHECK_SCHEDULING_STALL,
	.needs = "BPF tracing: BTF, CAP_BPF, CAP_PERFMON; two CPUs",
	.probe = check_probe_bpf,
	.captures = true,
	.start = start,
	.finish = finish,
	.stop = stop,
};
