/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/prune.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum {
	LOOK_MS = 5000,
	GRACE_MS = 30000, /* a node that registers anew, a collector that is on its way */
	AT_ONCE = 10,	  /* deletions a look: 2 a second */
};

/* One deletion under way. */
struct deletion {
	struct kube_request *request; /* NULL: none */
	char *name;
};

struct prune {
	struct cluster *cluster;
	const struct map *diagnoses;
	struct loop_timer *timer;
	struct deletion deletions[AT_ONCE];
};

static const char *why_stale(const struct prune *prune, const struct report_summary *report)
{
	const struct entry *entry = map_get(prune->diagnoses, report->diagnosis);

	/* No node at all is no cluster that works: not a reason to forget what is known. */
	if (prune->cluster->nodes.n > 0 && !map_get(&prune->cluster->nodes, report->node))
		return "its node is gone";
	if (!entry)
		return "its diagnosis is gone";
	if (strcmp(entry_uid(entry), report->owner_uid) != 0)
		return "its diagnosis was made again";
	return NULL;
}

static void forget(struct deletion *deletion)
{
	free(deletion->name);
	*deletion = (struct deletion){0};
}

static void on_deleted(void *arg, const struct kube_response *response)
{
	struct deletion *deletion = arg;

	/* 409: written meanwhile. Whatever else: the next look tries again. */
	if (response->status != 200 && response->status != 202 && response->status != 404 &&
	    response->status != 409)
		log_warn("report %s: cannot be deleted: %s", deletion->name, response->error);
	forget(deletion);
}

static void delete_report(struct prune *prune, struct deletion *deletion,
			  const struct report_summary *report, const char *why)
{
	_cleanup_free_ char *path = xasprintf(CLUSTER_REPORTS_PATH "%s", report->name);

	log_info("report %s: deleted: %s", report->name, why);
	deletion->name = xstrdup(report->name);
	deletion->request = cluster_delete(prune->cluster, path, report->uid, report->version,
					   on_deleted, deletion);
}

struct look {
	struct prune *prune;
	uint64_t now_ns;
	size_t slot;
};

static void look_at(void *arg, struct report_summary *report)
{
	struct look *look = arg;
	const char *why = why_stale(look->prune, report);

	if (!why) {
		report->stale_ns = 0;
		return;
	}
	if (report->stale_ns == 0)
		report->stale_ns = look->now_ns;
	while (look->slot < AT_ONCE && look->prune->deletions[look->slot].request)
		look->slot++;
	if (look->slot < AT_ONCE && look->now_ns - report->stale_ns >= GRACE_MS * NSEC_PER_MSEC)
		delete_report(look->prune, &look->prune->deletions[look->slot], report, why);
}

static void on_timer(void *arg)
{
	struct prune *prune = arg;
	struct look look = {.prune = prune, .now_ns = clock_mono_ns()};

	loop_timer_arm(prune->timer, LOOK_MS);
	if (cluster_synced(prune->cluster) && cluster_may_write(prune->cluster))
		reports_each(&prune->cluster->reports, look_at, &look);
}

struct prune *prune_new(struct cluster *cluster, const struct map *diagnoses)
{
	struct prune *prune = xcalloc(1, sizeof(*prune));

	prune->cluster = cluster;
	prune->diagnoses = diagnoses;
	prune->timer = loop_timer_new(cluster->loop, on_timer, prune);
	loop_timer_arm(prune->timer, LOOK_MS);
	return prune;
}

void prune_stop(struct prune *prune)
{
	for (size_t i = 0; i < AT_ONCE; i++) {
		kube_request_cancel(prune->deletions[i].request);
		forget(&prune->deletions[i]);
	}
}

void prune_free(struct prune *prune)
{
	if (!prune)
		return;
	prune_stop(prune);
	loop_timer_free(prune->timer);
	free(prune);
}
