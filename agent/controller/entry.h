/* SPDX-License-Identifier: Apache-2.0 */
/* One diagnosis the controller looks after. Private to agent/controller/. */
#ifndef MEMDIAG_CONTROLLER_ENTRY_H
#define MEMDIAG_CONTROLLER_ENTRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "base/tree.h"
#include "kube/client.h"
#include "kube/loop.h"

/* What entries need of their controller: all that is known of the cluster. */
struct cluster {
	struct loop *loop;
	struct kube_client *client;
	struct map nodes;   /* cJSON labels by node name */
	struct map reports; /* struct report_summary by report name */
	bool nodes_synced, reports_synced;
};

struct entry;

/* Takes a copy of the object. */
struct entry *entry_new(struct cluster *cluster, const cJSON *diagnosis);
void entry_free(void *entry);
/* The object as the API server has it now. */
void entry_update(struct entry *entry, const cJSON *diagnosis);
/* Something it depends on has changed: it is looked at soon. */
void entry_touch(struct entry *entry);
/* Bookkeeping of relists: entries that a list did not mention are gone. */
void entry_set_seen(struct entry *entry, bool seen);
bool entry_seen(const struct entry *entry);

#endif
