/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/entry.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "controller/entry_internal.h"
#include "controller/transitions.h"

#define FIELD_MANAGER "memdiag-controller"

enum {
	TOUCH_MS = 20,	 /* events come in bursts: one look at all of them */
	LOOK_SHARE = 10, /* one that costs 50 ms is followed by 500 ms without */
	WRITE_TIMEOUT_MS = 10 * 1000,
};

/* --- what entries need of their controller ------------------------------------------------------------------------------- */

bool cluster_synced(const struct cluster *cluster)
{
	return cluster->nodes_synced && cluster->reports_synced && cluster->diagnoses_synced;
}

bool cluster_may_write(const struct cluster *cluster)
{
	return !cluster->lease || kube_lease_held(cluster->lease);
}

struct kube_request *cluster_delete(struct cluster *cluster, const char *path, const char *uid,
				    const char *version, kube_response_fn done, void *arg)
{
	_cleanup_tree_ cJSON *body = cJSON_CreateObject();
	_cleanup_free_ char *text = NULL;
	struct kube_request_opts opts = {.method = "DELETE",
					 .path = path,
					 .content_type = "application/json",
					 .timeout_ms = WRITE_TIMEOUT_MS};
	cJSON *preconditions;

	tree_add_str(body, "apiVersion", "v1");
	tree_add_str(body, "kind", "DeleteOptions");
	tree_add_str(body, "propagationPolicy", "Background");
	preconditions = tree_add_object(body, "preconditions");
	tree_add_str(preconditions, "uid", uid);
	tree_add_str(preconditions, "resourceVersion", version);
	opts.body = text = tree_print_json(body, false);
	return kube_request(cluster->client, &opts, done, arg);
}

/* --- life --------------------------------------------------------------------------------------------------------------- */

struct entry *entry_new(struct cluster *cluster, const cJSON *diagnosis)
{
	struct entry *entry = xcalloc(1, sizeof(*entry));

	entry->cluster = cluster;
	entry->name = xstrdup(tree_str_or_empty(diagnosis, "metadata.name"));
	entry->timer = loop_timer_new(cluster->loop, entry_look, entry);
	entry_update(entry, diagnosis);
	return entry;
}

void entry_free(void *arg)
{
	struct entry *entry = arg;

	if (!entry)
		return;
	kube_request_cancel(entry->request);
	loop_timer_free(entry->timer);
	entry_forget_findings(entry);
	entry_forget_pod(entry);
	zone_done(&entry->zone);
	cJSON_Delete(entry->object);
	cJSON_Delete(entry->before);
	free(entry->written_version);
	free(entry->name);
	free(entry);
}

const char *entry_uid(const struct entry *entry)
{
	return tree_str_or_empty(entry->object, "metadata.uid");
}

bool entry_is_running(const struct entry *entry)
{
	return strcmp(tree_str_or_empty(entry->object, "status.run.state"), "Running") == 0 &&
	       tree_int_or(entry->object, "status.observedGeneration", -1) ==
		       tree_int_or(entry->object, "metadata.generation", 0);
}

void entry_update(struct entry *entry, const cJSON *diagnosis)
{
	cJSON_Delete(entry->object);
	entry->object = cJSON_Duplicate(diagnosis, true);
	/* Nobody here reads them, and they are half of the object. */
	cJSON_DeleteItemFromObjectCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(entry->object, "metadata"), "managedFields");
	entry_touch(entry);
}

void entry_touch(struct entry *entry)
{
	uint64_t pause = LOOK_SHARE * entry->look_ms;

	/* Touched before: events that never end must not put the look off. */
	if (entry->request || entry->touched)
		return;
	entry->touched = true;
	loop_timer_arm(entry->timer, pause > TOUCH_MS ? pause : TOUCH_MS);
}

void entry_nodes_changed(struct entry *entry)
{
	if (strcmp(tree_str_or_empty(entry->object, "status.run.state"), "Running") == 0)
		entry_touch(entry);
}

