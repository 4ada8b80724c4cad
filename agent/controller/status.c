/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "controller/conditions.h"
#include "spec/spec.h"

/* Totals over the reports of one run. */
struct totals {
	size_t desired, reported, failed;
	int64_t critical, warning, reclaimable_bytes;
	bool *covered; /* of in->nodes: has reported */
};

/* Everything a status is made from, gathered once. */
struct computation {
	const struct status_input *in;
	const struct spec *spec;
	const cJSON *old; /* the status as it is */
	char run_id[64];
	int64_t generation;
	struct totals totals;
};

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sum_up(struct computation *c)
{
	const struct status_input *in = c->in;
	struct totals *totals = &c->totals;

	totals->desired = in->n_nodes;
	totals->covered = xcalloc(in->n_nodes, sizeof(bool));
	for (size_t i = 0; i < in->n_reports; i++) {
		const struct report_summary *report = in->reports[i];
		const char *const *node;

		if (strcmp(report->run_id, c->run_id) != 0 ||
		    strcmp(report->owner_uid, c->spec->uid) != 0)
			continue;
		/* A report from a node that is not targeted counts for nothing. */
		node = in->n_nodes ? bsearch(&report->node, in->nodes, in->n_nodes,
					     sizeof(*in->nodes), compare_names)
				   : NULL;
		if (!node || totals->covered[node - in->nodes])
			continue;
		totals->covered[node - in->nodes] = true;
		totals->reported++;
		totals->failed += strcmp(report->verdict, "Error") == 0;
		totals->critical += report->critical;
		totals->warning += report->warning;
		totals->reclaimable_bytes += report->reclaimable_bytes;
	}
}

static void add_summary(const struct computation *c, bool closed, cJSON *status)
{
	const struct totals *totals = &c->totals;
	cJSON *summary = tree_add_object(status, "summary");
	char text[NUM_TEXT_MAX], nodes[48];

	tree_add_u64(summary, "desired", totals->desired);
	tree_add_u64(summary, "reported", totals->reported);
	tree_add_u64(summary, "failed", totals->failed);
	tree_add_u64(summary, "missing", closed ? totals->desired - totals->reported : 0);
	tree_add_int(summary, "critical", totals->critical);
	tree_add_int(summary, "warning", totals->warning);
	(void)snprintf(nodes, sizeof(nodes), "%zu/%zu", totals->reported, totals->desired);
	tree_add_str(summary, "nodes", nodes);
	tree_add_int(summary, "reclaimableBytes", totals->reclaimable_bytes);
	tree_add_str(summary, "reclaimable",
		     num_format_bytes((uint64_t)totals->reclaimable_bytes, text));
}

static void add_missing(const struct computation *c, cJSON *status)
{
	cJSON *list = tree_add_array(status, "missingNodes");

	for (size_t i = 0; i < c->in->n_nodes; i++) {
		if (!c->totals.covered[i] && cJSON_GetArraySize(list) < STATUS_MAX_MISSING)
			tree_push_str(list, c->in->nodes[i]);
	}
}

static void add_top_findings(const struct computation *c, cJSON *status)
{
	cJSON *list = tree_add_array(status, "topFindings"), *copy;
	const cJSON *item;

	cJSON_ArrayForEach (item, c->in->top_findings) {
		copy = cJSON_Duplicate(item, true);
		cJSON_DeleteItemFromObjectCaseSensitive(copy, "bytes");
		cJSON_AddItemToArray(list, copy);
	}
}

static struct conditions conditions_of(const struct computation *c, cJSON *status)
{
	return (struct conditions){
		.list = tree_add_array(status, "conditions"),
		.old = tree_get(c->old, "conditions"),
		.generation = c->generation,
		.now = c->in->now,
	};
}

/* The spec can't be acted on: says why, and keeps what is known of an earlier run. */
static cJSON *stalled(const struct computation *c, const char *reason, const char *message)
{
	cJSON *status = cJSON_CreateObject();
	struct conditions conditions;
	static const char *const kept[] = {"run", "summary", "topFindings", "missingNodes",
					   "lastSuccessfulTime"};

	tree_add_int(status, "observedGeneration", c->generation);
	for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
		const cJSON *item = tree_get(c->old, kept[i]);

		if (item)
			cJSON_AddItemToObject(status, kept[i], cJSON_Duplicate(item, true));
	}
	conditions = conditions_of(c, status);
	condition_set(&conditions, "Ready", false, reason, message);
	condition_set(&conditions, "Reconciling", false, reason,
		      "nothing can be done until the spec changes");
	condition_set(&conditions, "Stalled", true, reason, message);
	condition_set(&conditions, "Complete", false, reason, message);
	return status;
}

