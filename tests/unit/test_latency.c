/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms, and what happened between two snapshots of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "instruments/latency.h"

static void every_value_is_in_its_bucket(void **state)
{
	(void)state;
	for (size_t i = 0; i < HIST_EDGES; i++) {
		uint64_t edge_ns = hist_edge_us(i) * 1000;

		assert_int_equal(hist_bucket(edge_ns), i);
		assert_int_equal(hist_bucket(edge_ns + 1), i + 1);
		if (i > 0)
			assert_true(hist_edge_us(i - 1) < hist_edge_us(i));
	}
	assert_int_equal(hist_bucket(0), 0);
	assert_int_equal(hist_bucket(UINT64_MAX / 2), HIST_EDGES);
	assert_true(hist_edge_us(HIST_EDGES) == UINT64_MAX);
}

static void quantiles_are_edges(void **state)
{
	struct hist hist = {0};

	(void)state;
	assert_int_equal(hist_quantile_us(&hist, 990), 0);
	for (int i = 0; i < 99; i++)
		hist_record(&hist, 3000);
	hist_record(&hist, 7000000);
	assert_int_equal(hist_quantile_us(&hist, 500), 4);
	assert_int_equal(hist_quantile_us(&hist, 990), 4);
	/* The edge is 8.192 ms, but nothing took longer than 7. */
	assert_int_equal(hist_quantile_us(&hist, 1000), 7000);
	assert_int_equal(hist_count_le(&hist, 5000), 99);
	assert_int_equal(hist_count_le(&hist, 10000), 100);
	assert_int_equal(hist.sum_ns, 99 * 3000 + 7000000);
}

static struct latency_snapshot *snapshot(size_t n)
{
	struct latency_snapshot *s = xcalloc(1, sizeof(*s));

	s->rows = xcalloc(n, sizeof(*s->rows));
	s->n = n;
	return s;
}

static void rows_with_one_key_are_one(void **state)
{
	struct latency_snapshot *s = snapshot(3);

	(void)state;
	s->rows[0].cgroup_id = 9;
	s->rows[1].cgroup_id = 4;
	s->rows[2].cgroup_id = 9;
	for (size_t i = 0; i < 3; i++)
		hist_record(&s->rows[i].hist, 1000 * (i + 1));
	latency_snapshot_sort(s);
	assert_int_equal(s->n, 2);
	assert_int_equal(s->rows[0].cgroup_id, 4);
	assert_int_equal(s->rows[1].hist.count, 2);
	assert_int_equal(s->rows[1].hist.max_ns, 3000);
	latency_snapshot_free(s);
}

static void a_window_is_a_difference(void **state)
{
	struct latency_snapshot *before = snapshot(3), *after = snapshot(4), *diff;

	(void)state;
	before->lost = 2;
	after->lost = 5;
	/* 1: went on, with shorter ones; 2: nothing new; 3: evicted and made anew; 4: new. */
	for (uint64_t id = 1; id <= 4; id++)
		after->rows[id - 1].cgroup_id = id;
	for (uint64_t id = 1; id <= 3; id++) {
		before->rows[id - 1].cgroup_id = id;
		hist_record(&before->rows[id - 1].hist, 60000000);
		hist_record(&before->rows[id - 1].hist, 60000000);
	}
	after->rows[0].hist = before->rows[0].hist;
	hist_record(&after->rows[0].hist, 3000);
	after->rows[1].hist = before->rows[1].hist;
	hist_record(&after->rows[2].hist, 5000);
	hist_record(&after->rows[3].hist, 7000);
	diff = latency_diff(before, after);
	assert_int_equal(diff->lost, 3);
	assert_int_equal(diff->n, 3);
	assert_int_equal(diff->rows[0].cgroup_id, 1);
	assert_int_equal(diff->rows[0].hist.count, 1);
	assert_int_equal(diff->rows[0].hist.sum_ns, 3000);
	/* The 60 ms were before: the longest of the window is at most its highest bucket's edge. */
	assert_int_equal(diff->rows[0].hist.max_ns, 4000);
	assert_int_equal(diff->rows[1].cgroup_id, 3);
	assert_int_equal(diff->rows[1].hist.count, 1);
	assert_int_equal(diff->rows[2].cgroup_id, 4);
	latency_snapshot_free(diff);
	diff = latency_diff(NULL, after);
	assert_int_equal(diff->n, 4);
	latency_snapshot_free(diff);
	latency_snapshot_free(before);
	latency_snapshot_free(after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_value_is_in_its_bucket),
		cmocka_unit_test(quantiles_are_edges),
		cmocka_unit_test(rows_with_one_key_are_one),
		cmocka_unit_test(a_window_is_a_difference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
