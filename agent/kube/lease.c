/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/lease.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kube/conn.h"
#include "kube/timing.h"

enum {
	RELEASE_MS = 2000,
	REQUESTS_PER_DEADLINE =
		2, /* a request that hangs leaves time for another before leading ends */
};

struct kube_lease {
	struct kube_client *client;
	char *path, *namespace, *name, *identity;
	void (*changed)(void *arg, bool held);
	void *arg;
	struct loop_timer *tick;   /* the next try */
	struct loop_timer *expiry; /* when leading ends unless renewed */
	struct kube_request *request;
	cJSON *seen;	     /* the Lease as it was seen last; NULL: never */
	uint64_t changed_ns; /* when it was last seen to change */
	uint64_t sent_ns;    /* when the request in flight was sent */
	uint64_t renewed_ns; /* when the last renewal that worked was sent */
	bool held, told;     /* told: what changed() was last told */
	bool missing;	     /* there is no such Lease yet */
	unsigned int failures;
	void (*released)(void *arg);
	void *released_arg;
};

static void try(void *arg);

static uint64_t ms_since(uint64_t ns)
{
	return (clock_mono_ns() - ns) / NSEC_PER_MSEC;
}

bool kube_lease_held(const struct kube_lease *lease)
{
	return lease->held && ms_since(lease->renewed_ns) < kube_timing.lease_renew_ms;
}

static void tell(struct kube_lease *lease)
{
	bool held = kube_lease_held(lease);

	if (held == lease->told)
		return;
	lease->told = held;
	log_info("%s", held ? "leading" : "no longer leading");
	lease->changed(lease->arg, held);
}

static const char *holder(const struct kube_lease *lease)
{
	return tree_str_or_empty(lease->seen, "spec.holderIdentity");
}

/* Whether it may be taken, or renewed: nobody's, ours, or not changed for as long as it says that it holds. */
static bool is_free(const struct kube_lease *lease)
{
	int64_t seconds = tree_int_or(lease->seen, "spec.leaseDurationSeconds", 0);

	if (!*holder(lease) || strcmp(holder(lease), lease->identity) == 0)
		return true;
	return ms_since(lease->changed_ns) >= (uint64_t)(seconds > 0 ? seconds : 0) * 1000;
}

static void see(struct kube_lease *lease, const cJSON *object)
{
	if (strcmp(tree_str_or_empty(object, "metadata.resourceVersion"),
		   tree_str_or_empty(lease->seen, "metadata.resourceVersion")) != 0)
		lease->changed_ns = clock_mono_ns();
	cJSON_Delete(lease->seen);
	lease->seen = cJSON_Duplicate(object, true);
	cJSON_DeleteItemFromObjectCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(lease->seen, "metadata"), "managedFields");
}

/* --- requests --------------------------------------------------------------------------------------------------------- */

static void ask(struct kube_lease *lease, const char *method, const char *path, const cJSON *body,
		kube_response_fn done)
{
	_cleanup_free_ char *text = body ? tree_print_json(body, false) : NULL;
	const struct kube_request_opts opts = {
		.method = method,
		.path = path,
		.content_type = body ? "application/json" : NULL,
		.body = text,
		.timeout_ms = kube_timing.lease_renew_ms / REQUESTS_PER_DEADLINE,
		.urgent = true,
	};

	lease->sent_ns = clock_mono_ns();
	lease->request = kube_request(lease->client, &opts, done, lease);
}

/* The Lease with us as its holder, or with nobody; resting on what was seen. */
static cJSON *wanted(const struct kube_lease *lease, bool release)
{
	cJSON *body = cJSON_CreateObject(), *metadata, *spec;
	const cJSON *old = tree_get(lease->seen, "spec");
	bool ours = strcmp(holder(lease), lease->identity) == 0;
	int64_t transitions = tree_int_or(old, "leaseTransitions", 0);
	char now[CLOCK_MICRO_TEXT_MAX];

	(void)clock_format_micro_now(now);
	tree_add_str(body, "apiVersion", "coordination.k8s.io/v1");
	tree_add_str(body, "kind", "Lease");
	metadata = tree_add_object(body, "metadata");
	tree_add_str(metadata, "name", lease->name);
	tree_add_str(metadata, "namespace", lease->namespace);
	tree_add_str(metadata, "uid", tree_str(lease->seen, "metadata.uid"));
	tree_add_str(metadata, "resourceVersion",
		     tree_str(lease->seen, "metadata.resourceVersion"));
	spec = tree_add_object(body, "spec");
	cJSON_AddStringToObject(spec, "holderIdentity", release ? "" : lease->identity);
	tree_add_int(spec, "leaseDurationSeconds",
		     release ? 1 : (int64_t)((kube_timing.lease_ms + 999) / 1000));
	tree_add_str(spec, "renewTime", now);
	tree_add_str(spec, "acquireTime",
		     ours && tree_str(old, "acquireTime") ? tree_str(old, "acquireTime") : now);
	tree_add_int(spec, "leaseTransitions",
		     lease->seen && !ours ? transitions + 1 : transitions);
	return body;
}

static void failed(struct kube_lease *lease, const char *what, const struct kube_response *response)
{
	/* Once at warn; an API server that is away is told by others, too. */
	log_line(lease->failures++ == 0 ? LOG_LEVEL_WARN : LOG_LEVEL_DEBUG, "lease %s/%s: %s: %s",
		 lease->namespace, lease->name, what, response->error);
}

