/* SPDX-License-Identifier: Apache-2.0 */
/* One diagnosis the controller looks after, and what entries need of their controller. Private to agent/controller/. */
#ifndef MEMDIAG_CONTROLLER_ENTRY_H
#define MEMDIAG_CONTROLLER_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "base/tree.h"
#include "controller/reports.h"
#include "kube/client.h"
#include "kube/events.h"
#include "kube/lease.h"
#include "kube/loop.h"

#define CLUSTER_DIAGNOSES_PATH "/apis/memdiag.io/v1alpha1/memorydiagnoses/"
#define CLUSTER_REPORTS_PATH   "/apis/memdiag.io/v1alpha1/memorydiagnosisreports/"

/* All that is known of the cluster. */
struct cluster {
	struct loop *loop;
	struct kube_client *client;
	struct kube_events *events;
	struct kube_lease *lease; /* NULL: nobody else is there to lead */
	const char *zoneinfo;	  /* folder of the time zones */
	struct map nodes;	  /* cJSON labels by node name */
	struct reports reports;
	bool nodes_synced, reports_synced, diagnoses_synced;
};

/* All lists are complete: what is not known is not there. */
bool cluster_synced(const struct cluster *cluster);
/* Whether we lead, at this moment. */
bool cluster_may_write(const struct cluster *cluster);
/* DELETE of exactly this version of this object. */
struct kube_request *cluster_delete(struct cluster *cluster, const char *path, const char *uid,
				    const char *version, kube_response_fn done, void *arg);

struct entry;

/* Takes a copy of the object. */
struct entry *entry_new(struct cluster *cluster, const cJSON *diagnosis);
void entry_free(void *entry);
const char *entry_uid(const struct entry *entry);
/* The object as the API server has it now. */
void entry_update(struct entry *entry, const cJSON *diagnosis);
/* Something it depends on has changed: it is looked at soon. */
void entry_touch(struct entry *entry);
/* A node has come, gone or changed its labels: matters to a run that is going on alone. */
void entry_nodes_changed(struct entry *entry);
/* We lead no longer: ends what is under way. */
void entry_stop(struct entry *entry);
/* Bookkeeping of relists: entries that a list did not mention are gone. */
void entry_set_seen(struct entry *entry, bool seen);
bool entry_seen(const struct entry *entry);

#endif
