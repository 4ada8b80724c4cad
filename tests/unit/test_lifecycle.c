/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules, requests, deadlines and clocks over the life of a diagnosis: what the controller writes is fed back to it. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/num.h"
#include "controller/due.h"
#include "controller/status.h"

/* A diagnosis in a world of two nodes, whose agents report when told to. */
struct world {
	cJSON *object;
	time_t now, run_now;
	size_t n_nodes;
	unsigned int writes, opened, removed, missed;
	bool opened_twice;
	struct map ids; /* of all runs ever opened */
	char last_id[64];
	const char *zone_fault;
	struct report_summary reports[2];
	size_t n_reports;
};

static void no_free(void *value)
{
	(void)value;
}

static time_t at(const char *text)
{
	time_t t = 0;

	assert_int_equal(clock_parse_rfc3339(text, &t), 0);
	return t;
}

static void set_spec(struct world *w, const char *spec)
{
	cJSON *metadata = cJSON_GetObjectItemCaseSensitive(w->object, "metadata");
	int64_t generation = tree_int_or(metadata, "generation", 0) + 1;

	cJSON_DeleteItemFromObjectCaseSensitive(w->object, "spec");
	cJSON_AddItemToObject(w->object, "spec", cJSON_Parse(spec));
	cJSON_DeleteItemFromObjectCaseSensitive(metadata, "generation");
	tree_add_int(metadata, "generation", generation);
}

static void set_request(struct world *w, const char *value)
{
	cJSON *metadata = cJSON_GetObjectItemCaseSensitive(w->object, "metadata");

	cJSON_DeleteItemFromObjectCaseSensitive(metadata, "annotations");
	cJSON_AddStringToObject(tree_add_object(metadata, "annotations"), RUN_REQUEST_ANNOTATION,
				value);
}

static struct world world(const char *created, const char *spec)
{
	struct world w = {.now = at(created), .n_nodes = 2, .ids = MAP_INIT(no_free)};
	cJSON *metadata;

	w.object = cJSON_CreateObject();
	metadata = tree_add_object(w.object, "metadata");
	tree_add_str(metadata, "name", "x");
	tree_add_str(metadata, "uid", "u1");
	tree_add_str(metadata, "creationTimestamp", created);
	/* As the CRD's default has it. */
	tree_add_int(tree_add_object(w.object, "status"), "observedGeneration", -1);
	set_spec(&w, spec);
	return w;
}

static void world_end(struct world *w)
{
	cJSON_Delete(w->object);
	map_done(&w->ids);
}

static const char *status_str(const struct world *w, const char *path)
{
	return tree_str_or_empty(tree_get(w->object, "status"), path);
}

static const char *condition(const struct world *w, const char *type, const char *key)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, tree_get(w->object, "status.conditions")) {
		if (strcmp(tree_str_or_empty(item, "type"), type) == 0)
			return tree_str_or_empty(item, key);
	}
	return "absent";
}

static void note_run(struct world *w)
{
	const char *id = status_str(w, "run.id");

	if (!*id || strcmp(id, w->last_id) == 0)
		return;
	(void)snprintf(w->last_id, sizeof(w->last_id), "%s", id);
	w->opened_twice |= map_get(&w->ids, id) != NULL;
	map_set(&w->ids, id, w);
	w->opened++;
}

/* What the controller does until it has nothing left to do. */
static void settle(struct world *w)
{
	static const char *const nodes[] = {"node-a", "node-b"};
	const struct report_summary *reports[2] = {&w->reports[0], &w->reports[1]};
	_cleanup_tree_ cJSON *findings = cJSON_CreateArray();
	struct status_output out;

	for (int i = 0;; i++) {
		struct status_input in = {.diagnosis = w->object,
					  .nodes = nodes,
					  .n_nodes = w->n_nodes,
					  .reports = reports,
					  .n_reports = w->n_reports,
					  .top_findings = findings,
					  .now = w->now,
					  .run_now = w->run_now,
					  .zone_fault = w->zone_fault};

		if (i == 10)
			fail_msg("the controller never comes to rest");
		status_compute(&in, &out);
		w->missed += out.missed;
		w->removed += out.remove;
		if (!out.status)
			break;
		cJSON_DeleteItemFromObjectCaseSensitive(w->object, "status");
		cJSON_AddItemToObject(w->object, "status", out.status);
		w->writes++;
		note_run(w);
	}
	assert_true(out.again_seconds >= 1 && out.again_seconds <= 3600);
}