static cJSON *suspended(const struct computation *c)
{
	static const char message[] = "spec.suspend is true: no run is started";
	cJSON *status = cJSON_CreateObject();
	struct conditions conditions;

	tree_add_int(status, "observedGeneration", c->generation);
	conditions = conditions_of(c, status);
	condition_set(&conditions, "Ready", true, "Suspended", message);
	condition_set(&conditions, "Reconciling", false, "Suspended", message);
	condition_set(&conditions, "Stalled", false, "Suspended", message);
	condition_set(&conditions, "Complete", false, "Suspended", message);
	return status;
}

/* Report writes are spread over nodes/25 seconds, at most 5 minutes: 25 writes a second. */
static int64_t spread_seconds(size_t nodes)
{
	return nodes / 25 > 300 ? 300 : (int64_t)(nodes / 25);
}

static time_t run_time(const cJSON *run, const char *name, time_t otherwise)
{
	time_t t = otherwise;

	(void)clock_parse_rfc3339(tree_str_or_empty(run, name), &t);
	return t;
}

static cJSON *add_run(const struct computation *c, const char *state, bool closed, cJSON *status)
{
	const cJSON *old = tree_get(c->old, "run");
	bool same = strcmp(tree_str_or_empty(old, "id"), c->run_id) == 0;
	time_t start = same ? run_time(old, "startTime", c->in->now) : c->in->now;
	int64_t spread = same ? tree_int_or(old, "spreadSeconds", 0)
			      : spread_seconds(c->in->n_nodes);
	time_t deadline = start + (time_t)c->spec->active_deadline_seconds + spread;
	cJSON *run = tree_add_object(status, "run");
	char text[NUM_TEXT_MAX];

	tree_add_str(run, "id", c->run_id);
	tree_add_str(run, "trigger", "Generation");
	tree_add_str(run, "state", state);
	tree_add_time(run, "startTime", start);
	tree_add_time(run, "deadline", same ? run_time(old, "deadline", deadline) : deadline);
	tree_add_int(run, "spreadSeconds", spread);
	if (c->spec->pod_name && c->in->n_nodes == 1)
		tree_add_str(run, "nodeName", c->in->nodes[0]);
	if (closed) {
		tree_add_time(run, "completionTime", c->in->now);
		tree_add_str(
			run, "duration",
			num_format_seconds(c->in->now > start ? (uint64_t)(c->in->now - start) : 0,
					   text));
	}
	return run;
}

static cJSON *running(const struct computation *c)
{
	cJSON *status = cJSON_CreateObject();
	struct conditions conditions;
	_cleanup_free_ char *message = xasprintf("run %s: %zu of %zu nodes have reported",
						 c->run_id, c->totals.reported, c->totals.desired);

	tree_add_int(status, "observedGeneration", c->generation);
	add_run(c, "Running", false, status);
	add_summary(c, false, status);
	tree_add_str(status, "lastSuccessfulTime", tree_str(c->old, "lastSuccessfulTime"));
	conditions = conditions_of(c, status);
	condition_set(&conditions, "Ready", false, "RunInProgress", message);
	condition_set(&conditions, "Reconciling", true, "RunInProgress", message);
	condition_set(&conditions, "Stalled", false, "RunInProgress", "the run is going on");
	condition_set(&conditions, "Complete", false, "RunInProgress", message);
	return status;
}

/* How a run that is over ended. */
struct ending {
	bool complete;
	const char *reason;
	char *message;
};

static struct ending ending_of(const struct computation *c)
{
	const struct totals *totals = &c->totals;
	size_t missing = totals->desired - totals->reported;

	if (totals->desired == 0 && c->in->no_nodes_reason)
		return (struct ending){false, c->in->no_nodes_reason,
				       xstrdup(c->in->no_nodes_message)};
	if (totals->desired == 0)
		return (struct ending){
			false, "NoMatchingNodes",
			xstrdup("no node matches spec.target; correct nodeName or "
				"nodeSelector, see kubectl get nodes --show-labels")};
	if (totals->reported == 0)
		return (struct ending){false, "DeadlineExceeded",
				       xasprintf("none of %zu nodes reported before the deadline; "
						 "do the agents run? "
						 "See kubectl -n memdiag-system get pods",
						 totals->desired)};
	if (totals->failed == totals->reported)
		return (struct ending){
			false, "ChecksFailed",
			xasprintf("no check worked on any of %zu nodes; the reports say why",
				  totals->reported)};
	return (struct ending){true, missing ? "NodesMissing" : "AllNodesReported",
			       xasprintf("%zu of %zu nodes reported, %zu missing, %zu failed",
					 totals->reported, totals->desired, missing,
					 totals->failed)};
}