void entry_stop(struct entry *entry)
{
	kube_request_cancel(entry->request);
	entry->request = NULL;
	entry_forget_findings(entry);
	entry->tries = 0;
}

void entry_set_seen(struct entry *entry, bool seen)
{
	entry->seen = seen;
}

bool entry_seen(const struct entry *entry)
{
	return entry->seen;
}

/* --- writing ------------------------------------------------------------------------------------------------------------ */

static void tell(const struct entry *entry, const cJSON *new)
{
	struct transition list[TRANSITIONS_MAX];
	size_t n = transitions_find(entry->before, new, entry->missed, entry->missed_since, list);

	for (size_t i = 0; i < n; i++) {
		const struct kube_event event = {.api_version = SPEC_API_VERSION,
						 .kind = SPEC_KIND,
						 .name = entry->name,
						 .uid = entry_uid(entry),
						 .warning = list[i].warning,
						 .reason = list[i].reason,
						 .action = "Diagnose",
						 .note = list[i].note,
						 .key = list[i].key};

		log_info("%s: %s: %s", entry->name, list[i].reason, list[i].note);
		kube_events_emit(entry->cluster->events, &event);
	}
}

static void try_later(struct entry *entry, const struct kube_response *response)
{
	loop_timer_arm(entry->timer,
		       kube_backoff_ms(entry->tries++, response->retry_after_ms) + TOUCH_MS);
}

static void on_written(void *arg, const struct kube_response *response)
{
	struct entry *entry = arg;

	entry->request = NULL;
	if (response->status == 200) {
		entry->tries = 0;
		tell(entry, tree_get(response->body, "status"));
		entry_forget_findings(entry);
		free(entry->written_version);
		entry->written_version =
			xstrdup(tree_str_or_empty(response->body, "metadata.resourceVersion"));
		/* The answer is the newest object: the watch may be behind. */
		entry_update(entry, response->body);
		return;
	}
	entry->written_hash = 0;
	/* 409: somebody else changed it; the watch brings the new object. 404: deleted; the watch will say so. */
	if (response->status != 409 && response->status != 404 && entry->tries == 0)
		log_warn("%s: cannot write the status: %s; trying again", entry->name,
			 response->error);
	try_later(entry, response);
}

/* Whether this very status is what led to the object as it is: a server that keeps less than it is given is not told twice. */
static bool written_already(struct entry *entry, const cJSON *status)
{
	_cleanup_free_ char *text = tree_print_json(status, false);
	uint64_t hash = num_hash(text, strlen(text));

	if (hash == entry->written_hash && entry->written_version &&
	    strcmp(entry->written_version,
		   tree_str_or_empty(entry->object, "metadata.resourceVersion")) == 0)
		return true;
	entry->written_hash = hash;
	return false;
}

/* Takes ownership of status. */
static void write_status(struct entry *entry, cJSON *status)
{
	_cleanup_tree_ cJSON *body = cJSON_CreateObject();
	_cleanup_free_ char *path = xasprintf(CLUSTER_DIAGNOSES_PATH "%s/status", entry->name);
	cJSON *metadata;

	tree_add_str(body, "apiVersion", SPEC_API_VERSION);
	tree_add_str(body, "kind", SPEC_KIND);
	metadata = tree_add_object(body, "metadata");
	tree_add_str(metadata, "name", entry->name);
	tree_add_str(metadata, "uid", tree_str(entry->object, "metadata.uid"));
	tree_add_str(metadata, "resourceVersion",
		     tree_str(entry->object, "metadata.resourceVersion"));
	cJSON_AddItemToObject(body, "status", status);
	cJSON_Delete(entry->before);
	entry->before = cJSON_Duplicate(tree_get(entry->object, "status"), true);
	entry->last_write_ns = clock_mono_ns();
	entry->request =
		kube_apply(entry->cluster->client, path, FIELD_MANAGER, body, on_written, entry);
}