static void settle_at(struct world *w, const char *when)
{
	w->now = at(when);
	settle(w);
}

/* Both nodes report for the run that is going on. */
static void report(struct world *w, int critical)
{
	static char run_id[64];

	(void)snprintf(run_id, sizeof(run_id), "%s", status_str(w, "run.id"));
	for (int i = 0; i < 2; i++)
		w->reports[i] = (struct report_summary){.name = "x.node",
							.diagnosis = "x",
							.node = i ? "node-b" : "node-a",
							.run_id = run_id,
							.uid = "r",
							.owner_uid = "u1",
							.verdict = "OK",
							.critical = critical};
	w->n_reports = 2;
	settle(w);
}

static void expect_run(const struct world *w, const char *id, const char *trigger,
		       const char *state)
{
	assert_string_equal(status_str(w, "run.id"), id);
	assert_string_equal(status_str(w, "run.trigger"), trigger);
	assert_string_equal(status_str(w, "run.state"), state);
}

static void expect_slot(const struct world *w, const char *slot, const char *state)
{
	char id[64];

	(void)snprintf(id, sizeof(id), "s-%" PRId64, (int64_t)at(slot) / 60);
	expect_run(w, id, "Schedule", state);
	assert_string_equal(status_str(w, "lastScheduleTime"), slot);
}

static void expect_healthy(const struct world *w)
{
	assert_string_equal(condition(w, "Ready", "status"), "True");
	assert_string_equal(condition(w, "Reconciling", "status"), "False");
	assert_string_equal(condition(w, "Stalled", "status"), "False");
}

/* --- schedules -------------------------------------------------------------------------------------------------------- */

static void a_schedule_runs_at_its_times(void **state)
{
	struct world w = world("2026-11-29T01:00:30Z", "{\"schedule\":\"0 2 * * *\"}");

	(void)state;
	settle(&w);
	assert_int_equal(w.opened, 0);
	assert_string_equal(status_str(&w, "nextScheduleTime"), "2026-11-29T02:00:00Z");
	assert_string_equal(condition(&w, "Complete", "reason"), "NotRunYet");
	expect_healthy(&w);
	settle_at(&w, "2026-11-29T01:59:59Z");
	assert_int_equal(w.writes, 1);
	settle_at(&w, "2026-11-29T02:00:00Z");
	expect_slot(&w, "2026-11-29T02:00:00Z", "Running");
	assert_string_equal(status_str(&w, "nextScheduleTime"), "2026-11-30T02:00:00Z");
	assert_string_equal(condition(&w, "Complete", "status"), "False");
	expect_healthy(&w);
	w.now += 41;
	report(&w, 0);
	expect_slot(&w, "2026-11-29T02:00:00Z", "Complete");
	assert_string_equal(condition(&w, "Complete", "status"), "True");
	assert_string_equal(status_str(&w, "lastSuccessfulTime"), "2026-11-29T02:00:41Z");
	expect_healthy(&w);
	settle_at(&w, "2026-11-29T12:00:00Z");
	assert_int_equal(w.writes, 3);
	settle_at(&w, "2026-11-30T02:00:01Z");
	expect_slot(&w, "2026-11-30T02:00:00Z", "Running");
	assert_int_equal(w.opened, 2);
	assert_int_equal(w.missed, 0);
	world_end(&w);
}

static void after_downtime_the_last_time_runs(void **state)
{
	struct world w = world("2026-11-29T01:00:00Z", "{\"schedule\":\"0 * * * *\"}");

	(void)state;
	/* Made while no controller ran: times count from its creation. */
	settle_at(&w, "2026-11-29T04:30:00Z");
	expect_slot(&w, "2026-11-29T04:00:00Z", "Running");
	assert_int_equal(w.missed, 2);
	report(&w, 0);
	settle_at(&w, "2027-03-01T00:30:00Z");
	expect_slot(&w, "2027-03-01T00:00:00Z", "Running");
	assert_int_equal(w.opened, 2);
	world_end(&w);
}

