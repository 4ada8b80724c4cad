/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/reclaim_latency.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"

const struct latency_words reclaim_words = {
	.causes = {"limit", "high", "global", "node", "soft", "proactive", "async"},
	.n = RECLAIM_CAUSES,
	/* Soft limits are reclaimed for within global reclaim, whose time holds theirs. */
	.background = 1U << RECLAIM_SOFT | 1U << RECLAIM_ASYNC,
};

_Static_assert(RECLAIM_CAUSES == 7, "every cause has a word");

enum { OUTLIERS_SHOWN = 10, LIMITS_SHOWN = 4 };

const struct owner *reclaim_target_of(const struct reclaim_facts *facts, uint64_t id)
{
	for (size_t i = 0; id != 0 && i < facts->n_targets; i++) {
		if (facts->targets[i].id == id)
			return &facts->targets[i].owner;
	}
	return NULL;
}

/* --- the result ------------------------------------------------------------------------------------------------------- */

static void add_container(const struct reclaim_facts *facts, size_t i, cJSON *object)
{
	const struct latency_container *container = &facts->rows->items[i];
	const struct reclaim_place *place = &facts->places[i];
	cJSON *limits = tree_add_array(object, "limits");
	int shown = 0;

	for (size_t k = 0; k < container->n_parts && shown < LIMITS_SHOWN; k++) {
		const struct latency_part *part = &container->parts[k];
		const struct owner *target = reclaim_target_of(facts, part->target_id);
		cJSON *row;

		if (part->cause != RECLAIM_LIMIT || !target)
			continue;
		row = tree_push_object(limits);
		owner_add(target, row);
		tree_add_u64(row, "count", part->hist.count);
		tree_add_u64(row, "sumMicros", part->hist.sum_ns / 1000);
		shown++;
	}
	if (place->usage.limit != UINT64_MAX)
		tree_add_u64(object, "limitBytes", place->usage.limit);
	if (place->some_us != UINT64_MAX)
		tree_add_u64(object, "pressureSomeMicros", place->some_us);
}

static void add_outliers(const struct reclaim_facts *facts, cJSON *result)
{
	cJSON *list = tree_add_array(result, "outliers");

	for (size_t i = 0; i < facts->n_outliers && i < OUTLIERS_SHOWN; i++) {
		const struct reclaim_outlier *outlier = &facts->outliers[i];
		cJSON *row = tree_push_object(list), *frames;

		owner_add(&outlier->owner, row);
		tree_add_str(row, "cause", reclaim_words.causes[outlier->cause]);
		tree_add_text(row, "comm", outlier->comm, 64);
		tree_add_u64(row, "pid", outlier->pid);
		tree_add_u64(row, "durationMicros", outlier->duration_ns / 1000);
		frames = tree_add_array(row, "frames");
		for (size_t k = 0; k < outlier->n_frames; k++)
			tree_push_str(frames, outlier->frames[k]);
	}
	tree_add_u64(result, "outliersNotKept", facts->outliers_unkept);
}

static void add_result(const struct reclaim_facts *facts, struct check_result *result)
{
	cJSON *list, *node;
	size_t i = 0;
	cJSON *object;

	result->result = cJSON_CreateObject();
	list = latency_rows_add(facts->rows, facts->spec->top, result->result);
	cJSON_ArrayForEach (object, list) {
		add_container(facts, i++, object);
	}
	node = cJSON_GetObjectItemCaseSensitive(result->result, "node");
	tree_add_u64(node, "allocstall", facts->vmstat.allocstall);
	tree_add_u64(node, "pgscanDirect", facts->vmstat.pgscan_direct);
	tree_add_u64(node, "pgstealDirect", facts->vmstat.pgsteal_direct);
	if (facts->stall.known) {
		tree_add_u64(node, "pressureSomeMicros", facts->stall.some_us);
		tree_add_u64(node, "pressureFullMicros", facts->stall.full_us);
	}
	add_outliers(facts, result->result);
}

/* --- findings --------------------------------------------------------------------------------------------------------- */

/* A kind of finding: which causes count, and what is said of them. */
struct kind {
	const char *reason;
	unsigned int causes; /* bits */
	const char *why;     /* "... waited for reclaim %s" */
};

static const struct kind kinds[] = {
	{"LimitReclaimStalls", 1U << RECLAIM_LIMIT, "at a memory limit"},
	{"GlobalReclaimStalls", 1U << RECLAIM_GLOBAL | 1U << RECLAIM_NODE,
	 "because the node was short of memory"},
	{"HighReclaimStalls", 1U << RECLAIM_HIGH, "above memory.high"},
};

static struct hist hist_of(const struct reclaim_facts *facts, const struct kind *kind, size_t i)
{
	struct hist hist = {0};

	for (uint32_t cause = 0; cause < RECLAIM_CAUSES; cause++) {
		struct hist part;

		if (!(kind->causes & 1U << cause))
			continue;
		part = i == SIZE_MAX ? facts->rows->node[cause]
				     : latency_container_cause(&facts->rows->items[i], cause);
		hist_add(&hist, &part);
	}
	return hist;
}

/* Whose limit most of the time went to; parts are sorted. NULL: not known, or none. */
static const struct owner *main_target(const struct reclaim_facts *facts, const struct kind *kind,
				       size_t i)
{
	const struct latency_container *container;

	if (i == SIZE_MAX)
		return NULL;
	container = &facts->rows->items[i];
	for (size_t k = 0; k < container->n_parts; k++) {
		if (kind->causes & 1U << container->parts[k].cause)
			return reclaim_target_of(facts, container->parts[k].target_id);
	}
	return NULL;
}

