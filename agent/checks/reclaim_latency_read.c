/* SPDX-License-Identifier: Apache-2.0 */
/* Observing, and reading what judging reclaim latency needs. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "checks/reclaim_latency.h"
#include "instruments/bpf_load.h"
#include "instruments/ksyms.h"

DEFINE_CLEANUP(cgroup_tree, struct cgroup_tree *, cgroup_tree_free);

/* Between start and finish. */
struct observation {
	struct captures *captures;
	struct reclaim *reclaim;
	struct reclaim_snapshot *before;
	struct pressure_vmstat vmstat;
	struct pressure_stall stall;
	struct cgroup_tree *tree; /* pressure of cgroups as it was; v2 only */
	struct pressure_stall *stalls;
};

/* What facts point to. */
struct reading {
	struct reclaim_snapshot *after;
	struct latency_snapshot *diff;
	struct latency_rows *rows;
	struct reclaim_place *places;
	struct reclaim_target *targets;
	struct reclaim_outlier *outliers;
	size_t n_targets, n_outliers;
	struct parse_notes notes;
};

static void stop(void *self)
{
	struct observation *o = self;

	if (!o)
		return;
	captures_release(o->captures, CAPTURE_RECLAIM);
	reclaim_snapshot_free(o->before);
	cgroup_tree_free(o->tree);
	free(o->stalls);
	free(o);
}

/* Pressure is cumulative: the window's is a difference, for every cgroup, since nobody knows yet who will wait. */
static void read_stalls(const struct host *host, struct observation *o)
{
	if (host->cgroups.mode != CGROUP_V2 || cgroup_tree_read(&host->cgroups, &o->tree, NULL) < 0)
		return;
	o->stalls = xcalloc(o->tree->n + 1, sizeof(*o->stalls));
	for (size_t i = 0; i < o->tree->n; i++) {
		_cleanup_free_ char *path =
			xasprintf("%s/memory.pressure", o->tree->nodes[i].path + 1);

		pressure_read_stall(&host->cgroups.memory, path + (*path == '/'), &o->stalls[i]);
	}
}

static int start(const struct check_env *env, void **ret_self, struct err *err)
{
	struct observation *o = xcalloc(1, sizeof(*o));
	struct parse_notes notes = {0};
	void *self = NULL;
	int r = captures_hold(env->captures, CAPTURE_RECLAIM, &self, err);

	if (r < 0) {
		free(o);
		return r;
	}
	o->captures = env->captures;
	o->reclaim = self;
	read_stalls(env->host, o);
	pressure_read_vmstat(&env->host->proc, &o->vmstat, &notes);
	pressure_read_stall(&env->host->proc, "pressure/memory", &o->stall);
	r = reclaim_read(o->reclaim, &o->before, err);
	if (r < 0) {
		stop(o);
		return r;
	}
	*ret_self = o;
	return 0;
}

/* --- containers ------------------------------------------------------------------------------------------------------- */

static uint64_t pressure_of(const struct host *host, const struct observation *o,
			    const struct owner *owner)
{
	const struct cgroup_node *node = o->tree ? cgroup_tree_find(o->tree, owner->cgroup_id)
						 : NULL;
	_cleanup_free_ char *path = NULL;
	struct pressure_stall now;

	if (!node || !owner->cgroup)
		return UINT64_MAX;
	path = xasprintf("%s/memory.pressure", owner->cgroup + 1);
	pressure_read_stall(&host->cgroups.memory, path + (*path == '/'), &now);
	if (!now.known || !o->stalls[node - o->tree->nodes].known)
		return UINT64_MAX;
	return now.some_us - o->stalls[node - o->tree->nodes].some_us;
}

static void read_places(const struct check_env *env, const struct observation *o,
			struct reading *reading)
{
	const struct pods *pods = NULL;

	(void)sources_pods(env->sources, &pods, NULL);
	reading->places = xcalloc(reading->rows->n + 1, sizeof(*reading->places));
	for (size_t i = 0; i < reading->rows->n; i++) {
		const struct owner *owner = &reading->rows->items[i].owner;
		struct reclaim_place *place = &reading->places[i];
		struct pod_cgroup scratch = {0};
		const struct pod_cgroup *item;

		if (!owner->cgroup || owner->cgroup[0] != '/' || owner->dying ||
		    cgroupfs_usage(&env->host->cgroups, owner->cgroup, &place->usage, NULL) < 0)
			place->usage = (struct cgroup_usage){UINT64_MAX, UINT64_MAX, UINT64_MAX,
							     UINT64_MAX};
		place->some_us = pressure_of(env->host, o, owner);
		item = pods_find(pods, owner->cgroup_id, owner->cgroup, NULL, &scratch);
		if (item)
			place->request = item->memory_request_bytes;
		pod_cgroup_done(&scratch);
	}
}

