/* SPDX-License-Identifier: Apache-2.0 */
/* A Warning event on the pod for each finding that has become Critical. Private to agent/node/. */
#ifndef MEMDIAG_NODE_POD_EVENTS_H
#define MEMDIAG_NODE_POD_EVENTS_H

#include "base/tree.h"
#include "kube/events.h"

enum { POD_EVENTS_MAX = 10 }; /* of one report; the report has them all */

/*
 * Emits events for the findings of a report that are Critical, name a pod with its UID, and were not Critical in the one
 * before (NULL: none).
 */
void pod_events_emit(struct kube_events *events, const cJSON *report, const cJSON *previous);

#endif
