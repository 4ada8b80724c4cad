/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus' text format, to the byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "export/exposition.h"

static void samples_have_labels_and_escapes(void **state)
{
	const struct label labels[] = {{"pod", "a\"b\\c\nd"}, {"none", NULL}, {"container", "x"}};
	struct exposition e;

	(void)state;
	exposition_init(&e, 10);
	exposition_family(&e, "m_bytes", EXPOSITION_GAUGE, "Bytes.");
	exposition_u64(&e, labels, ARRAY_SIZE(labels), UINT64_MAX);
	exposition_i64(&e, NULL, 0, -5);
	exposition_ns(&e, labels + 2, 1, 1500000000);
	assert_string_equal(
		e.text.data,
		"# HELP m_bytes Bytes.\n# TYPE m_bytes gauge\n"
		"m_bytes{pod=\"a\\\"b\\\\c\\nd\",container=\"x\"} 18446744073709551615\n"
		"m_bytes -5\nm_bytes{container=\"x\"} 1.500000000\n");
	exposition_done(&e);
}

static void a_histogram_is_cumulative(void **state)
{
	const struct label label = {"cause", "limit"};
	struct hist hist = {0};
	struct exposition e;

	(void)state;
	hist_record(&hist, 3000);	 /* 3 us */
	hist_record(&hist, 900000);	 /* 0.9 ms */
	hist_record(&hist, 5000000);	 /* 5 ms, the edge itself */
	hist_record(&hist, 70000000000); /* 70 s: beyond the last edge */
	exposition_init(&e, 100);
	exposition_family(&e, "m_seconds", EXPOSITION_HISTOGRAM, "Waits.");
	exposition_hist(&e, &label, 1, &hist, 0);
	assert_string_equal(e.text.data, "# HELP m_seconds Waits.\n# TYPE m_seconds histogram\n"
					 "m_seconds_bucket{cause=\"limit\",le=\"0.000064\"} 1\n"
					 "m_seconds_bucket{cause=\"limit\",le=\"0.000256\"} 1\n"
					 "m_seconds_bucket{cause=\"limit\",le=\"0.001\"} 2\n"
					 "m_seconds_bucket{cause=\"limit\",le=\"0.005\"} 3\n"
					 "m_seconds_bucket{cause=\"limit\",le=\"0.01\"} 3\n"
					 "m_seconds_bucket{cause=\"limit\",le=\"0.1\"} 3\n"
					 "m_seconds_bucket{cause=\"limit\",le=\"0.5\"} 3\n"
					 "m_seconds_bucket{cause=\"limit\",le=\"1.0\"} 3\n"
					 "m_seconds_bucket{cause=\"limit\",le=\"+Inf\"} 4\n"
					 "m_seconds_sum{cause=\"limit\"} 70.005903000\n"
					 "m_seconds_count{cause=\"limit\"} 4\n");
	assert_int_equal(e.series, 11);
	exposition_done(&e);
	/* From 1 s on: two buckets. */
	exposition_init(&e, 100);
	exposition_family(&e, "m_seconds", EXPOSITION_HISTOGRAM, "Waits.");
	exposition_hist(&e, NULL, 0, &hist, 1000000);
	assert_string_equal(e.text.data,
			    "# HELP m_seconds Waits.\n# TYPE m_seconds histogram\n"
			    "m_seconds_bucket{le=\"1.0\"} 3\nm_seconds_bucket{le=\"+Inf\"} 4\n"
			    "m_seconds_sum 70.005903000\nm_seconds_count 4\n");
	assert_int_equal(e.series, 4);
	exposition_done(&e);
}

static void what_is_beyond_the_ceiling_is_counted(void **state)
{
	struct hist hist = {0};
	struct exposition e;

	(void)state;
	exposition_init(&e, 2);
	exposition_family(&e, "m", EXPOSITION_GAUGE, "M.");
	exposition_u64(&e, NULL, 0, 1);
	/* Half a histogram would be a wrong one. */
	exposition_hist(&e, NULL, 0, &hist, 0);
	exposition_u64(&e, NULL, 0, 2);
	exposition_u64(&e, NULL, 0, 3);
	assert_string_equal(e.text.data, "# HELP m M.\n# TYPE m gauge\nm 1\nm 2\n");
	assert_int_equal(e.dropped, exposition_n_edges + 3 + 1);
	exposition_done(&e);
	/* One that leaves edges out fits where the whole one does not; what is left out takes no room. */
	exposition_init(&e, 5);
	exposition_family(&e, "m", EXPOSITION_HISTOGRAM, "M.");
	exposition_hist(&e, NULL, 0, &hist, 0);
	assert_int_equal(e.series, 0);
	exposition_hist(&e, NULL, 0, &hist, 1000000);
	assert_int_equal(e.series, 4);
	exposition_u64(&e, NULL, 0, 1);
	assert_int_equal(e.series, 5);
	assert_int_equal(e.dropped, exposition_n_edges + 3);
	exposition_done(&e);
}

static void every_exported_edge_is_one_of_the_histogram(void **state)
{
	(void)state;
	for (size_t i = 0; i < exposition_n_edges; i++) {
		bool found = false;

		for (size_t k = 0; k < HIST_EDGES; k++)
			found |= hist_edge_us(k) == exposition_edges_us[i];
		assert_true(found);
	}
}

static void openmetrics_names_counters_without_total(void **state)
{
	static const char text[] =
		"# HELP a_total All of it.\n# TYPE a_total counter\na_total 5\n"
		"# HELP b_seconds B_total.\n# TYPE b_seconds gauge\nb_seconds 1\n"
		"# HELP old Old.\n# TYPE old counter\nold 7\n";
	struct buf out = BUF_INIT(4096), tiny = BUF_INIT(16);

	(void)state;
	assert_int_equal(exposition_openmetrics(text, sizeof(text) - 1, &out), 0);
	assert_string_equal(out.data,
			    "# HELP a All of it.\n# TYPE a counter\na_total 5\n"
			    "# HELP b_seconds B_total.\n# TYPE b_seconds gauge\nb_seconds 1\n"
			    "# HELP old Old.\n# TYPE old unknown\nold 7\n# EOF\n");
	assert_true(exposition_openmetrics(text, sizeof(text) - 1, &tiny) < 0);
	buf_done(&out);
	buf_done(&tiny);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(samples_have_labels_and_escapes),
		cmocka_unit_test(a_histogram_is_cumulative),
		cmocka_unit_test(what_is_beyond_the_ceiling_is_counted),
		cmocka_unit_test(every_exported_edge_is_one_of_the_histogram),
		cmocka_unit_test(openmetrics_names_counters_without_total),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
