/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/controller.h"

#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "controller/clock_watch.h"
#include "controller/entry.h"
#include "controller/prune.h"
#include "kube/watch.h"

struct controller {
	struct cluster cluster;
	struct map entries; /* struct entry by diagnosis name */
	struct kube_watch *diagnoses, *reports, *nodes;
	struct prune *prune;
	struct clock_watch *clock;
};

static void touch(void *arg, const char *name, void *entry)
{
	(void)arg;
	(void)name;
	entry_touch(entry);
}

static void touch_all(void *controller)
{
	map_each(&((struct controller *)controller)->entries, touch, NULL);
}

/* --- diagnoses --------------------------------------------------------------------------------------------------- */

static void mark_entry_unseen(void *arg, const char *name, void *entry)
{
	(void)arg;
	(void)name;
	entry_set_seen(entry, false);
}

static int entry_is_unseen(void *entry)
{
	return !entry_seen(entry);
}

static void diagnoses_begin(void *arg)
{
	map_each(&((struct controller *)arg)->entries, mark_entry_unseen, NULL);
}

static void diagnosis_upsert(void *arg, const cJSON *object)
{
	struct controller *controller = arg;
	const char *name = tree_str_or_empty(object, "metadata.name");
	struct entry *entry = map_get(&controller->entries, name);

	/* Deleted and made again while nobody looked: another one of the same name. */
	if (entry && strcmp(entry_uid(entry), tree_str_or_empty(object, "metadata.uid")) == 0) {
		entry_update(entry, object);
	} else {
		entry = entry_new(&controller->cluster, object);
		map_set(&controller->entries, name, entry);
	}
	entry_set_seen(entry, true);
}

static void diagnosis_remove(void *arg, const cJSON *object)
{
	struct controller *controller = arg;

	map_remove(&controller->entries, tree_str_or_empty(object, "metadata.name"));
}

static void diagnoses_end(void *arg)
{
	struct controller *controller = arg;

	map_sweep(&controller->entries, entry_is_unseen);
	controller->cluster.diagnoses_synced = true;
	touch_all(controller);
}

/* --- reports ----------------------------------------------------------------------------------------------------- */

static void reports_begin(void *arg)
{
	reports_mark(&((struct controller *)arg)->cluster.reports);
}

static void report_upsert(void *arg, const cJSON *object)
{
	struct controller *controller = arg;
	struct report_summary *summary = report_summary_new(object);
	struct entry *entry;

	if (!summary)
		return;
	summary->seen = true;
	entry = map_get(&controller->entries, summary->diagnosis);
	reports_set(&controller->cluster.reports, summary);
	if (entry)
		entry_touch(entry);
}

static void report_remove(void *arg, const cJSON *object)
{
	struct controller *controller = arg;

	reports_remove(&controller->cluster.reports, tree_str_or_empty(object, "metadata.name"));
}

static void reports_end(void *arg)
{
	struct controller *controller = arg;

	reports_sweep(&controller->cluster.reports);
	controller->cluster.reports_synced = true;
	touch_all(controller);
}

/* --- nodes ------------------------------------------------------------------------------------------------------- */

static const char seen_key[] = "memdiag.io/seen"; /* a member no label can have a boolean for */

static void free_labels(void *labels)
{
	cJSON_Delete(labels);
}

static void mark_node_unseen(void *arg, const char *name, void *labels)
{
	(void)arg;
	(void)name;
	cJSON_DeleteItemFromObjectCaseSensitive(labels, seen_key);
}

static int node_is_unseen(void *labels)
{
	return !tree_member(labels, seen_key);
}

static void nodes_begin(void *arg)
{
	map_each(&((struct controller *)arg)->cluster.nodes, mark_node_unseen, NULL);
}

static void nodes_changed(void *arg, const char *name, void *entry)
{
	(void)arg;
	(void)name;
	entry_nodes_changed(entry);
}

