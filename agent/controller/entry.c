/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/entry.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "controller/status.h"
#include "spec/spec.h"

#define DIAGNOSES_PATH "/apis/memdiag.io/v1alpha1/memorydiagnoses/"
#define REPORTS_PATH   "/apis/memdiag.io/v1alpha1/memorydiagnosisreports/"
#define FIELD_MANAGER  "memdiag-controller"

enum {
	TOUCH_MS = 20, /* events come in bursts: one look at all of them */
};

/* Where target.pod runs, as looked up for one generation of the spec. */
struct pod_node {
	int64_t generation; /* 0: not looked up */
	char *node;	    /* NULL: it has none */
	const char *reason; /* why; static */
	char *message;
};

struct entry {
	struct cluster *cluster;
	char *name;
	cJSON *object;
	bool seen;
	struct loop_timer *timer;
	uint64_t last_write_ns;
	unsigned int tries;
	struct kube_request *request; /* a write or a read in flight; at most one */
	/* Reading the reports' findings before a run is closed. */
	char *to_read[STATUS_MAX_TOP_FINDINGS];
	size_t n_to_read, n_read;
	cJSON *findings;
	bool findings_read;
	struct pod_node pod; /* with target.pod */
};

static void look(void *arg);

static void forget_findings(struct entry *entry)
{
	for (size_t i = 0; i < entry->n_to_read; i++)
		free(entry->to_read[i]);
	entry->n_to_read = entry->n_read = 0;
	cJSON_Delete(entry->findings);
	entry->findings = NULL;
	entry->findings_read = false;
}

static void forget_pod(struct entry *entry)
{
	free(entry->pod.node);
	free(entry->pod.message);
	entry->pod = (struct pod_node){0};
}

struct entry *entry_new(struct cluster *cluster, const cJSON *diagnosis)
{
	struct entry *entry = xcalloc(1, sizeof(*entry));

	entry->cluster = cluster;
	entry->name = xstrdup(tree_str_or_empty(diagnosis, "metadata.name"));
	entry->timer = loop_timer_new(cluster->loop, look, entry);
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
	forget_findings(entry);
	forget_pod(entry);
	cJSON_Delete(entry->object);
	free(entry->name);
	free(entry);
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
	if (!entry->request)
		loop_timer_arm(entry->timer, TOUCH_MS);
}

void entry_set_seen(struct entry *entry, bool seen)
{
	entry->seen = seen;
}

bool entry_seen(const struct entry *entry)
{
	return entry->seen;
}

/* --- what is known, as the computation wants it ------------------------------------------------------------------ */

struct gather {
	const struct spec *spec;
	const char *uid;
	const char *diagnosis;
	const char **nodes;
	size_t n_nodes;
	const struct report_summary **reports;
	size_t n_reports;
};

static void gather_node(void *arg, const char *name, void *labels)
{
	struct gather *gather = arg;

	if (spec_targets_node(gather->spec, name, labels))
		gather->nodes[gather->n_nodes++] = name;
}

static void gather_report(void *arg, const char *name, void *summary)
{
	struct gather *gather = arg;

	(void)name;
	if (strcmp(((struct report_summary *)summary)->diagnosis, gather->diagnosis) == 0)
		gather->reports[gather->n_reports++] = summary;
}

static void gather_all(const struct entry *entry, const struct spec *spec, struct gather *gather)
{
	const struct cluster *cluster = entry->cluster;

	gather->spec = spec;
	gather->diagnosis = entry->name;
	gather->nodes = xcalloc(cluster->nodes.n + 1, sizeof(*gather->nodes));
	gather->reports = xcalloc(cluster->reports.n, sizeof(*gather->reports));
	map_each(&cluster->nodes, gather_node, gather);
	map_each(&cluster->reports, gather_report, gather);
}

/* --- reading findings -------------------------------------------------------------------------------------------- */

static void read_next(struct entry *entry);

static void on_report(void *arg, const struct kube_response *response)
{
	struct entry *entry = arg;

	entry->request = NULL;
	if (response->status != 200 && response->status != 404 && kube_retryable(response)) {
		loop_timer_arm(entry->timer,
			       kube_backoff_ms(entry->tries++, response->retry_after_ms));
		return;
	}
	/* A report that is gone meanwhile has no findings. */
	if (response->status == 200)
		status_merge_findings(entry->findings, response->body);
	entry->tries = 0;
	entry->n_read++;
	read_next(entry);
}

static void read_next(struct entry *entry)
{
	_cleanup_free_ char *path = NULL;
	struct kube_request_opts opts = {.method = "GET"};

	if (entry->n_read == entry->n_to_read) {
		entry->findings_read = true;
		look(entry);
		return;
	}
	path = xasprintf(REPORTS_PATH "%s", entry->to_read[entry->n_read]);
	opts.path = path;
	entry->request = kube_request(entry->cluster->client, &opts, on_report, entry);
}

static void read_findings(struct entry *entry, const struct status_input *in)
{
	const struct report_summary *reports[STATUS_MAX_TOP_FINDINGS];
	size_t n = status_reports_to_read(in, reports);

	forget_findings(entry);
	for (size_t i = 0; i < n; i++)
		entry->to_read[i] = xstrdup(reports[i]->name);
	entry->n_to_read = n;
	entry->findings = cJSON_CreateArray();
	read_next(entry);
}

/* --- the node of target.pod ------------------------------------------------------------------------------------------ */

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
	forget_pod(entry);
	entry->tries = 0;
	entry->pod.generation = tree_int_or(entry->object, "metadata.generation", 0);
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
	look(entry);
}