static bool is_known(const struct reading *reading, uint64_t id)
{
	for (size_t i = 0; i < reading->n_targets; i++) {
		if (reading->targets[i].id == id)
			return true;
	}
	return false;
}

static struct owner name(const struct check_env *env, const struct cgroup_tree *tree, uint64_t id)
{
	const struct cgroup_node *node = cgroup_tree_find(tree, id);
	const struct pods *pods = NULL;

	if (!node)
		return (struct owner){.cgroup = xstrdup("(removed cgroup)"), .cgroup_id = id};
	(void)sources_pods(env->sources, &pods, NULL);
	return owner_of_cgroup(pods, env->sources->opts.identity.history, id, node->path, false);
}

static void read_targets(const struct check_env *env, const struct cgroup_tree *tree,
			 struct reading *reading)
{
	for (size_t i = 0; i < reading->rows->n; i++) {
		const struct latency_container *item = &reading->rows->items[i];

		for (size_t k = 0; k < item->n_parts; k++) {
			uint64_t id = item->parts[k].target_id;

			if (id == 0 || is_known(reading, id))
				continue;
			reading->targets = xreallocarray(reading->targets, reading->n_targets + 1,
							 sizeof(*reading->targets));
			reading->targets[reading->n_targets++] =
				(struct reclaim_target){id, name(env, tree, id)};
		}
	}
}

/* --- outliers --------------------------------------------------------------------------------------------------------- */

/* The tracepoint's own machinery comes first on each stack. */
static bool is_machinery(const char *frame)
{
	return strncmp(frame, "bpf_", 4) == 0 || strncmp(frame, "__bpf_trace", 11) == 0 ||
	       strncmp(frame, "__traceiter_", 12) == 0 || strncmp(frame, "0x", 2) == 0 ||
	       strncmp(frame, "bpf_prog_", 9) == 0;
}

static void name_frames(const struct ksyms *ksyms, const struct reclaim_event *event,
			struct reclaim_outlier *outlier)
{
	for (uint32_t i = 0; i < event->n_frames && i < RECLAIM_FRAMES; i++) {
		char text[KSYMS_NAME_MAX];
		const char *frame = ksyms_name(ksyms, event->frames[i], text, sizeof(text));

		if (outlier->n_frames > 0 || !is_machinery(frame))
			outlier->frames[outlier->n_frames++] = xstrdup(frame);
	}
}

static int by_duration(const void *pa, const void *pb)
{
	const struct reclaim_outlier *a = pa, *b = pb;

	return (a->duration_ns < b->duration_ns) - (a->duration_ns > b->duration_ns);
}

/* Of those that the rows are about. */
static bool is_meant(const struct check_env *env, const struct reading *reading,
		     const struct owner *owner)
{
	if (!spec_limits_pods(env->spec))
		return true;
	for (size_t i = 0; i < reading->rows->n; i++) {
		const struct owner *row = &reading->rows->items[i].owner;

		if (row->ns && row->pod && owner->ns && owner->pod &&
		    strcmp(row->ns, owner->ns) == 0 && strcmp(row->pod, owner->pod) == 0)
			return true;
	}
	return false;
}

static void read_outliers(const struct check_env *env, const struct observation *o,
			  const struct cgroup_tree *tree, struct reading *reading)
{
	const struct reclaim_snapshot *after = reading->after;
	struct ksyms *ksyms = NULL;

	reading->outliers = xcalloc(after->n_outliers + 1, sizeof(*reading->outliers));
	for (size_t i = 0; i < after->n_outliers; i++) {
		const struct reclaim_event *event = &after->outliers[i];
		struct reclaim_outlier *outlier = &reading->outliers[reading->n_outliers];
		struct owner owner;

		if (event->end_ns < o->before->latency->time_ns || event->cause >= RECLAIM_CAUSES)
			continue;
		owner = name(env, tree, event->cgroup);
		if (!is_meant(env, reading, &owner)) {
			owner_done(&owner);
			continue;
		}
		/* Without symbols, addresses are all there is. */
		if (!ksyms)
			(void)ksyms_load(&env->host->proc, &ksyms, NULL);
		*outlier = (struct reclaim_outlier){
			.owner = owner,
			.cause = event->cause,
			.duration_ns = event->duration_ns,
			.pid = event->pid,
		};
		memcpy(outlier->comm, event->comm, sizeof(outlier->comm));
		outlier->comm[sizeof(outlier->comm) - 1] = '\0';
		name_frames(ksyms, event, outlier);
		reading->n_outliers++;
	}
	ksyms_free(ksyms);
	if (reading->n_outliers > 1)
		qsort(reading->outliers, reading->n_outliers, sizeof(*reading->outliers),
		      by_duration);
}