/* Nodes heartbeat through their status: only new labels are news. */
static void node_upsert(void *arg, const cJSON *object)
{
	struct controller *controller = arg;
	const char *name = tree_str_or_empty(object, "metadata.name");
	const cJSON *known = map_get(&controller->cluster.nodes, name);
	cJSON *labels = cJSON_Duplicate(tree_get(object, "metadata.labels"), true);
	bool news;

	if (!labels)
		labels = cJSON_CreateObject();
	cJSON_DeleteItemFromObjectCaseSensitive(labels, seen_key);
	cJSON_AddTrueToObject(labels, seen_key);
	news = !known || !cJSON_Compare(known, labels, true);
	map_set(&controller->cluster.nodes, name, labels);
	if (news && controller->cluster.nodes_synced)
		map_each(&controller->entries, nodes_changed, NULL);
}

static void node_remove(void *arg, const cJSON *object)
{
	struct controller *controller = arg;

	map_remove(&controller->cluster.nodes, tree_str_or_empty(object, "metadata.name"));
	map_each(&controller->entries, nodes_changed, NULL);
}

static void nodes_end(void *arg)
{
	struct controller *controller = arg;

	map_sweep(&controller->cluster.nodes, node_is_unseen);
	controller->cluster.nodes_synced = true;
	touch_all(controller);
}

/* --- leading ------------------------------------------------------------------------------------------------------ */

static void stop_entry(void *arg, const char *name, void *entry)
{
	(void)arg;
	(void)name;
	entry_stop(entry);
}

static void on_lease(void *arg, bool held)
{
	struct controller *controller = arg;

	if (held) {
		touch_all(controller);
		return;
	}
	/* What is under way would be written in another's time. */
	map_each(&controller->entries, stop_entry, NULL);
	prune_stop(controller->prune);
	kube_events_cancel(controller->cluster.events);
}

struct controller *controller_new(struct loop *loop, struct kube_client *client,
				  const struct controller_opts *opts)
{
	struct controller *controller = xcalloc(1, sizeof(*controller));
	struct cluster *cluster = &controller->cluster;
	const struct kube_watch_opts diagnoses = {
		.path = "/apis/memdiag.io/v1alpha1/memorydiagnoses",
		.fns = {diagnoses_begin, diagnosis_upsert, diagnosis_remove, diagnoses_end},
		.arg = controller,
	};
	const struct kube_watch_opts reports = {
		.path = "/apis/memdiag.io/v1alpha1/memorydiagnosisreports",
		.metadata_only = true,
		.fns = {reports_begin, report_upsert, report_remove, reports_end},
		.arg = controller,
	};
	const struct kube_watch_opts nodes = {
		.path = "/api/v1/nodes",
		.metadata_only = true,
		.fns = {nodes_begin, node_upsert, node_remove, nodes_end},
		.arg = controller,
	};
	const struct kube_lease_opts lease = {
		.namespace = opts->namespace,
		.name = CONTROLLER_LEASE,
		.identity = opts->identity,
		.changed = on_lease,
		.arg = controller,
	};

	cluster->loop = loop;
	cluster->client = client;
	cluster->zoneinfo = opts->zoneinfo;
	cluster->events = kube_events_new(client, "memdiag.io/controller", opts->identity);
	cluster->nodes = (struct map)MAP_INIT(free_labels);
	reports_init(&cluster->reports);
	controller->entries = (struct map)MAP_INIT(entry_free);
	controller->prune = prune_new(cluster, &controller->entries);
	controller->clock = clock_watch_new(loop, touch_all, controller);
	if (opts->leader_elect)
		cluster->lease = kube_lease_new(client, &lease);
	controller->nodes = kube_watch_new(client, &nodes);
	controller->reports = kube_watch_new(client, &reports);
	controller->diagnoses = kube_watch_new(client, &diagnoses);
	return controller;
}

static void resign_done(void *arg)
{
	loop_stop(((struct controller *)arg)->cluster.loop);
}

void controller_resign(struct controller *controller)
{
	if (!controller->cluster.lease)
		return;
	kube_lease_release(controller->cluster.lease, resign_done, controller);
	(void)loop_run(controller->cluster.loop, NULL);
}

void controller_free(struct controller *controller)
{
	if (!controller)
		return;
	kube_watch_free(controller->diagnoses);
	kube_watch_free(controller->reports);
	kube_watch_free(controller->nodes);
	clock_watch_free(controller->clock);
	prune_free(controller->prune);
	map_done(&controller->entries);
	kube_lease_free(controller->cluster.lease);
	kube_events_free(controller->cluster.events);
	reports_done(&controller->cluster.reports);
	map_done(&controller->cluster.nodes);
	free(controller);
}
