/* SPDX-License-Identifier: Apache-2.0 */
/* RunQueueLatency: judging on waits written by hand, differences of snapshots, quotas and CPU times as the kernel writes them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "checks/run_queue_latency.h"
#include "instruments/cpu_times.h"

/* --- differences ------------------------------------------------------------------------------------------------------ */

static struct latency_snapshot *no_waits(void)
{
	struct latency_snapshot *waits = xcalloc(1, sizeof(*waits));

	waits->rows = xcalloc(1, sizeof(*waits->rows));
	return waits;
}

static struct runqueue_snapshot *snapshot(const struct runqueue_holder *holders, size_t n)
{
	struct runqueue_snapshot *s = xcalloc(1, sizeof(*s));

	s->waits = no_waits();
	s->holders = xcalloc(n + 1, sizeof(*s->holders));
	memcpy(s->holders, holders, n * sizeof(*holders));
	s->n_holders = n;
	return s;
}

static void holders_are_subtracted(void **state)
{
	const struct runqueue_holder old[] = {
		{.waiter_id = 1, .holder_id = 2, .count = 5, .wait_ns = 50, .held_ns = 40},
		{.waiter_id = 1, .holder_id = 3, .count = 9, .wait_ns = 90, .held_ns = 80},
		{.waiter_id = 4, .holder_id = 2, .count = 7, .wait_ns = 70, .held_ns = 60},
	};
	const struct runqueue_holder new[] = {
		{.waiter_id = 1,
		 .holder_id = 2,
		 .count = 5,
		 .wait_ns = 50,
		 .held_ns = 40}, /* as it was */
		{.waiter_id = 1, .holder_id = 3, .count = 11, .wait_ns = 120, .held_ns = 100},
		{.waiter_id = 3,
		 .holder_id = 1,
		 .count = 1,
		 .wait_ns = 10,
		 .held_ns = 10}, /* new */
		{.waiter_id = 4,
		 .holder_id = 2,
		 .count = 2,
		 .wait_ns = 20,
		 .held_ns = 20}, /* made anew */
	};
	struct runqueue_snapshot *before = snapshot(old, ARRAY_SIZE(old));
	struct runqueue_snapshot *after = snapshot(new, ARRAY_SIZE(new));
	struct runqueue_snapshot *diff = runqueue_diff(before, after);

	(void)state;
	assert_int_equal(diff->n_holders, 3);
	assert_int_equal(diff->holders[0].count, 2);
	assert_int_equal(diff->holders[0].wait_ns, 30);
	assert_int_equal(diff->holders[0].held_ns, 20);
	assert_int_equal(diff->holders[1].waiter_id, 3);
	assert_int_equal(diff->holders[2].count, 2);
	runqueue_snapshot_free(diff);
	diff = runqueue_diff(NULL, after);
	assert_int_equal(diff->n_holders, 4);
	runqueue_snapshot_free(diff);
	runqueue_snapshot_free(before);
	runqueue_snapshot_free(after);
}

/* --- judging ---------------------------------------------------------------------------------------------------------- */

static const struct owner api = {
	.cgroup = "/kubepods/a", .cgroup_id = 11, .ns = "shop", .pod = "api-0", .container = "app"};
static const struct owner batch = {.cgroup = "/kubepods/b",
				   .cgroup_id = 12,
				   .ns = "jobs",
				   .pod = "batch-1",
				   .container = "work"};
static const struct owner root = {.cgroup = "/", .cgroup_id = 1};

static void count(struct latency_rows *rows, const struct owner *owner, uint32_t cause, uint64_t ns,
		  unsigned int times)
{
	struct latency_row row = {.cause = cause, .cgroup_id = owner->cgroup_id};

	for (unsigned int i = 0; i < times; i++)
		hist_record(&row.hist, ns);
	latency_rows_count(rows, owner, &row);
	hist_add(&rows->node[cause], &row.hist);
}

struct world {
	struct spec spec;
	struct latency_rows *rows;
	struct run_queue_item items[4];
	struct run_queue_holder holders[2];
	struct run_queue_facts facts;
	struct check_result result;
};

