/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/latency_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"

void latency_rows_free(struct latency_rows *rows)
{
	if (!rows)
		return;
	for (size_t i = 0; i < rows->n; i++) {
		owner_done(&rows->items[i].owner);
		free(rows->items[i].parts);
	}
	free(rows->items);
	free(rows);
}

/* --- adding up -------------------------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

/* A container is one, however many cgroups it made below its own. */
static bool same_owner(const struct owner *a, const struct owner *b)
{
	if (a->ns && a->pod && b->ns && b->pod)
		return same_text(a->ns, b->ns) && same_text(a->pod, b->pod) &&
		       same_text(a->container, b->container) && a->dying == b->dying;
	if (a->unit && b->unit)
		return same_text(a->unit, b->unit);
	return same_text(a->cgroup, b->cgroup) && !a->pod == !b->pod && a->dying == b->dying;
}

static struct latency_container *find_container(struct latency_rows *rows,
						const struct owner *owner)
{
	for (size_t i = 0; i < rows->n; i++) {
		struct latency_container *item = &rows->items[i];

		if (!same_owner(&item->owner, owner))
			continue;
		/* The container's own cgroup rather than one below it. */
		if (owner->cgroup && item->owner.cgroup &&
		    strlen(owner->cgroup) < strlen(item->owner.cgroup)) {
			owner_done(&item->owner);
			item->owner = owner_copy(owner);
		}
		return item;
	}
	rows->items = xreallocarray(rows->items, rows->n + 1, sizeof(*rows->items));
	rows->items[rows->n] = (struct latency_container){.owner = owner_copy(owner)};
	return &rows->items[rows->n++];
}

static struct latency_part *find_part(struct latency_container *container,
				      const struct latency_row *row)
{
	for (size_t i = 0; i < container->n_parts; i++) {
		if (container->parts[i].cause == row->cause &&
		    container->parts[i].target_id == row->target_id)
			return &container->parts[i];
	}
	container->parts =
		xreallocarray(container->parts, container->n_parts + 1, sizeof(*container->parts));
	container->parts[container->n_parts] =
		(struct latency_part){.cause = row->cause, .target_id = row->target_id};
	return &container->parts[container->n_parts++];
}

void latency_rows_count(struct latency_rows *rows, const struct owner *owner,
			const struct latency_row *row)
{
	struct latency_container *container;

	if (row->cause >= rows->words.n)
		return;
	container = find_container(rows, owner);
	hist_add(&find_part(container, row)->hist, &row->hist);
	if (!(rows->words.background & 1U << row->cause))
		hist_add(&container->waits, &row->hist);
}

static int by_wait(const void *pa, const void *pb)
{
	const struct latency_container *a = pa, *b = pb;

	if (a->waits.sum_ns != b->waits.sum_ns)
		return a->waits.sum_ns < b->waits.sum_ns ? 1 : -1;
	return strcmp(a->owner.cgroup ? a->owner.cgroup : "",
		      b->owner.cgroup ? b->owner.cgroup : "");
}

static int by_sum(const void *pa, const void *pb)
{
	const struct latency_part *a = pa, *b = pb;

	if (a->hist.sum_ns != b->hist.sum_ns)
		return a->hist.sum_ns < b->hist.sum_ns ? 1 : -1;
	return (a->target_id > b->target_id) - (a->target_id < b->target_id);
}

void latency_rows_sort(struct latency_rows *rows)
{
	if (rows->n > 1)
		qsort(rows->items, rows->n, sizeof(*rows->items), by_wait);
	for (size_t i = 0; i < rows->n; i++) {
		if (rows->items[i].n_parts > 1)
			qsort(rows->items[i].parts, rows->items[i].n_parts,
			      sizeof(*rows->items[i].parts), by_sum);
	}
}

struct hist latency_container_cause(const struct latency_container *container, uint32_t cause)
{
	struct hist hist = {0};