/* --- all together ----------------------------------------------------------------------------------------------------- */

static void reading_done(struct reading *reading)
{
	for (size_t i = 0; i < reading->n_targets; i++)
		owner_done(&reading->targets[i].owner);
	for (size_t i = 0; i < reading->n_outliers; i++) {
		owner_done(&reading->outliers[i].owner);
		for (size_t k = 0; k < reading->outliers[i].n_frames; k++)
			free(reading->outliers[i].frames[k]);
	}
	free(reading->targets);
	free(reading->outliers);
	free(reading->places);
	latency_rows_free(reading->rows);
	latency_snapshot_free(reading->diff);
	reclaim_snapshot_free(reading->after);
}

static void read_counters(const struct check_env *env, const struct observation *o,
			  struct reading *reading, struct reclaim_facts *facts)
{
	unsigned long long scale = 0;

	pressure_read_vmstat(&env->host->proc, &facts->vmstat, &reading->notes);
	facts->vmstat.allocstall -= o->vmstat.allocstall;
	facts->vmstat.pgscan_direct -= o->vmstat.pgscan_direct;
	facts->vmstat.pgsteal_direct -= o->vmstat.pgsteal_direct;
	facts->vmstat.pgalloc -= o->vmstat.pgalloc;
	pressure_read_stall(&env->host->proc, "pressure/memory", &facts->stall);
	facts->stall.some_us -= o->stall.some_us;
	facts->stall.full_us -= o->stall.full_us;
	pressure_read_zones(&env->host->proc, &facts->zones, &reading->notes);
	if (root_read_u64(&env->host->proc, "sys/vm/watermark_scale_factor", &scale, NULL) == 0)
		facts->scale = scale;
}

static int read_all(const struct check_env *env, const struct observation *o,
		    struct reading *reading, struct reclaim_facts *facts, struct err *err)
{
	_cleanup_(cgroup_tree_cleanup) struct cgroup_tree *tree = NULL;
	int r = reclaim_read(o->reclaim, &reading->after, err);

	if (r < 0)
		return r;
	read_counters(env, o, reading, facts);
	reading->diff = latency_diff(o->before->latency, reading->after->latency);
	r = latency_rows_read(env, &env->host->cgroups, reading->diff, &reclaim_words,
			      &reading->rows, err);
	if (r < 0)
		return r;
	r = cgroup_tree_read(&env->host->cgroups, &tree, err);
	if (r < 0)
		return r;
	read_places(env, o, reading);
	read_targets(env, tree, reading);
	read_outliers(env, o, tree, reading);
	return 0;
}

static int finish(const struct check_env *env, void *self, struct check_result *result,
		  struct err *err)
{
	const struct observation *o = self;
	struct reclaim_facts facts = {
		.spec = env->spec,
		.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
		.cgroup_mode = env->host->cgroups.mode,
		.cgroup_mount = env->host->cgroups.memory.path,
	};
	struct reading reading = {0};
	int r = read_all(env, o, &reading, &facts, err);

	if (r == 0) {
		facts.rows = reading.rows;
		facts.places = reading.places;
		facts.targets = reading.targets;
		facts.n_targets = reading.n_targets;
		facts.outliers = reading.outliers;
		facts.n_outliers = reading.n_outliers;
		facts.outliers_unkept = reading.after->outliers_unkept - o->before->outliers_unkept;
		facts.by_pid = reading.after->by_pid;
		reclaim_judge(&facts, result);
	}
	reading_done(&reading);
	return r;
}

const struct check check_reclaim_latency = {
	.type = CHECK_RECLAIM_LATENCY,
	.needs = "BPF tracepoints: BTF, CAP_BPF, CAP_PERFMON",
	.probe = check_probe_bpf,
	.captures = true,
	.start = start,
	.finish = finish,
	.stop = stop,
};
