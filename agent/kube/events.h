/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events (events.k8s.io/v1): what `kubectl describe` and `kubectl get events` show. Best effort: they are sent once or, when
 * the API server is away for a moment, a few times, and never hold anything up.
 *
 * Deduplicated by their names, which are made of what they are about: whoever sends the same event again, also after a
 * restart or as the next leader, gets 409 and leaves it at that. Bounded: 25 at once and one more every 2 s; what is
 * beyond is dropped, counted and logged.
 */
#ifndef MEMDIAG_KUBE_EVENTS_H
#define MEMDIAG_KUBE_EVENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "kube/client.h"

struct kube_events;

/* controller: "memdiag.io/agent"; instance: who of them. Both copied. */
struct kube_events *kube_events_new(struct kube_client *client, const char *controller,
				    const char *instance);
void kube_events_free(struct kube_events *events);

struct kube_event {
	/* The object it is about. namespace NULL: a cluster-scoped one, whose events are in "default". */
	const char *api_version, *kind, *namespace, *name, *uid;
	bool warning;
	const char *reason; /* CamelCase, as the action */
	const char *action;
	const char *note; /* for people; cut to 1024 bytes */
	const char *key;  /* with object and reason: the same event, such as the run's id */
};

void kube_events_emit(struct kube_events *events, const struct kube_event *event);

/* Whoever tells them has lost the right to: what is under way or waits for another try is dropped, and counted as that. */
void kube_events_cancel(struct kube_events *events);

struct kube_events_stats {
	uint64_t sent, known, failed, dropped; /* known: somebody had sent it */
};
struct kube_events_stats kube_events_stats(const struct kube_events *events);

#endif