/* True when the pod's node is known, or that it has none; else it is asked for. */
static bool pod_is_known(struct entry *entry, const struct spec *spec)
{
	_cleanup_free_ char *path = NULL;
	struct kube_request_opts opts = {.method = "GET"};

	if (entry->pod.generation == tree_int_or(entry->object, "metadata.generation", 0))
		return true;
	path = xasprintf("/api/v1/namespaces/%s/pods/%s", spec->pod_namespace, spec->pod_name);
	opts.path = path;
	entry->request = kube_request(entry->cluster->client, &opts, on_pod, entry);
	return false;
}

/* The pod's node alone, as the run was opened with or as it was looked up. */
static void gather_pod_node(const struct entry *entry, struct gather *gather,
			    struct status_input *in)
{
	const char *node = tree_str(entry->object, "status.run.nodeName");

	if (tree_int_or(entry->object, "status.observedGeneration", -1) != entry->pod.generation ||
	    !node)
		node = entry->pod.node;
	gather->n_nodes = 0;
	if (node)
		gather->nodes[gather->n_nodes++] = node;
	in->no_nodes_reason = entry->pod.reason;
	in->no_nodes_message = entry->pod.message;
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

static void on_written(void *arg, const struct kube_response *response)
{
	struct entry *entry = arg;

	entry->request = NULL;
	if (response->status == 200) {
		entry->tries = 0;
		log_info("%s: run %s %s, %s nodes", entry->name,
			 tree_str_or_empty(response->body, "status.run.id"),
			 tree_str_or_empty(response->body, "status.run.state"),
			 tree_str_or_empty(response->body, "status.summary.nodes"));
		forget_findings(entry);
		/* The answer is the newest object: the watch may be behind. */
		entry_update(entry, response->body);
		return;
	}
	/* 409: somebody else changed it; the watch brings the new object. 404: deleted; the watch will say so. */
	if (response->status != 409 && response->status != 404)
		log_warn("%s: cannot write the status: %s", entry->name, response->error);
	loop_timer_arm(entry->timer,
		       kube_backoff_ms(entry->tries++, response->retry_after_ms) + 50);
}

/* Takes ownership of status. */
static void write_status(struct entry *entry, cJSON *status)
{
	_cleanup_tree_ cJSON *body = cJSON_CreateObject();
	_cleanup_free_ char *path = xasprintf(DIAGNOSES_PATH "%s/status", entry->name);
	cJSON *metadata;

	tree_add_str(body, "apiVersion", SPEC_API_VERSION);
	tree_add_str(body, "kind", SPEC_KIND);
	metadata = tree_add_object(body, "metadata");
	tree_add_str(metadata, "name", entry->name);
	tree_add_str(metadata, "uid", tree_str(entry->object, "metadata.uid"));
	tree_add_str(metadata, "resourceVersion",
		     tree_str(entry->object, "metadata.resourceVersion"));
	cJSON_AddItemToObject(body, "status", status);
	entry->last_write_ns = clock_mono_ns();
	entry->request =
		kube_apply(entry->cluster->client, path, FIELD_MANAGER, body, on_written, entry);
}

/* Counting writes keep a distance; transitions do not wait. Returns the milliseconds still to wait. */
static uint64_t must_wait_ms(const struct entry *entry, bool urgent)
{
	uint64_t since_ms = (clock_mono_ns() - entry->last_write_ns) / NSEC_PER_MSEC;

	if (urgent || since_ms >= STATUS_WRITE_SECONDS * 1000)
		return 0;
	return STATUS_WRITE_SECONDS * 1000 - since_ms;
}

static void act(struct entry *entry, const struct status_input *in)
{
	struct status_output out;
	uint64_t wait_ms;

	status_compute(in, &out);
	if (out.needs_findings) {
		read_findings(entry, in);
		return;
	}
	if (!out.status) {
		if (out.again_seconds > 0)
			loop_timer_arm(entry->timer, out.again_seconds * 1000);
		return;
	}
	wait_ms = must_wait_ms(entry, out.urgent);
	if (wait_ms > 0) {
		cJSON_Delete(out.status);
		loop_timer_arm(entry->timer, wait_ms);
		return;
	}
	write_status(entry, out.status);
}

/* Computes the status from all that is known, and does what that asks for. */
static void look(void *arg)
{
	struct entry *entry = arg;
	_cleanup_faults_ struct faults faults = {0};
	_cleanup_spec_ struct spec *spec = NULL;
	struct gather gather = {0};
	struct status_input in = {.diagnosis = entry->object, .now = time(NULL)};

	/* Before the lists are complete, "no such node" would be a guess. */
	if (entry->request || !entry->cluster->nodes_synced || !entry->cluster->reports_synced)
		return;
	if (entry->n_read < entry->n_to_read) {
		read_next(entry);
		return;
	}
	if (spec_decode(entry->object, SPEC_FROM_API, &spec, &faults) == 0) {
		if (spec->pod_name && !pod_is_known(entry, spec))
			return;
		gather_all(entry, spec, &gather);
		if (spec->pod_name)
			gather_pod_node(entry, &gather, &in);
	}
	in.nodes = gather.nodes;
	in.n_nodes = gather.n_nodes;
	in.reports = gather.reports;
	in.n_reports = gather.n_reports;
	in.top_findings = entry->findings_read ? entry->findings : NULL;
	act(entry, &in);
	free(gather.nodes);
	free(gather.reports);
}
