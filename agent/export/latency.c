/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms of what the captures see, by cause: of the node, and of each pod's container. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "export/families.h"

/* One capture's families. */
struct latency_family {
	enum capture_type type;
	const char *node_name, *node_help;
	const char *container_name, *container_help; /* NULL: it is of no container */
	const char *const *causes;		     /* names of rows' causes */
	size_t n_causes;
	uint64_t from_us; /* shorter ones are not told apart */
	const struct latency_snapshot *(*get)(const struct reading *reading);
};

static const struct latency_snapshot *reclaim(const struct reading *reading)
{
	return reading->reclaim ? reading->reclaim->latency : NULL;
}

static const struct latency_snapshot *compaction(const struct reading *reading)
{
	return reading->compaction;
}

static const struct latency_snapshot *run_queue(const struct reading *reading)
{
	return reading->run_queue ? reading->run_queue->waits : NULL;
}

static const struct latency_snapshot *stalls(const struct reading *reading)
{
	return reading->stalls ? reading->stalls->waits : NULL;
}

static const char *const stall_causes[STALLS_KINDS] = {
	[STALLS_NO_SCHED] = "no-schedule",
	[STALLS_IRQ_OFF] = "irq-off-or-steal",
};

static const char *const run_queue_causes[RUNQUEUE_CAUSES] = {
	[RUNQUEUE_CONTENTION] = "contention",
	[RUNQUEUE_THROTTLED] = "throttled",
};

static const struct latency_family families[] = {
	{
		.type = CAPTURE_RECLAIM,
		.node_name = "memdiag_node_direct_reclaim_seconds",
		.node_help = "How long tasks had to reclaim memory themselves, by cause.",
		.container_name = "memdiag_container_direct_reclaim_seconds",
		.container_help = "The same by container.",
		.causes = reclaim_cause_names,
		.n_causes = RECLAIM_CAUSES,
		.get = reclaim,
	},
	{
		.type = CAPTURE_COMPACTION,
		.node_name = "memdiag_node_compaction_seconds",
		.node_help = "How long memory was compacted: by tasks that waited (direct), and in "
			     "the background.",
		.container_name = "memdiag_container_compaction_seconds",
		.container_help = "The same by container.",
		.causes = compaction_cause_names,
		.n_causes = COMPACTION_CAUSES,
		.get = compaction,
	},
	{
		.type = CAPTURE_RUN_QUEUE,
		.node_name = "memdiag_node_run_queue_wait_seconds",
		.node_help = "How long runnable tasks waited for a CPU: others had it, or the "
			     "quota was used up.",
		.container_name = "memdiag_container_run_queue_wait_seconds",
		.container_help = "The same by container.",
		.causes = run_queue_causes,
		.n_causes = RUNQUEUE_CAUSES,
		.from_us = 1000,
		.get = run_queue,
	},
	{
		.type = CAPTURE_STALLS,
		.node_name = "memdiag_node_scheduling_stall_seconds",
		.node_help =
			"How long CPUs did not schedule although asked to, or held interrupts off.",
		.container_name = "memdiag_container_scheduling_stall_seconds",
		.container_help =
			"The same by the container whose task kept the CPU in the kernel.",
		.causes = stall_causes,
		.n_causes = STALLS_KINDS,
		.from_us = 5000,
		.get = stalls,
	},
};

static int by_container(const void *pa, const void *pb)
{
	const struct container_row *a = pa, *b = pb;
	int r = strcmp(a->item->ns, b->item->ns);

	if (r == 0)
		r = strcmp(a->item->pod, b->item->pod);
	if (r == 0)
		r = strcmp(a->item->container, b->item->container);
	return r ? r : (a->cause > b->cause) - (a->cause < b->cause);
}

struct container_row *container_rows(struct reading *reading,
				     const struct latency_snapshot *snapshot, size_t *ret_n)
{
	struct container_row *rows = xcalloc(snapshot->n + 1, sizeof(*rows));
	struct label labels[CONTAINER_LABELS];
	size_t n = 0, merged = 0;

	for (size_t i = 0; i < snapshot->n; i++) {
		const struct latency_row *row = &snapshot->rows[i];
		struct pod_cgroup scratch = {0};
		const struct pod_cgroup *item =
			pods_find(reading->pods, row->cgroup_id, NULL, NULL, &scratch);

		if (!item)
			reading->unknown_cgroups++;
		else if (container_labels(item, labels))
			rows[n++] = (struct container_row){item, row->cause, row->hist};
	}
	if (n > 1)
		qsort(rows, n, sizeof(*rows), by_container);
	for (size_t i = 1; i < n; i++) {
		if (by_container(&rows[merged], &rows[i]) == 0)
			hist_add(&rows[merged].hist, &rows[i].hist);
		else
			rows[++merged] = rows[i];
	}
	*ret_n = n ? merged + 1 : 0;
	return rows;
}

static void put_containers(const struct latency_family *family, const struct container_row *rows,
			   size_t n, struct exposition *e)
{
	struct label labels[CONTAINER_LABELS + 1];

	exposition_family(e, family->container_name, EXPOSITION_HISTOGRAM, family->container_help);
	for (size_t i = 0; i < n; i++) {
		if (rows[i].cause >= family->n_causes)
			continue;
		(void)container_labels(rows[i].item, labels);
		labels[CONTAINER_LABELS] = (struct label){"cause", family->causes[rows[i].cause]};
		exposition_hist(e, labels, CONTAINER_LABELS + 1, &rows[i].hist, family->from_us);
	}
}

static void put_node(const struct latency_family *family, const struct latency_snapshot *snapshot,
		     struct exposition *e)
{
	struct hist *sums = xcalloc(family->n_causes, sizeof(*sums));

	for (size_t i = 0; i < snapshot->n; i++) {
		if (snapshot->rows[i].cause < family->n_causes)
			hist_add(&sums[snapshot->rows[i].cause], &snapshot->rows[i].hist);
	}
	exposition_family(e, family->node_name, EXPOSITION_HISTOGRAM, family->node_help);
	for (size_t cause = 0; cause < family->n_causes; cause++) {
		const struct label label = {"cause", family->causes[cause]};

		exposition_hist(e, &label, 1, &sums[cause], family->from_us);
	}
	free(sums);
}

static void put_snapshot(struct reading *reading, const struct latency_family *family,
			 const struct latency_snapshot *snapshot, struct exposition *e)
{
	struct container_row *rows;
	size_t n;

	put_node(family, snapshot, e);
	if (!family->container_name)
		return;
	rows = container_rows(reading, snapshot, &n);
	put_containers(family, rows, n, e);
	free(rows);
}

void export_latency(struct reading *reading, struct exposition *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		const struct latency_snapshot *snapshot = families[i].get(reading);

		if (snapshot)
			put_snapshot(reading, &families[i], snapshot, e);
	}
	exposition_family(e, "memdiag_lost_events_total", EXPOSITION_COUNTER,
			  "Events that are in no histogram: a map was full.");
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		const struct latency_snapshot *snapshot = families[i].get(reading);
		const struct label label = {"capture", capture_names[families[i].type]};

		if (snapshot)
			exposition_u64(e, &label, 1, snapshot->lost);
	}
}
