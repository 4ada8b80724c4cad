/* SPDX-License-Identifier: Apache-2.0 */
/* What is known of the cluster and the clock, as the computation of a status wants it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controller/entry_internal.h"

struct node_gather {
	const struct spec *spec;
	const char **nodes;
	size_t n;
};

/* The agents' DaemonSet covers Linux nodes alone: others would be waited for in vain, unless asked for by name. */
static bool may_have_agent(const struct spec *spec, const cJSON *labels)
{
	const char *os = cJSON_GetStringValue(tree_member(labels, "kubernetes.io/os"));

	return spec->node_name || !os || strcmp(os, "linux") == 0;
}

static void gather_node(void *arg, const char *name, void *labels)
{
	struct node_gather *gather = arg;

	if (spec_targets_node(gather->spec, name, labels) && may_have_agent(gather->spec, labels))
		gather->nodes[gather->n++] = name;
}

/* The pod's node alone, as the active run was opened with or as it was looked up. */
static size_t pod_node(const struct entry *entry, const char **nodes, struct status_input *in)
{
	const char *node = tree_str(entry->object, "status.run.nodeName");

	if (!entry_is_running(entry) || !node)
		node = entry->pod.node;
	in->no_nodes_reason = entry->pod.reason;
	in->no_nodes_message = entry->pod.message;
	nodes[0] = node;
	return node ? 1 : 0;
}

void zone_done(struct zone *zone)
{
	free(zone->name);
	tz_free(zone->tz);
	*zone = (struct zone){0};
}

static void read_zone(struct entry *entry, const char *name)
{
	struct zone *zone = &entry->zone;

	if (zone->good && zone->name && strcmp(zone->name, name) == 0)
		return;
	zone_done(zone);
	zone->name = xstrdup(name);
	zone->good = tz_load(entry->cluster->zoneinfo, name, &zone->tz, &zone->fault) == 0;
}

/* The time on a clock that has not been set since the active run was first seen. */
static time_t time_of_run(struct entry *entry, time_t now)
{
	struct sighting *seen = &entry->sighting;
	const char *id = tree_str_or_empty(entry->object, "status.run.id");

	if (strcmp(tree_str_or_empty(entry->object, "status.run.state"), "Running") != 0)
		return 0;
	if (strcmp(seen->run_id, id) != 0) {
		(void)snprintf(seen->run_id, sizeof(seen->run_id), "%s", id);
		seen->wall = now;
		seen->mono_ns = clock_mono_ns();
	}
	return seen->wall + (time_t)((clock_mono_ns() - seen->mono_ns) / NSEC_PER_SEC);
}

void entry_gather(struct entry *entry, const struct spec *spec, struct status_input *in,
		  struct gathered *gathered)
{
	const struct cluster *cluster = entry->cluster;
	struct node_gather gather = {.spec = spec};

	gather.nodes = gathered->nodes = xcalloc(cluster->nodes.n + 1, sizeof(*gather.nodes));
	if (spec->pod_name)
		gather.n = pod_node(entry, gather.nodes, in);
	else
		map_each(&cluster->nodes, gather_node, &gather);
	in->nodes = gather.nodes;
	in->n_nodes = gather.n;
	in->n_reports = reports_count(&cluster->reports, entry->name);
	gathered->reports = xcalloc(in->n_reports, sizeof(*gathered->reports));
	reports_list(&cluster->reports, entry->name, gathered->reports);
	in->reports = gathered->reports;
	in->run_now = time_of_run(entry, in->now);
	if (spec->schedule) {
		read_zone(entry, spec->time_zone ? spec->time_zone : "UTC");
		in->zone = entry->zone.tz;
		in->zone_fault = entry->zone.good ? NULL : entry->zone.fault.msg;
	}
}