/* api-0 waited 3 s of 10 s for batch-1; batch-1 was throttled; kernel threads waited too. */
static void setup(struct world *w)
{
	memset(w, 0, sizeof(*w));
	w->spec.top = 10;
	w->rows = xcalloc(1, sizeof(*w->rows));
	w->rows->words = run_queue_words;
	w->rows->window_ns = 10 * NSEC_PER_SEC;
	count(w->rows, &root, RUNQUEUE_CONTENTION, 40 * NSEC_PER_MSEC, 200);
	count(w->rows, &api, RUNQUEUE_CONTENTION, 30 * NSEC_PER_MSEC, 100);
	count(w->rows, &batch, RUNQUEUE_THROTTLED, 20 * NSEC_PER_MSEC, 50);
	count(w->rows, &batch, RUNQUEUE_CONTENTION, NSEC_PER_MSEC, 100);
	latency_rows_sort(w->rows);
	/* Longest first: root, api-0, batch-1. */
	w->holders[0] = (struct run_queue_holder){.owner = batch,
						  .waits = {.count = 90,
							    .wait_ns = 2800 * NSEC_PER_MSEC,
							    .held_ns = 2600 * NSEC_PER_MSEC,
							    .holder_pid = 77,
							    .holder_comm = "cruncher"}};
	w->holders[1] =
		(struct run_queue_holder){.waits = {.count = 1, .wait_ns = 30 * NSEC_PER_MSEC}};
	w->items[1] = (struct run_queue_item){
		.has_quota = true,
		.quota = {.limit_millis = UINT64_MAX, .request_millis = 100},
		.holders = w->holders,
		.n_holders = 2};
	w->items[2] = (struct run_queue_item){.has_quota = true,
					      .quota = {.periods = 100,
							.throttled = 60,
							.throttled_ns = 5 * NSEC_PER_SEC,
							.limit_millis = 500,
							.period_us = 100000,
							.request_millis = 500}};
	w->facts = (struct run_queue_facts){.spec = &w->spec,
					    .rows = w->rows,
					    .items = w->items,
					    .method = "bpf-sched-info",
					    .n_cpus = 4,
					    .cpu_mount = "/sys/fs/cgroup/cpu"};
}

static void teardown(struct world *w)
{
	check_result_done(&w->result);
	latency_rows_free(w->rows);
}

static const struct finding *find(const struct world *w, const char *reason, const char *pod)
{
	for (size_t i = 0; i < w->result.findings.n; i++) {
		const struct finding *f = &w->result.findings.items[i];

		if (strcmp(f->reason, reason) == 0 && f->subject.pod &&
		    strcmp(f->subject.pod, pod) == 0)
			return f;
	}
	return NULL;
}

static const char *evidence(const struct finding *f, const char *name)
{
	for (size_t i = 0; i < f->n_evidence; i++)
		if (strcmp(f->evidence[i].name, name) == 0)
			return f->evidence[i].value;
	return "";
}

static const struct hint *hint(const struct finding *f, const char *id)
{
	for (size_t i = 0; i < f->n_hints; i++)
		if (strcmp(f->hints[i].id, id) == 0)
			return &f->hints[i];
	return NULL;
}

/* memdiag is named, but nobody is told to throttle it; as a pod, or a process of the host. */
static void memdiag_itself_is_not_throttled(void **state)
{
	static const struct owner session = {.cgroup = "/user.slice/x.scope", .cgroup_id = 99};
	const struct owner *const as[] = {&batch, &session};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(as); i++) {
		const struct finding *f;
		struct world w;

		setup(&w);
		w.spec.window_ms = 30000;
		w.facts.self_pid = 77;
		w.holders[0].owner = *as[i];
		run_queue_judge(&w.facts, &w.result);
		f = find(&w, "RunQueueWait", "api-0");
		assert_non_null(f);
		assert_non_null(strstr(f->message, "(memdiag itself)"));
		assert_null(hint(f, "limit-holder"));
		assert_null(hint(f, "nice-holder"));
		assert_non_null(hint(f, "observe-alone"));
		assert_string_equal(hint(f, "observe-alone")->command,
				    "memdiag run --check RunQueueLatency --window 120s");
		assert_non_null(strstr(hint(f, "observe-alone")->current, "held the CPU for 2.6"));
		teardown(&w);
	}
}

static void who_held_the_cpu_is_named(void **state)
{
	const struct finding *f;
	struct world w;

	(void)state;
	setup(&w);
	run_queue_judge(&w.facts, &w.result);
	f = find(&w, "RunQueueWait", "api-0");
	assert_non_null(f);
	assert_int_equal(f->severity, SEVERITY_WARNING); /* 30 % */
	assert_non_null(strstr(f->message, "waited 3"));
	assert_non_null(strstr(f->message, "30.0 %"));
	assert_non_null(strstr(f->message, "jobs/batch-1/work"));
	assert_string_equal(evidence(f, "heldBy"), "jobs/batch-1/work");
	assert_string_equal(evidence(f, "heldByTask"), "cruncher (pid 77)");
	assert_non_null(hint(f, "limit-holder"));
	assert_non_null(strstr(hint(f, "limit-holder")->command, "batch-1"));
	/* 100m that it has, and 300m that it waited for. */
	assert_non_null(strstr(hint(f, "raise-request")->proposed, "400m"));
	assert_null(hint(f, "observe-alone"));
	assert_null(hint(f, "nice-holder")); /* a pod's process is not to be reniced */
	/* Neither kernel threads nor one who waited for 1 % of the time. */
	assert_null(find(&w, "RunQueueWait", "batch-1"));
	assert_int_equal(w.result.findings.n, 2);
	teardown(&w);
}

