/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/compaction_latency.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "report/hints.h"

static const char reason[] = "CompactionStalls";

const struct latency_words compaction_words = {
	.causes = {"direct-success", "direct-failure", "direct-deferred", "kcompactd", "manual"},
	.n = COMPACTION_CAUSES,
	.background = 1U << COMPACTION_KCOMPACTD | 1U << COMPACTION_MANUAL,
};

_Static_assert(COMPACTION_CAUSES == 5, "every cause has a word");

/* Waits by order, of all containers that are meant or of one. */
struct orders {
	struct hist by_order[PRESSURE_ORDERS];
	struct hist all;
};

static void count_orders(const struct latency_container *container, struct orders *orders)
{
	for (size_t k = 0; k < container->n_parts; k++) {
		const struct latency_part *part = &container->parts[k];

		if (compaction_words.background & 1U << part->cause)
			continue;
		hist_add(&orders->all, &part->hist);
		if (part->target_id < PRESSURE_ORDERS)
			hist_add(&orders->by_order[part->target_id], &part->hist);
	}
}

/* i: of rows->items; SIZE_MAX: all of them. */
static void read_orders(const struct compaction_facts *facts, size_t i, struct orders *orders)
{
	memset(orders, 0, sizeof(*orders));
	for (size_t k = 0; k < facts->rows->n; k++) {
		if (i == SIZE_MAX || i == k)
			count_orders(&facts->rows->items[k], orders);
	}
}

/* The order that took most of the time. */
static unsigned int main_order(const struct orders *orders)
{
	unsigned int best = 0;

	for (unsigned int order = 1; order < PRESSURE_ORDERS; order++) {
		if (orders->by_order[order].sum_ns > orders->by_order[best].sum_ns)
			best = order;
	}
	return best;
}

/* --- the result ------------------------------------------------------------------------------------------------------- */

static void add_orders(const struct compaction_facts *facts, cJSON *result)
{
	cJSON *list = tree_add_array(result, "orders");
	struct orders orders;

	read_orders(facts, SIZE_MAX, &orders);
	for (unsigned int order = 0; order < PRESSURE_ORDERS; order++) {
		const struct hist *hist = &orders.by_order[order];
		cJSON *row;

		if (hist->count == 0)
			continue;
		row = tree_push_object(list);
		tree_add_u64(row, "order", order);
		tree_add_u64(row, "count", hist->count);
		tree_add_u64(row, "sumMicros", hist->sum_ns / 1000);
		tree_add_u64(row, "maxMicros", (hist->max_ns + 999) / 1000);
		tree_add_u64(row, "p99Micros", hist_quantile_us(hist, 990));
		tree_add_u64(row, "unusablePermille",
			     pressure_unusable_permille(&facts->zones, order));
	}
}

static void add_result(const struct compaction_facts *facts, struct check_result *result)
{
	cJSON *node;

	result->result = cJSON_CreateObject();
	(void)latency_rows_add(facts->rows, facts->spec->top, result->result);
	node = cJSON_GetObjectItemCaseSensitive(result->result, "node");
	tree_add_u64(node, "compactStall", facts->vmstat.compact_stall);
	tree_add_u64(node, "compactSuccess", facts->vmstat.compact_success);
	tree_add_u64(node, "compactFail", facts->vmstat.compact_fail);
	add_orders(facts, result->result);
}

/* --- findings --------------------------------------------------------------------------------------------------------- */

static void thp_facts(const struct compaction_facts *facts, const struct orders *orders,
		      struct hint_facts *hints)
{
	const struct hist *huge = &orders->by_order[facts->huge_order % PRESSURE_ORDERS];
	const char *proposed = strcmp(facts->defrag, "always") == 0 ? "defer+madvise"
			       : strcmp(facts->defrag, "madvise") == 0 ||
					       strcmp(facts->defrag, "defer+madvise") == 0
				       ? "defer"
				       : NULL;

	/* Most of the time must be theirs. */
	if (!proposed || huge->sum_ns < orders->all.sum_ns / 2)
		return;
	hint_facts_set(hints, "defrag", "%s", proposed);
	hint_facts_set(hints, "defrag_now", "%s", facts->defrag);
	hint_facts_set(hints, "order_share", "%u %%",
		       (unsigned int)num_muldiv(huge->count, 100,
						orders->all.count ? orders->all.count : 1));
}