static void a_starting_deadline_limits_what_is_late(void **state)
{
	struct world w = world("2026-11-29T01:30:00Z",
			       "{\"schedule\":\"0 * * * *\",\"startingDeadlineSeconds\":600}");

	(void)state;
	settle(&w);
	settle_at(&w, "2026-11-29T02:11:00Z");
	assert_int_equal(w.opened, 0);
	assert_int_equal(w.missed, 1);
	assert_string_equal(status_str(&w, "nextScheduleTime"), "2026-11-29T03:00:00Z");
	settle(&w);
	assert_int_equal(w.missed, 1);
	settle_at(&w, "2026-11-29T05:09:00Z");
	expect_slot(&w, "2026-11-29T05:00:00Z", "Running");
	assert_int_equal(w.missed, 3);
	world_end(&w);
}

static void suspended_schedules_miss_their_times(void **state)
{
	struct world w = world("2026-11-29T01:30:00Z", "{\"schedule\":\"0 * * * *\"}");
	unsigned int writes;

	(void)state;
	settle(&w);
	set_spec(&w, "{\"schedule\":\"0 * * * *\",\"suspend\":true}");
	settle(&w);
	writes = w.writes;
	settle_at(&w, "2026-11-29T04:30:00Z");
	assert_int_equal(w.writes, writes);
	assert_int_equal(w.opened, 0);
	assert_string_equal(condition(&w, "Ready", "reason"), "Suspended");
	expect_healthy(&w);
	set_request(&w, "now");
	settle(&w);
	assert_int_equal(w.opened, 0);
	set_request(&w, "");
	/* As in CronJob: what was missed is made up for once. */
	set_spec(&w, "{\"schedule\":\"0 * * * *\"}");
	settle(&w);
	expect_slot(&w, "2026-11-29T04:00:00Z", "Running");
	assert_int_equal(w.missed, 2);
	/* Suspended in the midst of a run: it goes on. */
	set_spec(&w, "{\"schedule\":\"0 * * * *\",\"suspend\":true}");
	settle(&w);
	expect_slot(&w, "2026-11-29T04:00:00Z", "Running");
	report(&w, 0);
	expect_slot(&w, "2026-11-29T04:00:00Z", "Complete");
	assert_string_equal(condition(&w, "Ready", "reason"), "Suspended");
	assert_int_equal(w.opened, 1);
	world_end(&w);
}

static void forbid_waits_and_replace_replaces(void **state)
{
	struct world w = world("2026-11-29T01:00:30Z", "{\"schedule\":\"* * * * *\"}");

	(void)state;
	settle_at(&w, "2026-11-29T01:01:00Z");
	settle_at(&w, "2026-11-29T01:04:30Z");
	expect_slot(&w, "2026-11-29T01:01:00Z", "Running");
	assert_int_equal(w.writes, 1);
	/* As in CronJob: when it ends, the last of the times that were due meanwhile runs. */
	report(&w, 0);
	expect_slot(&w, "2026-11-29T01:04:00Z", "Running");
	assert_int_equal(w.missed, 2);
	set_spec(&w, "{\"schedule\":\"* * * * *\",\"concurrencyPolicy\":\"Replace\"}");
	settle(&w);
	expect_slot(&w, "2026-11-29T01:04:00Z", "Running");
	settle_at(&w, "2026-11-29T01:05:01Z");
	expect_slot(&w, "2026-11-29T01:05:00Z", "Running");
	/* Somebody asks for one: it replaces, too, and is not at once replaced by a time that was due before. */
	set_request(&w, "now");
	settle_at(&w, "2026-11-29T01:06:10Z");
	assert_string_equal(status_str(&w, "run.trigger"), "Request");
	settle_at(&w, "2026-11-29T01:06:50Z");
	assert_string_equal(status_str(&w, "run.trigger"), "Request");
	settle_at(&w, "2026-11-29T01:07:00Z");
	expect_slot(&w, "2026-11-29T01:07:00Z", "Running");
	assert_false(w.opened_twice);
	world_end(&w);
}

