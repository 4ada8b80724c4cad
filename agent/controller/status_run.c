/* SPDX-License-Identifier: Apache-2.0 */
/* The run in the status: its totals, its times, its end. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "controller/status_internal.h"

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int64_t add_clamped(int64_t sum, int64_t more, int64_t max)
{
	return more > max - sum ? max : sum + more;
}

static void add_report(struct totals *totals, const struct report_summary *report)
{
	totals->reported++;
	totals->failed += strcmp(report->verdict, "Error") == 0;
	totals->critical = add_clamped(totals->critical, report->critical, INT32_MAX);
	totals->warning = add_clamped(totals->warning, report->warning, INT32_MAX);
	totals->reclaimable_bytes =
		add_clamped(totals->reclaimable_bytes, report->reclaimable_bytes, INT64_C(1) << 53);
}

void totals_sum_up(struct computation *c)
{
	const struct status_input *in = c->in;
	struct totals *totals = &c->totals;

	totals->desired = in->n_nodes;
	totals->covered = xcalloc(in->n_nodes, sizeof(bool));
	for (size_t i = 0; i < in->n_reports; i++) {
		const struct report_summary *report = in->reports[i];
		const char *const *node;

		if (strcmp(report->run_id, c->run_id) != 0)
			continue;
		/* A report from a node that is not targeted, or of an earlier diagnosis of this name, counts for nothing. */
		node = in->n_nodes ? bsearch(&report->node, in->nodes, in->n_nodes,
					     sizeof(*in->nodes), compare_names)
				   : NULL;
		if (!node || strcmp(report->owner_uid, c->spec->uid) != 0) {
			totals->ignored++;
		} else if (!totals->covered[node - in->nodes]) {
			totals->covered[node - in->nodes] = true;
			add_report(totals, report);
		}
	}
}

time_t run_time(const cJSON *run, const char *name, time_t otherwise)
{
	time_t t = otherwise;

	(void)clock_parse_rfc3339(tree_str_or_empty(run, name), &t);
	return t;
}

/* Report writes are spread over nodes/25 seconds, at most 5 minutes: 25 writes a second. */
static int64_t spread_seconds(size_t nodes)
{
	return nodes / 25 > 300 ? 300 : (int64_t)(nodes / 25);
}

static time_t run_now(const struct status_input *in)
{
	return in->run_now ? in->run_now : in->now;
}

void run_add(const struct computation *c, const struct ending *ending, cJSON *status)
{
	const cJSON *old = tree_get(c->old, "run");
	bool same = strcmp(tree_str_or_empty(old, "id"), c->run_id) == 0;
	time_t start = same ? run_time(old, "startTime", c->in->now) : c->in->now;
	time_t now = same ? run_now(c->in) : start;
	int64_t spread = same ? tree_int_or(old, "spreadSeconds", 0)
			      : spread_seconds(c->in->n_nodes);
	time_t deadline = start + (time_t)c->spec->active_deadline_seconds + spread;
	cJSON *run = tree_add_object(status, "run");
	char text[NUM_TEXT_MAX];

	tree_add_str(run, "id", c->run_id);
	tree_add_str(run, "trigger", run_trigger_names[c->trigger]);
	tree_add_str(run, "state", !ending ? "Running" : ending->complete ? "Complete" : "Failed");
	tree_add_time(run, "startTime", start);
	tree_add_time(run, "deadline", same ? run_time(old, "deadline", deadline) : deadline);
	tree_add_int(run, "spreadSeconds", spread);
	if (c->spec->pod_name && c->in->n_nodes == 1)
		tree_add_str(run, "nodeName", c->in->nodes[0]);
	if (ending) {
		tree_add_time(run, "completionTime", c->in->now > start ? c->in->now : start);
		tree_add_str(run, "duration",
			     num_format_seconds(now > start ? (uint64_t)(now - start) : 0, text));
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
	tree_add_u64(summary, "ignored", totals->ignored);
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
	size_t n = 0;

	for (size_t i = 0; i < c->in->n_nodes && n < STATUS_MAX_MISSING; i++) {
		if (c->totals.covered[i])
			continue;
		tree_push_str(list, c->in->nodes[i]);
		n++;
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

void run_add_results(const struct computation *c, bool closed, cJSON *status)
{
	add_summary(c, closed, status);
	if (!closed)
		return;
	add_missing(c, status);
	add_top_findings(c, status);
}

struct ending run_ending(const struct computation *c)
{
	const struct totals *totals = &c->totals;
	size_t missing = totals->desired - totals->reported;
	_cleanup_free_ char *unread = NULL;

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
	if (c->in->n_unread > 0)
		unread = xasprintf("; findings of %zu reports could not be read", c->in->n_unread);
	return (struct ending){true, missing ? "NodesMissing" : "AllNodesReported",
			       xasprintf("%zu of %zu nodes reported, %zu missing, %zu failed%s",
					 totals->reported, totals->desired, missing, totals->failed,
					 unread ? unread : "")};
}