static void on_removed(void *arg, const struct kube_response *response)
{
	struct entry *entry = arg;

	entry->request = NULL;
	/* 200 and 404: the watch will say so. It is not asked for again before the backoff is over. */
	if (response->status == 200 || response->status == 202)
		log_info("%s: deleted, ttlSecondsAfterFinished has passed", entry->name);
	else if (response->status != 409 && response->status != 404)
		log_warn("%s: cannot be deleted: %s", entry->name, response->error);
	try_later(entry, response);
}

static void remove_diagnosis(struct entry *entry)
{
	_cleanup_free_ char *path = xasprintf(CLUSTER_DIAGNOSES_PATH "%s", entry->name);

	entry->request = cluster_delete(
		entry->cluster, path, entry_uid(entry),
		tree_str_or_empty(entry->object, "metadata.resourceVersion"), on_removed, entry);
}

/*
 * Counting writes keep a distance, and one that grows with the run, so that a run of thousands of nodes is told about in a
 * handful; transitions do not wait. Returns the milliseconds still to wait.
 */
static uint64_t must_wait_ms(const struct entry *entry, bool urgent)
{
	uint64_t since_ms = (clock_mono_ns() - entry->last_write_ns) / NSEC_PER_MSEC;
	int64_t spread = tree_int_or(entry->object, "status.run.spreadSeconds", 0);
	uint64_t distance_ms =
		(spread / 5 > STATUS_WRITE_SECONDS ? (uint64_t)spread / 5 : STATUS_WRITE_SECONDS) *
		1000;

	if (urgent || since_ms >= distance_ms)
		return 0;
	return distance_ms - since_ms;
}

/* --- looking ------------------------------------------------------------------------------------------------------------- */

static void act(struct entry *entry, const struct status_input *in)
{
	struct status_output out;
	uint64_t wait_ms;

	status_compute(in, &out);
	loop_timer_arm(entry->timer, out.again_seconds * 1000);
	if (out.needs_findings) {
		entry_read_findings(entry, in);
		return;
	}
	if (out.remove) {
		remove_diagnosis(entry);
		return;
	}
	if (!out.status)
		return;
	wait_ms = must_wait_ms(entry, out.urgent);
	if (wait_ms > 0 || written_already(entry, out.status)) {
		cJSON_Delete(out.status);
		if (wait_ms > 0)
			loop_timer_arm(entry->timer, wait_ms);
		return;
	}
	entry->missed = out.missed;
	entry->missed_since = out.missed_since;
	write_status(entry, out.status);
}

/* Computes the status from all that is known, and does what that asks for. */
void entry_look(void *arg)
{
	struct entry *entry = arg;
	_cleanup_faults_ struct faults faults = {0};
	_cleanup_spec_ struct spec *spec = NULL;
	struct gathered gathered = {0};
	struct status_input in = {.diagnosis = entry->object, .now = time(NULL)};
	uint64_t start_ns = clock_mono_ns();

	entry->touched = false;
	/* Before the lists are complete, "no such node" would be a guess. What is being deleted is let go. */
	if (entry->request || !cluster_synced(entry->cluster) ||
	    !cluster_may_write(entry->cluster) ||
	    tree_str(entry->object, "metadata.deletionTimestamp"))
		return;
	if (entry->reading.n_read < entry->reading.n) {
		entry_read_next(entry);
		return;
	}
	if (spec_decode(entry->object, SPEC_FROM_API, &spec, &faults) == 0) {
		if (spec->pod_name && !entry_knows_pod(entry, spec))
			return;
		entry_gather(entry, spec, &in, &gathered);
	}
	in.top_findings = entry->reading.done ? entry->reading.findings : NULL;
	in.n_unread = entry->reading.n_unread;
	act(entry, &in);
	free(gathered.nodes);
	free(gathered.reports);
	entry->look_ms = (clock_mono_ns() - start_ns) / NSEC_PER_MSEC;
}