static void add_hints(const struct compaction_facts *facts, const struct orders *orders,
		      unsigned int order, struct finding *finding)
{
	unsigned int unusable = pressure_unusable_permille(&facts->zones, order);
	struct hint_facts hints = {0};

	hint_facts_set(&hints, "order", "%u", order);
	hint_facts_set(&hints, "unusable", "%u.%u %%", unusable / 10, unusable % 10);
	thp_facts(facts, orders, &hints);
	/* Half of the way to 100, at which it never rests; 20 is the kernel's default. */
	if (facts->proactiveness < 90) {
		uint64_t proposed = facts->proactiveness + (100 - facts->proactiveness) / 2;

		hint_facts_set(&hints, "proactiveness_now", "%" PRIu64, facts->proactiveness);
		hint_facts_set(&hints, "proactiveness", "%" PRIu64, proposed);
	}
	hints_apply(&hints, finding);
	hint_facts_done(&hints);
}

static char *message(const struct compaction_facts *facts, size_t i, const struct hist *hist,
		     const struct hist *failed, unsigned int order)
{
	unsigned int permille = latency_permille(facts->rows, hist->sum_ns);
	char sum[NUM_TEXT_MAX], window[NUM_TEXT_MAX], longest[NUM_TEXT_MAX];

	return xasprintf(
		"%s waited for compaction: %s within %s (%u.%u %% of one thread's time), %" PRIu64
		" times, in vain %" PRIu64 " times, mostly for order %u; longest %s",
		i == SIZE_MAX ? "Tasks of this node" : "Its threads",
		num_format_micros(hist->sum_ns / 1000, sum),
		num_format_micros(facts->rows->window_ns / 1000, window), permille / 10,
		permille % 10, (uint64_t)hist->count, (uint64_t)failed->count, order,
		num_format_micros((hist->max_ns + 999) / 1000, longest));
}

/* i: of rows->items; SIZE_MAX: the node. */
static struct hist cause_of(const struct compaction_facts *facts, size_t i, uint32_t cause)
{
	return i == SIZE_MAX ? facts->rows->node[cause]
			     : latency_container_cause(&facts->rows->items[i], cause);
}

static void judge_one(const struct compaction_facts *facts, size_t i, struct findings *findings)
{
	struct hist hist = cause_of(facts, i, COMPACTION_SUCCESS);
	const struct hist failed = cause_of(facts, i, COMPACTION_FAILURE);
	struct finding *finding;
	enum severity severity;
	struct orders orders;

	hist_add(&hist, &failed);
	severity = spec_severity_wait(facts->spec, reason, hist.sum_ns / 1000,
				      (hist.max_ns + 999) / 1000, facts->rows->window_ns / 1000);
	if (hist.count == 0 || severity == SEVERITY_NONE)
		return;
	read_orders(facts, i, &orders);
	finding = findings_add(findings);
	finding->check = CHECK_COMPACTION_LATENCY;
	finding->severity = severity;
	finding->reason = reason;
	if (i != SIZE_MAX)
		finding->subject = owner_copy(&facts->rows->items[i].owner);
	finding->message = message(facts, i, &hist, &failed, main_order(&orders));
	finding_add_evidence(finding, "waits", "%" PRIu64, (uint64_t)hist.count);
	finding_add_evidence(finding, "failed", "%" PRIu64, (uint64_t)failed.count);
	finding_add_evidence(finding, "sumMicros", "%" PRIu64, (uint64_t)hist.sum_ns / 1000);
	finding_add_evidence(finding, "p99Micros", "%" PRIu64, hist_quantile_us(&hist, 990));
	finding_add_evidence(finding, "maxMicros", "%" PRIu64,
			     (uint64_t)(hist.max_ns + 999) / 1000);
	finding_add_evidence(finding, "order", "%u", main_order(&orders));
	finding_add_evidence(finding, "compactStall", "%" PRIu64, facts->vmstat.compact_stall);
	add_hints(facts, &orders, main_order(&orders), finding);
}

void compaction_judge(const struct compaction_facts *facts, struct check_result *result)
{
	result->method = "bpf-tracepoints";
	latency_rows_describe(facts->rows, result);
	add_result(facts, result);
	for (size_t i = 0; i < facts->rows->n; i++) {
		const char *cgroup = facts->rows->items[i].owner.cgroup;

		if (cgroup && cgroup[0] == '/') /* not what is gone */
			judge_one(facts, i, &result->findings);
	}
	if (!spec_limits_pods(facts->spec))
		judge_one(facts, SIZE_MAX, &result->findings);
}
