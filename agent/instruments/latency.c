/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/latency.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const uint64_t edges_us[] = {HIST_EDGES_US};

_Static_assert(ARRAY_SIZE(edges_us) == HIST_EDGES, "one bucket for each edge, and one above");

uint64_t hist_edge_us(size_t bucket)
{
	return bucket < HIST_EDGES ? edges_us[bucket] : UINT64_MAX;
}

void hist_add(struct hist *to, const struct hist *from)
{
	to->count += from->count;
	to->sum_ns += from->sum_ns;
	if (from->max_ns > to->max_ns)
		to->max_ns = from->max_ns;
	for (size_t i = 0; i < HIST_BUCKETS; i++)
		to->buckets[i] += from->buckets[i];
}

void hist_record(struct hist *hist, uint64_t ns)
{
	hist->count++;
	hist->sum_ns += ns;
	if (ns > hist->max_ns)
		hist->max_ns = ns;
	hist->buckets[hist_bucket(ns)]++;
}

uint64_t hist_quantile_us(const struct hist *hist, unsigned int permille)
{
	uint64_t max_us = (hist->max_ns + 999) / 1000, total = 0, seen = 0;

	/* The buckets' own sum: a snapshot can catch an event between count and bucket. */
	for (size_t i = 0; i < HIST_BUCKETS; i++)
		total += hist->buckets[i];
	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		seen += hist->buckets[i];
		if (total > 0 && seen * 1000 >= total * permille)
			return hist_edge_us(i) < max_us ? hist_edge_us(i) : max_us;
	}
	return 0;
}

uint64_t hist_count_le(const struct hist *hist, uint64_t edge_us)
{
	uint64_t n = 0;

	for (size_t i = 0; i < HIST_BUCKETS && hist_edge_us(i) <= edge_us; i++)
		n += hist->buckets[i];
	return n;
}

void latency_snapshot_free(struct latency_snapshot *snapshot)
{
	if (!snapshot)
		return;
	free(snapshot->rows);
	free(snapshot);
}

static int compare(const void *pa, const void *pb)
{
	const struct latency_row *a = pa, *b = pb;

	if (a->cgroup_id != b->cgroup_id)
		return a->cgroup_id < b->cgroup_id ? -1 : 1;
	if (a->target_id != b->target_id)
		return a->target_id < b->target_id ? -1 : 1;
	return a->cause < b->cause ? -1 : a->cause > b->cause;
}

void latency_snapshot_sort(struct latency_snapshot *snapshot)
{
	size_t n = 0;

	if (snapshot->n < 2)
		return;
	qsort(snapshot->rows, snapshot->n, sizeof(*snapshot->rows), compare);
	for (size_t i = 1; i < snapshot->n; i++) {
		if (compare(&snapshot->rows[n], &snapshot->rows[i]) == 0)
			hist_add(&snapshot->rows[n].hist, &snapshot->rows[i].hist);
		else
			snapshot->rows[++n] = snapshot->rows[i];
	}
	snapshot->n = n + 1;
}

/* False when after is not a continuation of before: a counter went back. */
static bool subtract(const struct hist *before, const struct hist *after, struct hist *out)
{
	size_t highest = 0;

	if (after->count < before->count || after->sum_ns < before->sum_ns)
		return false;
	memset(out, 0, sizeof(*out));
	out->count = after->count - before->count;
	out->sum_ns = after->sum_ns - before->sum_ns;
	for (size_t i = 0; i < HIST_BUCKETS; i++) {
		if (after->buckets[i] < before->buckets[i])
			return false;
		out->buckets[i] = after->buckets[i] - before->buckets[i];
		if (out->buckets[i] > 0)
			highest = i;
	}
	out->max_ns = after->max_ns;
	if (after->max_ns == before->max_ns && hist_edge_us(highest) < after->max_ns / 1000)
		out->max_ns = hist_edge_us(highest) * 1000;
	return true;
}

struct latency_snapshot *latency_diff(const struct latency_snapshot *before,
				      const struct latency_snapshot *after)
{
	struct latency_snapshot *diff = xcalloc(1, sizeof(*diff));
	size_t at = 0;

	diff->time_ns = after->time_ns;
	diff->lost = after->lost - (before ? before->lost : 0);
	diff->rows = xcalloc(after->n + 1, sizeof(*diff->rows));
	for (size_t i = 0; i < after->n; i++) {
		struct latency_row *row = &diff->rows[diff->n];

		while (before && at < before->n && compare(&before->rows[at], &after->rows[i]) < 0)
			at++;
		*row = after->rows[i];
		if (before && at < before->n && compare(&before->rows[at], row) == 0) {
			struct hist hist;

			if (subtract(&before->rows[at].hist, &row->hist, &hist))
				row->hist = hist;
		}
		diff->n += row->hist.count > 0;
	}
	return diff;
}
