/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/run_queue_latency.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"

enum { HOLDERS_LISTED = 3 };

const struct latency_words run_queue_words = {
	.causes = {[RUNQUEUE_CONTENTION] = "contention", [RUNQUEUE_THROTTLED] = "throttled"},
	.n = RUNQUEUE_CAUSES,
};

static void add_quota(const struct run_queue_item *item, cJSON *row)
{
	if (!item->has_quota)
		return;
	tree_add_u64(row, "quotaPeriods", item->quota.periods);
	tree_add_u64(row, "throttledPeriods", item->quota.throttled);
	tree_add_u64(row, "throttledMicros", item->quota.throttled_ns / 1000);
	if (item->quota.limit_millis != UINT64_MAX)
		tree_add_u64(row, "cpuLimitMillis", item->quota.limit_millis);
}

static void add_holders(const struct run_queue_item *item, cJSON *row)
{
	cJSON *list = tree_add_array(row, "holders");

	for (size_t i = 0; i < item->n_holders && i < HOLDERS_LISTED; i++) {
		const struct run_queue_holder *holder = &item->holders[i];
		cJSON *object = tree_push_object(list);

		if (holder->owner.cgroup) {
			_cleanup_free_ char *comm = text_plain(holder->waits.holder_comm,
							       strlen(holder->waits.holder_comm));

			owner_add(&holder->owner, object);
			tree_add_str(object, "comm", comm);
			tree_add_u64(object, "pid", holder->waits.holder_pid);
		}
		tree_add_u64(object, "count", holder->waits.count);
		tree_add_u64(object, "waitMicros", holder->waits.wait_ns / 1000);
		tree_add_u64(object, "heldMicros", holder->waits.held_ns / 1000);
	}
}

static void add_node(const struct run_queue_facts *facts, cJSON *result)
{
	cJSON *node = cJSON_GetObjectItemCaseSensitive(result, "node");
	uint64_t count = 0, sum_ns = 0;

	for (int cause = 0; cause < RUNQUEUE_CAUSES; cause++) {
		count += facts->rows->node[cause].count;
		sum_ns += facts->rows->node[cause].sum_ns;
	}
	tree_add_u64(node, "averageMicros", count ? sum_ns / count / 1000 : 0);
	if (facts->has_schedstat)
		tree_add_u64(node, "schedstatAverageMicros",
			     facts->schedstat_waits
				     ? facts->schedstat_ns / facts->schedstat_waits / 1000
				     : 0);
}

static void describe(const struct run_queue_facts *facts, struct check_result *result)
{
	result->method = facts->method;
	latency_rows_describe(facts->rows, result);
	if (result->reason)
		return;
	if (facts->missing) {
		result->reason = "LimitedByKernel";
		(void)snprintf(result->message, sizeof(result->message), "%s", facts->missing);
	} else if (facts->lost_holders > 0) {
		result->reason = "HoldersMissing";
		(void)snprintf(result->message, sizeof(result->message),
			       "waits are complete; for %" PRIu64
			       " long ones who had the CPU is not kept: the table was full",
			       facts->lost_holders);
	}
}

void run_queue_judge(const struct run_queue_facts *facts, struct check_result *result)
{
	cJSON *list, *row;
	size_t i = 0;

	describe(facts, result);
	result->result = cJSON_CreateObject();
	list = latency_rows_add(facts->rows, facts->spec->top, result->result);
	add_node(facts, result->result);
	cJSON_ArrayForEach (row, list) {
		add_quota(&facts->items[i], row);
		add_holders(&facts->items[i++], row);
	}
	run_queue_find(facts, &result->findings);
}