static char *target_name(const struct owner *target)
{
	char *name;

	if (target->ns && target->pod && target->container)
		return xasprintf("%s/%s/%s", target->ns, target->pod, target->container);
	name = text_escape_name(target->cgroup ? target->cgroup : "?",
				strlen(target->cgroup ? target->cgroup : "?"));
	text_shorten_middle(name, 120);
	return name;
}

static void add_evidence(const struct reclaim_facts *facts, size_t i, const struct hist *hist,
			 const char *target, struct finding *finding)
{
	const struct reclaim_place *place = i == SIZE_MAX ? NULL : &facts->places[i];

	finding_add_evidence(finding, "waits", "%" PRIu64, (uint64_t)hist->count);
	finding_add_evidence(finding, "sumMicros", "%" PRIu64, (uint64_t)hist->sum_ns / 1000);
	finding_add_evidence(finding, "p99Micros", "%" PRIu64, hist_quantile_us(hist, 990));
	finding_add_evidence(finding, "maxMicros", "%" PRIu64,
			     (uint64_t)(hist->max_ns + 999) / 1000);
	if (target)
		finding_add_evidence(finding, "limitOf", "%s", target);
	if (place && place->usage.limit != UINT64_MAX)
		finding_add_evidence(finding, "limitBytes", "%" PRIu64, place->usage.limit);
	if (place && place->some_us != UINT64_MAX)
		finding_add_evidence(finding, "pressureSomeMicros", "%" PRIu64, place->some_us);
	if (!place) {
		finding_add_evidence(finding, "allocstall", "%" PRIu64, facts->vmstat.allocstall);
		finding_add_evidence(finding, "pgscanDirect", "%" PRIu64,
				     facts->vmstat.pgscan_direct);
		if (facts->stall.known)
			finding_add_evidence(finding, "pressureSomeMicros", "%" PRIu64,
					     facts->stall.some_us);
	}
}

static char *message(const struct reclaim_facts *facts, const struct kind *kind, size_t i,
		     const struct hist *hist, const char *target)
{
	unsigned int permille = latency_permille(facts->rows, hist->sum_ns);
	char sum[NUM_TEXT_MAX], window[NUM_TEXT_MAX], longest[NUM_TEXT_MAX], p99[NUM_TEXT_MAX];
	_cleanup_free_ char *whose = target ? xasprintf(" of %s", target) : xstrdup("");

	return xasprintf("%s waited for reclaim %s%s: %s within %s (%u.%u %% of one thread's "
			 "time), %" PRIu64 " times, p99 %s, longest %s",
			 i == SIZE_MAX ? "Tasks of this node" : "Its threads", kind->why, whose,
			 num_format_micros(hist->sum_ns / 1000, sum),
			 num_format_micros(facts->rows->window_ns / 1000, window), permille / 10,
			 permille % 10, (uint64_t)hist->count,
			 num_format_micros(hist_quantile_us(hist, 990), p99),
			 num_format_micros((hist->max_ns + 999) / 1000, longest));
}

/* i: of rows->items; SIZE_MAX: the node. */
static void judge_one(const struct reclaim_facts *facts, const struct kind *kind, size_t i,
		      struct findings *findings)
{
	struct hist hist = hist_of(facts, kind, i);
	enum severity severity = spec_severity_wait(facts->spec, kind->reason, hist.sum_ns / 1000,
						    (hist.max_ns + 999) / 1000,
						    facts->rows->window_ns / 1000);
	const struct owner *target = main_target(facts, kind, i);
	_cleanup_free_ char *name = target ? target_name(target) : NULL;
	struct hint_facts hints = {0};
	struct finding *finding;

	if (hist.count == 0 || severity == SEVERITY_NONE)
		return;
	finding = findings_add(findings);
	finding->check = CHECK_RECLAIM_LATENCY;
	finding->severity = severity;
	finding->reason = kind->reason;
	if (i != SIZE_MAX)
		finding->subject = owner_copy(&facts->rows->items[i].owner);
	finding->message = message(facts, kind, i, &hist, name);
	add_evidence(facts, i, &hist, name, finding);
	reclaim_hint_facts(facts, i, target, &hints);
	hints_apply(&hints, finding);
	hint_facts_done(&hints);
}

/* Not what many cgroups that are gone had together: nobody could do anything about it. */
static bool is_subject(const struct owner *owner)
{
	return owner->cgroup && owner->cgroup[0] == '/';
}

static void describe(const struct reclaim_facts *facts, struct check_result *result)
{
	result->method = facts->by_pid ? "bpf-tracepoints-by-pid" : "bpf-tracepoints";
	latency_rows_describe(facts->rows, result);
	if (facts->by_pid && !result->reason) {
		result->reason = "TaskStorageMissing";
		(void)snprintf(result->message, sizeof(result->message),
			       "this kernel has no task storage for tracing programs (5.12): waits "
			       "are told apart by thread id in a table of 8192");
	}
}

void reclaim_judge(const struct reclaim_facts *facts, struct check_result *result)
{
	describe(facts, result);
	add_result(facts, result);
	for (size_t kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
		for (size_t i = 0; i < facts->rows->n; i++) {
			if (is_subject(&facts->rows->items[i].owner))
				judge_one(facts, &kinds[kind], i, &result->findings);
		}
	}
	if (!spec_limits_pods(facts->spec))
		judge_one(facts, &kinds[1], SIZE_MAX, &result->findings);
}