static void a_changed_schedule_begins_now(void **state)
{
	struct world w = world("2026-11-29T01:00:00Z", "{\"schedule\":\"0 2 * * *\"}");

	(void)state;
	settle_at(&w, "2026-11-29T02:00:00Z");
	report(&w, 0);
	/* 12:00 of today was not a time of the schedule then. */
	set_spec(&w, "{\"schedule\":\"0 12 * * *\"}");
	settle_at(&w, "2026-11-29T14:00:00Z");
	assert_int_equal(w.opened, 1);
	assert_string_equal(status_str(&w, "nextScheduleTime"), "2026-11-30T12:00:00Z");
	/* Something else is changed while a time is overdue: it is not lost. */
	set_spec(&w, "{\"schedule\":\"0 12 * * *\",\"top\":5}");
	settle_at(&w, "2026-11-30T12:00:30Z");
	expect_slot(&w, "2026-11-30T12:00:00Z", "Running");
	/* Changed in the midst of a run: it goes on. */
	set_spec(&w, "{\"schedule\":\"30 12 * * *\"}");
	settle(&w);
	expect_slot(&w, "2026-11-30T12:00:00Z", "Running");
	assert_string_equal(status_str(&w, "nextScheduleTime"), "2026-11-30T12:30:00Z");
	report(&w, 0);
	settle_at(&w, "2026-11-30T12:30:00Z");
	expect_slot(&w, "2026-11-30T12:30:00Z", "Running");
	world_end(&w);
}

static void one_shot_and_schedule_become_each_other(void **state)
{
	struct world w = world("2026-11-29T01:00:00Z", "{}");

	(void)state;
	settle(&w);
	expect_run(&w, "g-1", "Generation", "Running");
	report(&w, 0);
	/* Days later: what the schedule would have run since its creation is not made up for. */
	set_spec(&w, "{\"schedule\":\"0 * * * *\"}");
	settle_at(&w, "2026-12-03T10:30:00Z");
	expect_run(&w, "g-1", "Generation", "Complete");
	assert_string_equal(status_str(&w, "nextScheduleTime"), "2026-12-03T11:00:00Z");
	expect_healthy(&w);
	settle_at(&w, "2026-12-03T11:00:00Z");
	set_spec(&w, "{}");
	settle(&w);
	expect_run(&w, "g-3", "Generation", "Running");
	assert_string_equal(status_str(&w, "nextScheduleTime"), "");
	assert_string_equal(condition(&w, "Reconciling", "status"), "True");
	world_end(&w);
}

/* --- what can't be used ------------------------------------------------------------------------------------------------- */