	for (size_t i = 0; i < container->n_parts; i++) {
		if (container->parts[i].cause == cause)
			hist_add(&hist, &container->parts[i].hist);
	}
	return hist;
}

unsigned int latency_permille(const struct latency_rows *rows, uint64_t sum_ns)
{
	return rows->window_ns ? (unsigned int)num_muldiv(sum_ns, 1000, rows->window_ns) : 0;
}

/* --- the report ------------------------------------------------------------------------------------------------------- */

static void add_hist(const struct hist *hist, cJSON *object)
{
	tree_add_u64(object, "count", hist->count);
	tree_add_u64(object, "sumMicros", hist->sum_ns / 1000);
	tree_add_u64(object, "maxMicros", (hist->max_ns + 999) / 1000);
	tree_add_u64(object, "p99Micros", hist_quantile_us(hist, 990));
}

void latency_add_cause(const char *cause, const struct hist *hist, cJSON *array)
{
	cJSON *object, *buckets;

	if (hist->count == 0)
		return;
	object = tree_push_object(array);
	tree_add_str(object, "cause", cause);
	add_hist(hist, object);
	buckets = tree_add_array(object, "buckets");
	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		cJSON *bucket;

		if (hist->buckets[i] == 0)
			continue;
		bucket = tree_push_object(buckets);
		tree_add_u64(bucket, "leMicros", hist_edge_us(i));
		tree_add_u64(bucket, "count", hist->buckets[i]);
	}
}

static void add_container(const struct latency_rows *rows,
			  const struct latency_container *container, cJSON *list)
{
	cJSON *object = tree_push_object(list), *causes;
	const char *main_cause = NULL;
	uint64_t most = 0;

	owner_add(&container->owner, object);
	add_hist(&container->waits, object);
	causes = cJSON_CreateArray();
	for (uint32_t cause = 0; cause < rows->words.n; cause++) {
		struct hist hist = latency_container_cause(container, cause);

		latency_add_cause(rows->words.causes[cause], &hist, causes);
		if (hist.sum_ns > most && !(rows->words.background & 1U << cause)) {
			most = hist.sum_ns;
			main_cause = rows->words.causes[cause];
		}
	}
	tree_add_str(object, "mainCause", main_cause);
	(void)cJSON_AddItemToObject(object, "causes", causes);
}

cJSON *latency_rows_add(const struct latency_rows *rows, uint64_t top, cJSON *result)
{
	cJSON *node, *causes, *list;

	tree_add_u64(result, "windowSeconds", (rows->window_ns + NSEC_PER_SEC / 2) / NSEC_PER_SEC);
	node = tree_add_object(result, "node");
	causes = tree_add_array(node, "causes");
	for (size_t cause = 0; cause < rows->words.n; cause++)
		latency_add_cause(rows->words.causes[cause], &rows->node[cause], causes);
	list = tree_add_array(result, "containers");
	for (size_t i = 0; i < rows->n && i < top; i++)
		add_container(rows, &rows->items[i], list);
	return list;
}

void latency_rows_describe(const struct latency_rows *rows, struct check_result *result)
{
	uint64_t counted = 0;

	result->coverage_permille = 1000;
	for (size_t cause = 0; cause < rows->words.n; cause++)
		counted += rows->node[cause].count;
	if (rows->lost > 0) {
		result->coverage_permille =
			(unsigned int)num_muldiv(counted, 1000, counted + rows->lost);
		result->reason = "EventsLost";
		(void)snprintf(result->message, sizeof(result->message),
			       "%" PRIu64 " of %" PRIu64
			       " events are in no row: the table in the kernel was full",
			       rows->lost, counted + rows->lost);
	} else if (rows->unnamed > 0) {
		result->reason = "NamesMissing";
		(void)snprintf(result->message, sizeof(result->message),
			       "%" PRIu64 " of %" PRIu64
			       " events were in cgroups that are gone without a trace",
			       rows->unnamed, counted);
	}
}