static bool fails_on_findings(const struct computation *c)
{
	if (c->spec->fail_on == SEVERITY_CRITICAL)
		return c->totals.critical > 0;
	return c->spec->fail_on == SEVERITY_WARNING && c->totals.critical + c->totals.warning > 0;
}

static void closing_conditions(const struct computation *c, const struct ending *ending,
			       cJSON *status)
{
	struct conditions conditions = conditions_of(c, status);
	_cleanup_free_ char *found = xasprintf("%" PRId64 " critical and %" PRId64
					       " warning findings",
					       c->totals.critical, c->totals.warning);
	bool any = c->totals.critical + c->totals.warning > 0;

	if (ending->complete && fails_on_findings(c))
		condition_set(&conditions, "Ready", false, "FindingsDetected", found);
	else
		condition_set(&conditions, "Ready", ending->complete, ending->reason,
			      ending->message);
	condition_set(&conditions, "Reconciling", false, ending->reason, "the run is over");
	condition_set(&conditions, "Stalled", !ending->complete, ending->reason, ending->message);
	condition_set(&conditions, "Complete", ending->complete, ending->reason, ending->message);
	condition_set(&conditions, "FindingsDetected", any, any ? "FindingsDetected" : "NoFindings",
		      found);
}

static cJSON *closed(const struct computation *c)
{
	struct ending ending = ending_of(c);
	cJSON *status = cJSON_CreateObject();

	tree_add_int(status, "observedGeneration", c->generation);
	add_run(c, ending.complete ? "Complete" : "Failed", true, status);
	add_summary(c, true, status);
	add_missing(c, status);
	add_top_findings(c, status);
	if (ending.complete)
		tree_add_time(status, "lastSuccessfulTime", c->in->now);
	else
		tree_add_str(status, "lastSuccessfulTime", tree_str(c->old, "lastSuccessfulTime"));
	closing_conditions(c, &ending, status);
	free(ending.message);
	return status;
}

/* A run that is going on: counts, or closes when every node has reported or time is up. */
static void progress(struct computation *c, struct status_output *out)
{
	const cJSON *run = tree_get(c->old, "run");
	time_t deadline = run_time(run, "deadline", c->in->now);
	bool over = c->totals.reported == c->totals.desired || c->in->now >= deadline;
	const struct report_summary *unused[STATUS_MAX_TOP_FINDINGS];

	if (!over) {
		out->again_seconds = (uint64_t)(deadline - c->in->now);
		if (tree_int_or(c->old, "summary.reported", 0) != (int64_t)c->totals.reported ||
		    tree_int_or(c->old, "summary.desired", 0) != (int64_t)c->totals.desired)
			out->status = running(c);
		return;
	}
	out->urgent = true;
	if (!c->in->top_findings && status_reports_to_read(c->in, unused) > 0)
		out->needs_findings = true;
	else
		out->status = closed(c);
}

static void one_shot(struct computation *c, struct status_output *out)
{
	const cJSON *run = tree_get(c->old, "run");

	(void)snprintf(c->run_id, sizeof(c->run_id), "g-%" PRId64, c->generation);
	sum_up(c);
	if (strcmp(tree_str_or_empty(run, "id"), c->run_id) != 0) {
		out->urgent = true;
		if (c->spec->suspend) {
			if (tree_int_or(c->old, "observedGeneration", -1) != c->generation)
				out->status = suspended(c);
		} else {
			out->status = c->in->n_nodes > 0 ? running(c) : closed(c);
		}
	} else if (strcmp(tree_str_or_empty(run, "state"), "Running") == 0) {
		progress(c, out);
	}
	free(c->totals.covered);
}

void status_compute(const struct status_input *in, struct status_output *out)
{
	_cleanup_faults_ struct faults faults = {0};
	_cleanup_spec_ struct spec *spec = NULL;
	struct computation c = {.in = in};
	const char *reason = "InvalidSpec";
	struct err err = {0};
	int r;

	memset(out, 0, sizeof(*out));
	c.old = tree_get(in->diagnosis, "status");
	c.generation = tree_int_or(in->diagnosis, "metadata.generation", 0);
	r = spec_decode(in->diagnosis, SPEC_FROM_API, &spec, &faults);
	if (r < 0)
		(void)err_say(&err, EINVAL, "%s", faults.lines[0]);
	else
		r = spec_supported(spec, &reason, &err);
	if (r < 0) {
		/* Said once per generation. */
		out->urgent = true;
		if (tree_int_or(c.old, "observedGeneration", -1) != c.generation)
			out->status = stalled(&c, reason, err.msg);
		return;
	}
	c.spec = spec;
	one_shot(&c, out);
}