static void on_taken(void *arg, const struct kube_response *response)
{
	struct kube_lease *lease = arg;

	lease->request = NULL;
	lease->missing = false;
	if (response->status == 200 || response->status == 201) {
		see(lease, response->body);
		lease->renewed_ns = lease->sent_ns;
		lease->held = true;
		lease->failures = 0;
		loop_timer_arm(lease->expiry, kube_timing.lease_renew_ms);
		tell(lease);
		return;
	}
	if (response->status != 409)
		failed(lease, "cannot be written", response);
	/* Somebody else wrote it, or deleted it: what was seen is old. */
	if (response->status == 409 || response->status == 404) {
		cJSON_Delete(lease->seen);
		lease->seen = NULL;
	}
}

static void take(struct kube_lease *lease)
{
	_cleanup_tree_ cJSON *body = wanted(lease, false);
	_cleanup_free_ char *path = NULL;

	if (lease->seen) {
		ask(lease, "PUT", lease->path, body, on_taken);
		return;
	}
	path = xasprintf("/apis/coordination.k8s.io/v1/namespaces/%s/leases", lease->namespace);
	ask(lease, "POST", path, body, on_taken);
}

static void on_seen(void *arg, const struct kube_response *response)
{
	struct kube_lease *lease = arg;

	lease->request = NULL;
	if (response->status == 200) {
		see(lease, response->body);
		if (strcmp(holder(lease), lease->identity) != 0 && lease->held) {
			lease->held = false;
			tell(lease);
		}
	} else if (response->status == 404) {
		lease->missing = true;
		cJSON_Delete(lease->seen);
		lease->seen = NULL;
	} else {
		failed(lease, "cannot be read", response);
		return;
	}
	if (lease->missing || is_free(lease))
		take(lease);
}

static void on_expiry(void *arg)
{
	struct kube_lease *lease = arg;
	uint64_t ms = ms_since(lease->renewed_ns);

	if (ms < kube_timing.lease_renew_ms) {
		loop_timer_arm(lease->expiry, kube_timing.lease_renew_ms - ms);
		return;
	}
	lease->held = false;
	tell(lease);
}

static void try(void *arg)
{
	struct kube_lease *lease = arg;
	uint64_t delay = kube_timing.lease_retry_ms;

	/* Those who wait come a little apart. */
	loop_timer_arm(lease->tick,
		       kube_lease_held(lease) ? delay : delay + kube_random_below(delay / 5 + 1));
	if (lease->request)
		return;
	if (lease->seen && strcmp(holder(lease), lease->identity) == 0 && lease->held)
		take(lease);
	else
		ask(lease, "GET", lease->path, NULL, on_seen);
}

/* --- life ------------------------------------------------------------------------------------------------------------- */

struct kube_lease *kube_lease_new(struct kube_client *client, const struct kube_lease_opts *opts)
{
	struct loop *loop = kube_client_loop(client);
	struct kube_lease *lease = xcalloc(1, sizeof(*lease));

	lease->client = client;
	lease->namespace = xstrdup(opts->namespace);
	lease->name = xstrdup(opts->name);
	lease->identity = xstrdup(opts->identity);
	lease->path = xasprintf("/apis/coordination.k8s.io/v1/namespaces/%s/leases/%s",
				opts->namespace, opts->name);
	lease->changed = opts->changed;
	lease->arg = opts->arg;
	lease->tick = loop_timer_new(loop, try, lease);
	lease->expiry = loop_timer_new(loop, on_expiry, lease);
	loop_timer_arm(lease->tick, 0);
	return lease;
}

void kube_lease_free(struct kube_lease *lease)
{
	if (!lease)
		return;
	kube_request_cancel(lease->request);
	loop_timer_free(lease->tick);
	loop_timer_free(lease->expiry);
	cJSON_Delete(lease->seen);
	free(lease->path);
	free(lease->namespace);
	free(lease->name);
	free(lease->identity);
	free(lease);
}

static void on_released(void *arg, const struct kube_response *response)
{
	struct kube_lease *lease = arg;

	lease->request = NULL;
	if (response && response->status != 200)
		failed(lease, "cannot be given up", response);
	lease->released(lease->released_arg);
}

static void nothing_to_release(void *arg)
{
	on_released(arg, NULL);
}

void kube_lease_release(struct kube_lease *lease, void (*done)(void *arg), void *arg)
{
	struct loop *loop = kube_client_loop(lease->client);
	bool held = kube_lease_held(lease);
	_cleanup_tree_ cJSON *body = wanted(lease, true);
	_cleanup_free_ char *text = tree_print_json(body, false);
	const struct kube_request_opts opts = {.method = "PUT",
					       .path = lease->path,
					       .content_type = "application/json",
					       .body = text,
					       .timeout_ms = RELEASE_MS,
					       .urgent = true};

	/* A renewal that is under way would take it again. */
	kube_request_cancel(lease->request);
	lease->request = NULL;
	loop_timer_disarm(lease->tick);
	lease->held = false;
	lease->released = done;
	lease->released_arg = arg;
	if (held) {
		lease->request = kube_request(lease->client, &opts, on_released, lease);
		loop_timer_disarm(lease->expiry);
	} else {
		loop_timer_free(lease->expiry);
		lease->expiry = loop_timer_new(loop, nothing_to_release, lease);
		loop_timer_arm(lease->expiry, 0);
	}
	tell(lease);
}