static void a_schedule_that_cannot_be_is_stalled(void **state)
{
	static const struct {
		const char *spec, *zone_fault, *reason, *says;
	} rows[] = {
		{"{\"schedule\":\"0 0 30 2 *\"}", NULL, "InvalidSchedule", "never fires"},
		{"{\"schedule\":\"61 * * * *\"}", NULL, "InvalidSchedule",
		 "spec.schedule: minute: \"61\": accepted is 0-59"},
		{"{\"schedule\":\"30-10 * * * *\"}", NULL, "InvalidSchedule", "30-10"},
		{"{\"schedule\":\"0 2 * * *\",\"timeZone\":\"Mars/Base\"}", "is no zone",
		 "InvalidTimeZone", "spec.timeZone: \"Mars/Base\": is no zone"},
		{"{\"thresholds\":[{\"reason\":\"PageCacheHihg\",\"warning\":\"1%\"}]}", NULL,
		 "InvalidSpec", "PageCacheHihg"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct world w = world("2026-11-29T01:00:00Z", rows[i].spec);

		w.zone_fault = rows[i].zone_fault;
		settle(&w);
		assert_string_equal(condition(&w, "Stalled", "status"), "True");
		assert_string_equal(condition(&w, "Stalled", "reason"), rows[i].reason);
		assert_non_null(strstr(condition(&w, "Stalled", "message"), rows[i].says));
		assert_string_equal(condition(&w, "Ready", "status"), "False");
		assert_string_equal(condition(&w, "Complete", "status"), "False");
		/* Said once; nothing is run, not even on request. */
		set_request(&w, "now");
		settle_at(&w, "2026-11-30T01:00:00Z");
		assert_int_equal(w.writes, 1);
		assert_int_equal(w.opened, 0);
		/* Corrected: as if it had always been right. */
		w.zone_fault = NULL;
		set_request(&w, "");
		set_spec(&w, "{\"schedule\":\"0 2 * * *\"}");
		settle(&w);
		expect_healthy(&w);
		assert_string_equal(condition(&w, "Complete", "reason"), "NotRunYet");
		assert_int_equal(w.opened, 0);
		settle_at(&w, "2026-11-30T02:00:00Z");
		expect_slot(&w, "2026-11-30T02:00:00Z", "Running");
		world_end(&w);
	}
}

static void a_spec_that_breaks_in_the_midst_of_a_run(void **state)
{
	struct world w = world("2026-11-29T01:00:00Z", "{\"schedule\":\"0 * * * *\"}");

	(void)state;
	settle_at(&w, "2026-11-29T02:00:00Z");
	/* The schedule is wrong, the run is not. */
	set_spec(&w, "{\"schedule\":\"0 0 30 2 *\"}");
	settle(&w);
	expect_slot(&w, "2026-11-29T02:00:00Z", "Running");
	assert_string_equal(condition(&w, "Stalled", "status"), "True");
	report(&w, 0);
	expect_slot(&w, "2026-11-29T02:00:00Z", "Complete");
	assert_string_equal(condition(&w, "Stalled", "reason"), "InvalidSchedule");
	/* Nobody can tell what such a run is for: it is over. */
	set_spec(&w, "{}");
	settle(&w);
	expect_run(&w, "g-3", "Generation", "Running");
	set_spec(&w, "{\"thresholds\":[{\"reason\":\"Nonsense\",\"warning\":\"1%\"}]}");
	settle(&w);
	expect_run(&w, "g-3", "Generation", "Failed");
	set_spec(&w, "{}");
	settle(&w);
	expect_run(&w, "g-5", "Generation", "Running");
	world_end(&w);
}

/* A version that ran one-shots alone refused these; its status is still there after the upgrade. */
static void what_an_earlier_version_refused(void **state)
{
	static const char stalled[] = "{\"observedGeneration\":1,\"conditions\":[{\"type\":"
				      "\"Stalled\",\"status\":\"True\","
				      "\"reason\":\"%s\",\"message\":\"no\",\"lastTransitionTime\":"
				      "\"2026-11-01T00:00:00Z\"}]}";
	struct world w = world("2026-11-01T00:00:00Z", "{\"ttlSecondsAfterFinished\":5}");
	_cleanup_free_ char *ttl = xasprintf(stalled, "TTLNotSupported");
	_cleanup_free_ char *schedule = xasprintf(stalled, "ScheduleNotSupported");

	(void)state;
	cJSON_DeleteItemFromObjectCaseSensitive(w.object, "status");
	cJSON_AddItemToObject(w.object, "status", cJSON_Parse(ttl));
	settle_at(&w, "2026-11-29T10:30:00Z");
	expect_run(&w, "g-1", "Generation", "Running");
	world_end(&w);
	w = world("2026-11-01T00:00:00Z", "{\"schedule\":\"0 * * * *\"}");
	cJSON_DeleteItemFromObjectCaseSensitive(w.object, "status");
	cJSON_AddItemToObject(w.object, "status", cJSON_Parse(schedule));
	settle_at(&w, "2026-11-29T10:30:00Z");
	assert_string_equal(status_str(&w, "nextScheduleTime"), "2026-11-29T11:00:00Z");
	expect_healthy(&w);
	world_end(&w);
}

/* --- run now ------------------------------------------------------------------------------------------------------------ */

static void run_now_is_one_write(void **state)
{
	struct world w = world("2026-11-29T01:00:30Z", "{}");

	(void)state;
	settle(&w);
	report(&w, 0);
	expect_run(&w, "g-1", "Generation", "Complete");
	set_request(&w, "2026-11-29T10:00:00Z");
	w.writes = 0;
	settle(&w);
	/* `kubectl wait --for=condition=Complete` must not see the old one after this. */
	assert_int_equal(w.writes, 1);
	assert_string_equal(status_str(&w, "lastHandledRunRequest"), "2026-11-29T10:00:00Z");
	assert_string_equal(condition(&w, "Complete", "status"), "False");
	assert_string_equal(status_str(&w, "run.trigger"), "Request");
	assert_true(strncmp(status_str(&w, "run.id"), "r-", 2) == 0);
	expect_healthy(&w);
	report(&w, 0);
	assert_string_equal(condition(&w, "Complete", "status"), "True");
	settle_at(&w, "2026-11-30T01:00:30Z");
	assert_int_equal(w.opened, 2);
	/* Changed and asked for at once: one run. */
	set_spec(&w, "{\"top\":5}");
	set_request(&w, "again");
	settle(&w);
	expect_run(&w, "g-2", "Generation", "Running");
	report(&w, 0);
	assert_int_equal(w.opened, 3);
	assert_string_equal(status_str(&w, "lastHandledRunRequest"), "again");
	/* After a failed run: progress again. */
	set_request(&w, "third");
	w.n_nodes = 0;
	settle(&w);
	assert_string_equal(condition(&w, "Stalled", "reason"), "NoMatchingNodes");
	w.n_nodes = 2;
	set_request(&w, "fourth");
	settle(&w);
	assert_string_equal(condition(&w, "Reconciling", "status"), "True");
	assert_string_equal(condition(&w, "Stalled", "status"), "False");
	assert_false(w.opened_twice);
	world_end(&w);
}

static void requests_while_running_wait(void **state)
{
	struct world w = world("2026-11-29T01:00:30Z", "{\"schedule\":\"0 * * * *\"}");

	(void)state;
	settle_at(&w, "2026-11-29T02:00:00Z");
	set_request(&w, "a");
	settle_at(&w, "2026-11-29T02:10:00Z");
	expect_slot(&w, "2026-11-29T02:00:00Z", "Running");
	report(&w, 0);
	assert_string_equal(status_str(&w, "run.trigger"), "Request");
	assert_string_equal(status_str(&w, "nextScheduleTime"), "2026-11-29T03:00:00Z");
	/* A time of the schedule that comes meanwhile is not lost either. */
	set_request(&w, "b");
	report(&w, 0);
	settle_at(&w, "2026-11-29T02:59:50Z");
	set_request(&w, "c");
	settle(&w);
	settle_at(&w, "2026-11-29T03:00:10Z");
	assert_string_equal(status_str(&w, "run.state"), "Running");
	assert_string_equal(status_str(&w, "run.trigger"), "Request");
	report(&w, 0);
	expect_slot(&w, "2026-11-29T03:00:00Z", "Running");
	assert_int_equal(w.missed, 0);
	world_end(&w);
}

static void odd_requests(void **state)
{
	struct world w = world("2026-11-29T01:00:30Z", "{}");
	char text[5000];

	(void)state;
	settle(&w);
	report(&w, 0);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	set_request(&w, text);
	settle(&w);
	report(&w, 0);
	settle(&w);
	assert_int_equal(w.opened, 2);
	assert_true(strncmp(status_str(&w, "lastHandledRunRequest"), "hash:", 5) == 0);
	set_request(&w, "\x01\xc3\xa4\n");
	settle(&w);
	report(&w, 0);
	settle(&w);
	assert_int_equal(w.opened, 3);
	world_end(&w);
}

/* --- ends --------------------------------------------------------------------------------------------------------------- */

static void finished_one_shots_are_deleted(void **state)
{
	struct world w = world("2026-11-29T01:00:00Z", "{\"ttlSecondsAfterFinished\":60}");

	(void)state;
	settle(&w);
	settle_at(&w, "2026-11-29T01:10:00Z");
	assert_int_equal(w.removed, 0);
	report(&w, 0);
	assert_int_equal(w.removed, 0);
	settle_at(&w, "2026-11-29T01:10:59Z");
	assert_int_equal(w.removed, 0);
	/* Asked to run again in the last moment: that goes first. */
	set_request(&w, "now");
	settle_at(&w, "2026-11-29T01:11:00Z");
	assert_int_equal(w.removed, 0);
	report(&w, 0);
	settle_at(&w, "2026-11-29T01:12:00Z");
	assert_int_equal(w.removed, 1);
	world_end(&w);
	w = world("2026-11-29T01:00:00Z", "{\"ttlSecondsAfterFinished\":0}");
	w.n_nodes = 0;
	settle(&w);
	assert_int_equal(w.removed, 1);
	world_end(&w);
}

static void findings_degrade_with_fail_on_alone(void **state)
{
	struct world w = world("2026-11-29T01:00:00Z",
			       "{\"schedule\":\"0 * * * *\",\"failOn\":\"Critical\"}");

	(void)state;
	settle_at(&w, "2026-11-29T02:00:00Z");
	report(&w, 1);
	assert_string_equal(condition(&w, "Stalled", "status"), "True");
	assert_string_equal(condition(&w, "Stalled", "reason"), "FindingsDetected");
	assert_string_equal(condition(&w, "Ready", "status"), "False");
	assert_string_equal(condition(&w, "Complete", "status"), "True");
	/* It stands until the next run knows better. */
	settle_at(&w, "2026-11-29T03:00:00Z");
	expect_slot(&w, "2026-11-29T03:00:00Z", "Running");
	assert_string_equal(condition(&w, "Stalled", "status"), "True");
	assert_string_equal(condition(&w, "FindingsDetected", "status"), "True");
	assert_string_equal(condition(&w, "Reconciling", "status"), "False");
	report(&w, 0);
	expect_healthy(&w);
	/* Findings, but nobody wants to fail on them. */
	set_spec(&w, "{\"schedule\":\"0 * * * *\"}");
	settle_at(&w, "2026-11-29T04:00:00Z");
	report(&w, 1);
	expect_healthy(&w);
	assert_string_equal(condition(&w, "FindingsDetected", "status"), "True");
	world_end(&w);
}

static void a_failed_scheduled_run_leaves_the_schedule_ready(void **state)
{
	struct world w = world("2026-11-29T01:00:00Z", "{\"schedule\":\"0 * * * *\"}");

	(void)state;
	settle_at(&w, "2026-11-29T02:00:00Z");
	settle_at(&w, "2026-11-29T02:15:00Z");
	expect_slot(&w, "2026-11-29T02:00:00Z", "Failed");
	assert_string_equal(condition(&w, "Complete", "reason"), "DeadlineExceeded");
	expect_healthy(&w);
	world_end(&w);
}

/* --- clocks ------------------------------------------------------------------------------------------------------------- */

/*
 * The clock is set an hour forth and back at random while a schedule runs every few minutes. No id is opened twice, and
 * every time that was due is either run or counted as missed.
 */
static void clocks_that_jump(void **state)
{
	uint64_t seed = 42;

	(void)state;
	for (int round = 0; round < 20; round++) {
		struct world w = world("2026-11-29T00:00:30Z", "{\"schedule\":\"*/7 * * * *\"}");
		time_t start = w.now, latest = w.now;
		unsigned int due;
		struct cron cron;

		for (int i = 0; i < 2000; i++) {
			seed = seed * UINT64_C(6364136223846793005) + 1;
			w.now += 20;
			/* Not before the first run: until then there is nothing to go by. */
			if (i < 30 || seed >> 40 & 0x3f)
				w.now += 0;
			else if (seed >> 39 & 1)
				w.now += 3600;
			else
				w.now -= 3600;
			latest = w.now > latest ? w.now : latest;
			settle(&w);
			if (strcmp(status_str(&w, "run.state"), "Running") == 0 && seed >> 50 & 1)
				report(&w, 0);
		}
		report(&w, 0);
		w.now = latest;
		settle(&w);
		assert_false(w.opened_twice);
		assert_int_equal(cron_parse("*/7 * * * *", &cron, NULL), 0);
		due = cron_count(&cron, NULL, start, latest, 100000);
		assert_int_equal(w.opened + w.missed, due);
		assert_true(w.opened > 10);
		world_end(&w);
	}
}

static void a_success_is_not_undone(void **state)
{
	struct world w = world("2026-11-29T01:00:00Z", "{}");

	(void)state;
	settle(&w);
	report(&w, 0);
	expect_run(&w, "g-1", "Generation", "Complete");
	assert_string_equal(status_str(&w, "lastSuccessfulTime"), "2026-11-29T01:00:00Z");
	w.now -= 3600;
	set_request(&w, "again");
	settle(&w);
	report(&w, 0);
	assert_string_equal(status_str(&w, "run.state"), "Complete");
	assert_string_equal(status_str(&w, "run.completionTime"), "2026-11-29T00:00:00Z");
	assert_string_equal(status_str(&w, "lastSuccessfulTime"), "2026-11-29T01:00:00Z");
	world_end(&w);
}

static void deadlines_do_not_jump(void **state)
{
	struct world w = world("2026-11-29T01:00:00Z", "{}");

	(void)state;
	settle(&w);
	/* An hour forth after ten seconds, as the clock that nobody sets tells. */
	w.run_now = w.now + 10;
	w.now += 3610;
	settle(&w);
	expect_run(&w, "g-1", "Generation", "Running");
	/* An hour back after the deadline. */
	w.run_now = at("2026-11-29T01:15:00Z");
	w.now = w.run_now - 3600;
	settle(&w);
	expect_run(&w, "g-1", "Generation", "Failed");
	assert_string_equal(status_str(&w, "run.duration"), "15m0s");
	world_end(&w);
}

static void a_clock_that_was_years_ahead(void **state)
{
	struct world w = world("2026-11-29T01:00:00Z", "{\"schedule\":\"0 * * * *\"}");

	(void)state;
	settle_at(&w, "2036-01-01T00:30:00Z");
	report(&w, 0);
	assert_int_equal(w.opened, 1);
	settle_at(&w, "2026-11-29T01:10:00Z");
	assert_string_equal(status_str(&w, "nextScheduleTime"), "2026-11-29T02:00:00Z");
	settle_at(&w, "2026-11-29T02:00:00Z");
	expect_slot(&w, "2026-11-29T02:00:00Z", "Running");
	world_end(&w);
}

/* --- sizes -------------------------------------------------------------------------------------------------------------- */

static void the_status_stays_small(void **state)
{
	struct world w = world("2026-11-29T01:00:00Z", "{}");
	_cleanup_tree_ cJSON *findings = cJSON_CreateArray();
	_cleanup_free_ char *text = NULL;
	struct report_summary reports[1];
	const struct report_summary *list[1] = {&reports[0]};
	char names[200][254];
	const char *nodes[200], *json;
	char message[513];
	struct status_output out;
	struct status_input in;

	(void)state;
	settle(&w);
	memset(message, 'm', 512);
	message[512] = '\0';
	for (int i = 0; i < 20; i++) {
		cJSON *item = tree_push_object(findings);

		tree_add_str(item, "id", message);
		tree_add_str(item, "message", message);
		tree_add_str(item, "hint", message);
	}
	for (int i = 0; i < 200; i++) {
		memset(names[i], 'n', 253);
		(void)snprintf(names[i] + 240, 14, "%013d", i);
		nodes[i] = names[i];
	}
	reports[0] = (struct report_summary){.name = "x",
					     .diagnosis = "x",
					     .node = nodes[0],
					     .run_id = "g-1",
					     .owner_uid = "u1",
					     .verdict = "OK"};
	in = (struct status_input){.diagnosis = w.object,
				   .nodes = nodes,
				   .n_nodes = 200,
				   .reports = list,
				   .n_reports = 1,
				   .top_findings = findings,
				   .now = w.now + 100000};
	status_compute(&in, &out);
	json = text = tree_print_json(out.status, false);
	assert_true(strlen(json) <= 16 << 10);
	assert_true(cJSON_GetArraySize(tree_get(out.status, "topFindings")) > 2);
	assert_int_equal(cJSON_GetArraySize(tree_get(out.status, "missingNodes")), 20);
	assert_int_equal(tree_int_or(out.status, "summary.missing", 0), 199);
	cJSON_Delete(out.status);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_schedule_runs_at_its_times),
		cmocka_unit_test(after_downtime_the_last_time_runs),
		cmocka_unit_test(a_starting_deadline_limits_what_is_late),
		cmocka_unit_test(suspended_schedules_miss_their_times),
		cmocka_unit_test(forbid_waits_and_replace_replaces),
		cmocka_unit_test(a_changed_schedule_begins_now),
		cmocka_unit_test(one_shot_and_schedule_become_each_other),
		cmocka_unit_test(a_schedule_that_cannot_be_is_stalled),
		cmocka_unit_test(a_spec_that_breaks_in_the_midst_of_a_run),
		cmocka_unit_test(what_an_earlier_version_refused),
		cmocka_unit_test(run_now_is_one_write),
		cmocka_unit_test(requests_while_running_wait),
		cmocka_unit_test(odd_requests),
		cmocka_unit_test(finished_one_shots_are_deleted),
		cmocka_unit_test(findings_degrade_with_fail_on_alone),
		cmocka_unit_test(a_failed_scheduled_run_leaves_the_schedule_ready),
		cmocka_unit_test(clocks_that_jump),
		cmocka_unit_test(a_success_is_not_undone),
		cmocka_unit_test(deadlines_do_not_jump),
		cmocka_unit_test(a_clock_that_was_years_ahead),
		cmocka_unit_test(the_status_stays_small),
	};

	tree_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