static void its_own_limit_is_its_own_doing(void **state)
{
	const struct finding *f;
	struct world w;

	(void)state;
	setup(&w);
	run_queue_judge(&w.facts, &w.result);
	f = find(&w, "CpuThrottled", "batch-1");
	assert_non_null(f);
	assert_int_equal(f->severity, SEVERITY_CRITICAL); /* 60 % of periods */
	assert_string_equal(evidence(f, "throttledPeriods"), "60 of 100");
	assert_string_equal(evidence(f, "cpuLimit"), "500m");
	/* It stood still for half of the time: twice as much is wanted. */
	assert_non_null(strstr(hint(f, "raise-cpu-limit")->proposed, "1000m"));
	assert_non_null(strstr(hint(f, "raise-cpu-limit")->command, "\"name\":\"work\""));
	assert_non_null(strstr(hint(f, "raise-quota-v1")->command,
			       "echo 100000 > /sys/fs/cgroup/cpu/kubepods/b/cpu.cfs_quota_us"));
	assert_null(hint(f, "raise-quota-v2"));
	teardown(&w);
}

static void few_periods_say_nothing(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	w.items[2].quota.periods = 9;
	w.items[2].quota.throttled = 9;
	run_queue_judge(&w.facts, &w.result);
	assert_null(find(&w, "CpuThrottled", "batch-1"));
	teardown(&w);
}

static void the_result_has_averages_and_holders(void **state)
{
	cJSON *row, *node, *holders;
	struct world w;

	(void)state;
	setup(&w);
	w.facts.has_schedstat = true;
	w.facts.schedstat_ns = 12 * NSEC_PER_SEC;
	w.facts.schedstat_waits = 400;
	run_queue_judge(&w.facts, &w.result);
	assert_int_equal(w.result.state, CHECK_COMPLETE);
	assert_null(w.result.reason);
	node = cJSON_GetObjectItemCaseSensitive(w.result.result, "node");
	/* 8 s + 3 s + 1 s + 0.1 s of 450 waits. */
	assert_int_equal(cJSON_GetObjectItemCaseSensitive(node, "averageMicros")->valueint, 26888);
	assert_int_equal(cJSON_GetObjectItemCaseSensitive(node, "schedstatAverageMicros")->valueint,
			 30000);
	row = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(w.result.result, "containers"),
				 1);
	assert_string_equal(cJSON_GetObjectItemCaseSensitive(row, "pod")->valuestring, "api-0");
	assert_null(cJSON_GetObjectItemCaseSensitive(row, "cpuLimitMillis"));
	holders = cJSON_GetObjectItemCaseSensitive(row, "holders");
	assert_int_equal(cJSON_GetArraySize(holders), 2);
	assert_string_equal(cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(holders, 0), "pod")
				    ->valuestring,
			    "batch-1");
	assert_null(cJSON_GetObjectItemCaseSensitive(cJSON_GetArrayItem(holders, 1), "cgroup"));
	teardown(&w);
}

static void what_is_missing_is_told(void **state)
{
	struct world w;

	(void)state;
	setup(&w);
	w.facts.missing = "tasks are followed by pid";
	run_queue_judge(&w.facts, &w.result);
	assert_int_equal(w.result.state, CHECK_COMPLETE);
	assert_string_equal(w.result.reason, "LimitedByKernel");
	assert_string_equal(w.result.message, "tasks are followed by pid");
	teardown(&w);
	setup(&w);
	w.facts.lost_holders = 3;
	run_queue_judge(&w.facts, &w.result);
	assert_string_equal(w.result.reason, "HoldersMissing");
	teardown(&w);
}

static void wanted_cpu_is_bounded(void **state)
{
	struct cpu_quota quota = {.limit_millis = 100, .throttled_ns = 9 * NSEC_PER_SEC};

	(void)state;
	/* Ran for a tenth of the time. */
	assert_int_equal(run_queue_wanted_millis(&quota, 10 * NSEC_PER_SEC, 4), 1000);
	quota.throttled_ns = 100 * NSEC_PER_SEC; /* more CPUs than it had quota for */
	assert_int_equal(run_queue_wanted_millis(&quota, 10 * NSEC_PER_SEC, 4), 2000);
	assert_int_equal(run_queue_wanted_millis(&quota, 10 * NSEC_PER_SEC, 1), 1000);
	quota.limit_millis = UINT64_MAX;
	assert_int_equal(run_queue_wanted_millis(&quota, 10 * NSEC_PER_SEC, 4), 0);
	quota.limit_millis = 100;
	assert_int_equal(run_queue_wanted_millis(&quota, 0, 4), 0);
}

