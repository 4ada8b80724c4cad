/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/events.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "kube/conn.h"

enum {
	BURST = 25,
	REFILL_MS = 2000, /* one more */
	TRIES = 4,
	FLYING_MAX = 50, /* that wait for an answer or for another try */
	NAME_MAX_BYTES = 230,
	NOTE_MAX = 1024,
};

/* An event on its way. */
struct flight {
	struct flight *next;
	struct kube_events *events;
	struct kube_request *request;
	struct loop_timer *timer;
	unsigned int tries;
	char *path, *body;
};

struct kube_events {
	struct kube_client *client;
	char *controller, *instance;
	struct flight *flying;
	unsigned int n_flying;
	uint64_t tokens, refilled_ns;
	struct kube_events_stats stats;
};

struct kube_events *kube_events_new(struct kube_client *client, const char *controller,
				    const char *instance)
{
	struct kube_events *events = xcalloc(1, sizeof(*events));

	events->client = client;
	events->controller = xstrdup(controller);
	events->instance = xstrdup(instance);
	events->tokens = BURST;
	events->refilled_ns = clock_mono_ns();
	return events;
}

static void flight_free(struct flight *flight)
{
	struct flight **at = &flight->events->flying;

	while (*at != flight)
		at = &(*at)->next;
	*at = flight->next;
	flight->events->n_flying--;
	kube_request_cancel(flight->request);
	loop_timer_free(flight->timer);
	free(flight->path);
	free(flight->body);
	free(flight);
}

void kube_events_cancel(struct kube_events *events)
{
	events->stats.dropped += events->n_flying;
	while (events->flying)
		flight_free(events->flying);
}

void kube_events_free(struct kube_events *events)
{
	if (!events)
		return;
	kube_events_cancel(events);
	free(events->controller);
	free(events->instance);
	free(events);
}

struct kube_events_stats kube_events_stats(const struct kube_events *events)
{
	return events->stats;
}

static bool may_send(struct kube_events *events)
{
	uint64_t now = clock_mono_ns();
	uint64_t more = (now - events->refilled_ns) / (REFILL_MS * NSEC_PER_MSEC);

	events->refilled_ns += more * REFILL_MS * NSEC_PER_MSEC;
	events->tokens = more > BURST - events->tokens ? BURST : events->tokens + more;
	if (events->tokens == 0 || events->n_flying == FLYING_MAX)
		return false;
	events->tokens--;
	return true;
}

static void on_sent(void *arg, const struct kube_response *response)
{
	struct flight *flight = arg;
	struct kube_events_stats *stats = &flight->events->stats;

	flight->request = NULL;
	if (response->status == 201 || response->status == 200) {
		stats->sent++;
	} else if (response->status == 409) {
		stats->known++;
	} else if (kube_retryable(response) && ++flight->tries < TRIES) {
		loop_timer_arm(flight->timer,
			       kube_backoff_ms(flight->tries, response->retry_after_ms));
		return;
	} else {
		/* A namespace that is being deleted takes none, for example. */
		stats->failed++;
		log_debug("event: %s", response->error);
	}
	flight_free(flight);
}

static void post(void *arg)
{
	struct flight *flight = arg;
	const struct kube_request_opts opts = {.method = "POST",
					       .path = flight->path,
					       .content_type = "application/json",
					       .body = flight->body};

	flight->request = kube_request(flight->events->client, &opts, on_sent, flight);
}

/* <object>.<hash of what makes it this event>, a DNS subdomain as the object's name is one. */
static char *event_name(const struct kube_event *event)
{
	_cleanup_free_ char *all = xasprintf("%s/%s/%s/%s", event->uid ? event->uid : "",
					     event->name, event->reason, event->key);

	return xasprintf("%.*s.%016" PRIx64, NAME_MAX_BYTES, event->name,
			 num_hash(all, strlen(all)));
}

static char *event_body(const struct kube_events *events, const struct kube_event *event)
{
	_cleanup_tree_ cJSON *body = cJSON_CreateObject();
	_cleanup_free_ char *name = event_name(event);
	char now[CLOCK_MICRO_TEXT_MAX];
	cJSON *object;

	tree_add_str(body, "apiVersion", "events.k8s.io/v1");
	tree_add_str(body, "kind", "Event");
	object = tree_add_object(body, "metadata");
	tree_add_str(object, "name", name);
	tree_add_str(object, "namespace", event->namespace ? event->namespace : "default");
	tree_add_str(body, "eventTime", clock_format_micro_now(now));
	tree_add_str(body, "reportingController", events->controller);
	tree_add_str(body, "reportingInstance", events->instance);
	tree_add_str(body, "action", event->action);
	tree_add_str(body, "reason", event->reason);
	tree_add_str(body, "type", event->warning ? "Warning" : "Normal");
	tree_add_text(body, "note", event->note, NOTE_MAX);
	object = tree_add_object(body, "regarding");
	tree_add_str(object, "apiVersion", event->api_version);
	tree_add_str(object, "kind", event->kind);
	tree_add_str(object, "namespace", event->namespace);
	tree_add_str(object, "name", event->name);
	tree_add_str(object, "uid", event->uid);
	return tree_print_json(body, false);
}

void kube_events_emit(struct kube_events *events, const struct kube_event *event)
{
	struct flight *flight;

	if (!may_send(events)) {
		if (events->stats.dropped++ == 0)
			log_warn("events: too many; %s of %s and maybe others are not sent",
				 event->reason, event->name);
		return;
	}
	flight = xcalloc(1, sizeof(*flight));
	flight->events = events;
	flight->timer = loop_timer_new(kube_client_loop(events->client), post, flight);
	flight->path = xasprintf("/apis/events.k8s.io/v1/namespaces/%s/events",
				 event->namespace ? event->namespace : "default");
	flight->body = event_body(events, event);
	flight->next = events->flying;
	events->flying = flight;
	events->n_flying++;
	post(flight);
}
