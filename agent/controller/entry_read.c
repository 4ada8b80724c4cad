/* SPDX-License-Identifier: Apache-2.0 */
/* What has to be asked of the API server before a status can be computed: bodies of reports, the node of a pod. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controller/entry_internal.h"

enum {
	READ_TRIES = 5,
	POD_FRESH_SECONDS = 10,
	REPORT_READ_MAX =
		512 << 10, /* bytes; agents write 64 KiB at most, the server adds managedFields */
};

/* --- findings ---------------------------------------------------------------------------------------------------------- */

void entry_forget_findings(struct entry *entry)
{
	struct reading *reading = &entry->reading;

	for (size_t i = 0; i < reading->n; i++)
		free(reading->names[i]);
	cJSON_Delete(reading->findings);
	*reading = (struct reading){0};
}

/* Findings that can't be had, for whatever reason, must not keep a run open. */
static void on_report(void *arg, const struct kube_response *response)
{
	struct entry *entry = arg;
	struct reading *reading = &entry->reading;

	entry->request = NULL;
	if (response->status != 200 && response->status != 404) {
		if (kube_retryable(response) && ++entry->tries < READ_TRIES) {
			loop_timer_arm(entry->timer,
				       kube_backoff_ms(entry->tries, response->retry_after_ms));
			return;
		}
		reading->n_unread++;
	}
	/* A report that is gone meanwhile has no findings. */
	if (response->status == 200)
		status_merge_findings(reading->findings, response->body);
	entry->tries = 0;
	reading->n_read++;
	entry_read_next(entry);
}

void entry_read_next(struct entry *entry)
{
	struct reading *reading = &entry->reading;
	_cleanup_free_ char *path = NULL;
	struct kube_request_opts opts = {.method = "GET", .max_response = REPORT_READ_MAX};

	if (reading->n_read == reading->n) {
		reading->done = true;
		entry_look(entry);
		return;
	}
	path = xasprintf(CLUSTER_REPORTS_PATH "%s", reading->names[reading->n_read]);
	opts.path = path;
	entry->request = kube_request(entry->cluster->client, &opts, on_report, entry);
}

void entry_read_findings(struct entry *entry, const struct status_input *in)
{
	const struct report_summary *reports[STATUS_MAX_TOP_FINDINGS];
	size_t n = status_reports_to_read(in, reports);

	entry_forget_findings(entry);
	for (size_t i = 0; i < n; i++)
		entry->reading.names[i] = xstrdup(reports[i]->name);
	entry->reading.n = n;
	entry->reading.findings = cJSON_CreateArray();
	entry_read_next(entry);
}

/* --- the node of target.pod --------------------------------------------------------------------------------------------- */

void entry_forget_pod(struct entry *entry)
{
	free(entry->pod.node);
	free(entry->pod.message);
	entry->pod = (struct pod_node){0};
}

static void on_pod(void *arg, const struct kube_response *response)
{
	struct entry *entry = arg;
	const char *node = tree_str_or_empty(response->body, "spec.nodeName");

	entry->request = NULL;
	if (response->status != 200 && kube_retryable(response)) {
		loop_timer_arm(entry->timer,
			       kube_backoff_ms(entry->tries++, response->retry_after_ms));
		return;
	}
	entry_forget_pod(entry);
	entry->tries = 0;
	entry->pod.generation = tree_int_or(entry->object, "metadata.generation", 0);
	entry->pod.looked_ns = clock_mono_ns();
	if (response->status == 200 && *node) {
		entry->pod.node = xstrdup(node);
	} else if (response->status == 200) {
		entry->pod.reason = "PodNotScheduled";
		entry->pod.message =
			xstrdup("the pod of spec.target.pod runs on no node yet; apply "
				"the diagnosis again when it does");
	} else {
		entry->pod.reason = "PodNotFound";
		entry->pod.message = xasprintf("spec.target.pod: %s", response->error);
	}
	entry_look(entry);
}

bool entry_knows_pod(struct entry *entry, const struct spec *spec)
{
	_cleanup_free_ char *path = NULL;
	struct kube_request_opts opts = {.method = "GET"};
	const struct pod_node *pod = &entry->pod;

	/* The active run says itself where it is. */
	if (entry_is_running(entry) && tree_str(entry->object, "status.run.nodeName"))
		return true;
	if (pod->looked_ns &&
	    pod->generation == tree_int_or(entry->object, "metadata.generation", 0) &&
	    clock_mono_ns() - pod->looked_ns < POD_FRESH_SECONDS * NSEC_PER_SEC)
		return true;
	path = xasprintf("/api/v1/namespaces/%s/pods/%s", spec->pod_namespace, spec->pod_name);
	opts.path = path;
	entry->request = kube_request(entry->cluster->client, &opts, on_pod, entry);
	return false;
}