/* --- the kernel's files ----------------------------------------------------------------------------------------------- */

static void quotas_of_both_versions(void **state)
{
	struct parse_notes notes = {0};
	struct cpu_quota v1 = {0}, v2 = {0}, max = {.limit_millis = UINT64_MAX}, diff;

	(void)state;
	cpu_quota_parse_stat("nr_periods 20\nnr_throttled 19\nthrottled_time 1654100000\n", &v1,
			     &notes);
	assert_int_equal(v1.periods, 20);
	assert_int_equal(v1.throttled, 19);
	assert_int_equal(v1.throttled_ns, 1654100000);
	cpu_quota_parse_stat(
		"usage_usec 5\nuser_usec 2\nsystem_usec 3\nnr_periods 7\nnr_throttled 2\n"
		"throttled_usec 1500\nnr_bursts 0\n",
		&v2, &notes);
	assert_int_equal(v2.throttled_ns, 1500000);
	assert_int_equal(notes.n, 0);
	cpu_quota_parse_stat("nr_periods x\nnr_throttled 18446744073709551616\n", &v2, &notes);
	assert_int_equal(notes.n, 2);
	assert_int_equal(v2.periods, 7);
	cpu_quota_parse_max("max 100000\n", &max);
	assert_true(max.limit_millis == UINT64_MAX);
	cpu_quota_parse_max("150000 100000\n", &max);
	assert_int_equal(max.limit_millis, 1500);
	assert_true(max.quota_us == 150000 && max.period_us == 100000);
	cpu_quota_parse_max("5", &max);
	cpu_quota_parse_max("", &max);
	cpu_quota_parse_max("1 0\n", &max);
	assert_int_equal(max.limit_millis, 1500);
	diff = cpu_quota_diff(
		&(struct cpu_quota){.periods = 15, .throttled = 10, .throttled_ns = 4}, &v1);
	assert_int_equal(diff.periods, 5);
	assert_int_equal(diff.throttled, 9);
	diff = cpu_quota_diff(&(struct cpu_quota){.periods = 25}, &v1); /* made anew */
	assert_int_equal(diff.periods, 20);
}

static void cpu_times_are_read(void **state)
{
	struct cpu_times times = {0};

	(void)state;
	cpu_times_parse_stat("cpu  9 9 9 9 9 9 9 9 9 9\n"
			     "cpu1 1 2 3 4 5 6 7 8 9 10\n"
			     "cpu0 10 0 0 90 0 1 2 3 5 0\n"
			     "cpu2 1 2 3\ncpux 1 2 3 4 5 6 7 8\ncpu3 1 2 3 4 5 6 x\n"
			     "intr 5 6\nctxt 7\n",
			     &times);
	assert_int_equal(times.n, 2);
	assert_int_equal(times.notes.n, 3);
	assert_int_equal(times.cpus[0].cpu, 0);
	assert_int_equal(times.cpus[0].total, 106);
	assert_int_equal(times.cpus[0].softirq, 2);
	assert_int_equal(cpu_times_find(&times, 1)->steal, 8);
	assert_int_equal(cpu_times_find(&times, 1)->total, 36);
	assert_null(cpu_times_find(&times, 2));
	assert_null(cpu_times_find(NULL, 2));
	cpu_times_parse_schedstat("version 17\ntimestamp 4294902224\n"
				  "cpu0 0 0 0 0 0 0 23200972094 4217129260 1461\n"
				  "domain0 MC 3 0 0\n"
				  "cpu1 0 0 0 0 0 0 20805331967 4639080589 1214\n",
				  &times);
	assert_true(times.has_schedstat);
	assert_int_equal(times.delay_ns, 4217129260 + 4639080589);
	assert_int_equal(times.waits, 2675);
	free(times.cpus);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holders_are_subtracted),
		cmocka_unit_test(who_held_the_cpu_is_named),
		cmocka_unit_test(memdiag_itself_is_not_throttled),
		cmocka_unit_test(its_own_limit_is_its_own_doing),
		cmocka_unit_test(few_periods_say_nothing),
		cmocka_unit_test(the_result_has_averages_and_holders),
		cmocka_unit_test(what_is_missing_is_told),
		cmocka_unit_test(wanted_cpu_is_bounded),
		cmocka_unit_test(quotas_of_both_versions),
		cmocka_unit_test(cpu_times_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
