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
	int (*read)(void *self, struct latency_snapshot **ret, struct err *err);
};

static const struct latency_family families[] = {
	{0},
};

/* A row of a container. Several cgroups can be one container's. */
struct container_row {
	const struct pod_cgroup *item;
	uint32_t cause;
	struct hist hist;
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

static void put_containers(const struct latency_family *family, struct container_row *rows,
			   size_t n, struct exposition *e)
{
	struct label labels[CONTAINER_LABELS + 1];

	exposition_family(e, family->container_name, EXPOSITION_HISTOGRAM, family->container_help);
	if (n > 1)
		qsort(rows, n, sizeof(*rows), by_container);
	for (size_t i = 0; i < n; i++) {
		struct hist sum = rows[i].hist;

		while (i + 1 < n && by_container(&rows[i], &rows[i + 1]) == 0)
			hist_add(&sum, &rows[++i].hist);
		(void)container_labels(rows[i].item, labels);
		labels[CONTAINER_LABELS] = (struct label){"cause", family->causes[rows[i].cause]};
		exposition_hist(e, labels, CONTAINER_LABELS + 1, &sum);
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

		exposition_hist(e, &label, 1, &sums[cause]);
	}
	free(sums);
}

static void put_snapshot(struct reading *reading, const struct latency_family *family,
			 const struct latency_snapshot *snapshot, struct exposition *e)
{
	struct container_row *rows = xcalloc(snapshot->n + 1, sizeof(*rows));
	struct label labels[CONTAINER_LABELS];
	size_t n = 0;

	put_node(family, snapshot, e);
	for (size_t i = 0; i < snapshot->n && family->container_name; i++) {
		const struct latency_row *row = &snapshot->rows[i];
		struct pod_cgroup scratch = {0};
		const struct pod_cgroup *item =
			pods_find(reading->pods, row->cgroup_id, NULL, NULL, &scratch);

		if (!item)
			reading->unknown_cgroups++;
		else if (container_labels(item, labels) && row->cause < family->n_causes)
			rows[n++] = (struct container_row){item, row->cause, row->hist};
	}
	if (family->container_name)
		put_containers(family, rows, n, e);
	free(rows);
}

void export_latency(struct reading *reading, struct exposition *e)
{
	struct latency_snapshot *snapshots[ARRAY_SIZE(families)] = {0};

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		void *self = reading->captures[families[i].type];

		if (self && families[i].read && families[i].read(self, &snapshots[i], NULL) == 0)
			put_snapshot(reading, &families[i], snapshots[i], e);
	}
	exposition_family(e, "memdiag_lost_events_total", EXPOSITION_COUNTER,
			  "Events that are in no histogram: a map was full.");
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		const struct label label = {"capture", capture_names[families[i].type]};

		if (snapshots[i])
			exposition_u64(e, &label, 1, snapshots[i]->lost);
		latency_snapshot_free(snapshots[i]);
	}
}
