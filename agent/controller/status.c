/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "controller/status_internal.h"

enum {
	STATUS_MAX_BYTES = 16 << 10,
	LOOK_SECONDS = 3600, /* looked at so often even when nothing is expected */
};

static void copy_members(const cJSON *from, cJSON *to, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const cJSON *item = tree_member(from, names[i]);

		if (item)
			cJSON_AddItemToObject(to, names[i], cJSON_Duplicate(item, true));
	}
}

static const char *const results[] = {"run", "summary", "topFindings", "missingNodes"};
static const char *const memory[] = {"lastSuccessfulTime", "lastScheduleTime",
				     "lastHandledRunRequest"};

static cJSON *new_status(const struct computation *c)
{
	cJSON *status = cJSON_CreateObject();

	tree_add_int(status, "observedGeneration", c->generation);
	return status;
}

static void add_next(time_t next, cJSON *status)
{
	if (next)
		tree_add_time(status, "nextScheduleTime", next);
}

/* Findings go first, least severe first, then names of missing nodes. summary counts all of both. */
static void keep_small(cJSON *status)
{
	static const char *const lists[] = {"topFindings", "missingNodes"};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		cJSON *list = cJSON_GetObjectItemCaseSensitive(status, lists[i]);

		for (int n = cJSON_GetArraySize(list); n > 0; n--) {
			_cleanup_free_ char *text = tree_print_json(status, false);

			if (strlen(text) <= STATUS_MAX_BYTES)
				return;
			cJSON_DeleteItemFromArray(list, n - 1);
		}
	}
}

/* What an active run is as the status has it. */
static bool find_active_run(struct computation *c)
{
	const cJSON *run = tree_get(c->old, "run");
	const char *trigger = tree_str_or_empty(run, "trigger");

	if (strcmp(tree_str_or_empty(run, "state"), "Running") != 0)
		return false;
	(void)snprintf(c->run_id, sizeof(c->run_id), "%s", tree_str_or_empty(run, "id"));
	c->trigger = TRIGGER_GENERATION;
	for (int i = TRIGGER_GENERATION; i <= TRIGGER_SCHEDULE; i++) {
		if (strcmp(run_trigger_names[i], trigger) == 0)
			c->trigger = (enum run_trigger)i;
	}
	c->run_start = run_time(run, "startTime", c->in->now);
	return true;
}

/* Never goes back, as CronJob's does not: a clock may. */
static void note_success(const struct computation *c, cJSON *status)
{
	time_t last;

	if (clock_parse_rfc3339(tree_str_or_empty(status, "lastSuccessfulTime"), &last) == 0 &&
	    last >= c->in->now)
		return;
	cJSON_DeleteItemFromObjectCaseSensitive(status, "lastSuccessfulTime");
	tree_add_time(status, "lastSuccessfulTime", c->in->now);
}

static cJSON *with_run(const struct computation *c, const struct ending *ending, time_t next)
{
	cJSON *status = new_status(c);

	run_add(c, ending, status);
	run_add_results(c, ending != NULL, status);
	copy_members(c->old, status, memory, ARRAY_SIZE(memory));
	if (ending && ending->complete)
		note_success(c, status);
	add_next(next, status);
	if (ending)
		conditions_at_end(c, ending, status);
	else
		conditions_while_running(c, status);
	keep_small(status);
	return status;
}

static cJSON *closed(const struct computation *c, time_t next)
{
	struct ending ending = run_ending(c);
	cJSON *status = with_run(c, &ending, next);

	free(ending.message);
	return status;
}

/* --- what there is to do -------------------------------------------------------------------------------------------- */

/* Whether the run that is due ends the one that is going on. */
static bool may_replace(const struct computation *c)
{
	switch (c->due.trigger) {
	case TRIGGER_GENERATION: /* what is going on is of a spec that is no more */
		return true;
	case TRIGGER_REQUEST:
		return c->spec->replace;
	case TRIGGER_SCHEDULE:
		return c->spec->replace && c->due.slot > c->run_start;
	case TRIGGER_NONE:
		break;
	}
	return false;
}

static void replace_member(cJSON *status, const char *name, cJSON *item)
{
	cJSON_DeleteItemFromObjectCaseSensitive(status, name);
	cJSON_AddItemToObject(status, name, item);
}

static void open_run(struct computation *c, struct status_output *out)
{
	const struct due *due = &c->due;
	time_t next = due->next;
	char text[CLOCK_TEXT_MAX];
	int64_t at;

	memcpy(c->run_id, due->run_id, sizeof(c->run_id));
	c->trigger = due->trigger;
	c->run_start = c->in->now;
	totals_sum_up(c);
	if (due->trigger == TRIGGER_SCHEDULE) {
		next = cron_next(&c->cron, c->in->zone, due->slot, &at) ? at : 0;
		out->missed = due->missed;
		out->missed_since = due->missed_since;
	}
	out->urgent = true;
	out->status = c->in->n_nodes > 0 ? with_run(c, NULL, next) : closed(c, next);
	if (due->trigger == TRIGGER_SCHEDULE)
		replace_member(out->status, "lastScheduleTime",
			       cJSON_CreateString(clock_format_rfc3339(due->slot, text)));
	if (due->request[0] && due->trigger != TRIGGER_SCHEDULE)
		replace_member(out->status, "lastHandledRunRequest",
			       cJSON_CreateString(due->request));
}

static bool counts_changed(const struct computation *c)
{
	const cJSON *summary = tree_get(c->old, "summary");

	return tree_int_or(summary, "reported", 0) != (int64_t)c->totals.reported ||
	       tree_int_or(summary, "desired", 0) != (int64_t)c->totals.desired ||
	       tree_int_or(summary, "ignored", 0) != (int64_t)c->totals.ignored;
}

/* A run that is going on: counts, or closes when every node has reported or time is up. */
static void progress(struct computation *c, struct status_output *out)
{
	const cJSON *run = tree_get(c->old, "run");
	time_t now = c->in->run_now ? c->in->run_now : c->in->now;
	time_t deadline = run_time(run, "deadline", now);
	bool accepted = tree_int_or(c->old, "observedGeneration", -1) == c->generation;
	const struct report_summary *unused[STATUS_MAX_TOP_FINDINGS];

	totals_sum_up(c);
	if (c->totals.reported < c->totals.desired && now < deadline) {
		out->again_seconds = (uint64_t)(deadline - now);
		out->urgent = !accepted;
		if (!accepted || counts_changed(c))
			out->status = with_run(c, NULL, c->due.next);
		return;
	}
	out->urgent = true;
	if (!c->in->top_findings && status_reports_to_read(c->in, unused) > 0)
		out->needs_findings = true;
	else
		out->status = closed(c, c->due.next);
}

/* Nothing runs and nothing is due. The status becomes what it should be, whatever it was. */
static void rest(const struct computation *c, struct status_output *out)
{
	_cleanup_tree_ cJSON *status = NULL;
	char next[CLOCK_TEXT_MAX] = "";

	/* A one-shot at rest is as its run left it. */
	if (!c->spec->schedule && !c->spec->suspend)
		return;
	status = new_status(c);
	copy_members(c->old, status, results, ARRAY_SIZE(results));
	copy_members(c->old, status, memory, ARRAY_SIZE(memory));
	add_next(c->due.next, status);
	conditions_at_rest(c, status);
	if (cJSON_Compare(c->old, status, true))
		return;
	if (c->due.next)
		(void)clock_format_rfc3339(c->due.next, next);
	if (strcmp(tree_str_or_empty(c->old, "nextScheduleTime"), next) != 0) {
		out->missed = c->due.missed;
		out->missed_since = c->due.missed_since;
	}
	out->urgent = true;
	out->status = take_ptr(status);
}

/* --- the end of a one-shot ------------------------------------------------------------------------------------------- */

/* With nothing left to do: true when it is to be deleted now. */
static bool lifetime_is_over(const struct computation *c, struct status_output *out)
{
	const cJSON *run = tree_get(c->old, "run");
	const char *state = tree_str_or_empty(run, "state");
	time_t end = 0;

	if (!c->spec->ttl_set || c->spec->schedule ||
	    (strcmp(state, "Complete") != 0 && strcmp(state, "Failed") != 0) ||
	    clock_parse_rfc3339(tree_str_or_empty(run, "completionTime"), &end) < 0)
		return false;
	end += (time_t)c->spec->ttl_seconds;
	if (end > c->in->now)
		out->again_seconds = (uint64_t)(end - c->in->now);
	return end <= c->in->now;
}

/* --- the whole ------------------------------------------------------------------------------------------------------- */

/* The spec can't be acted on: says why, once per generation, and keeps what is known of earlier runs. */
static void refuse(const struct computation *c, const char *reason, const char *message,
		   struct status_output *out)
{
	cJSON *status, *run;

	if (tree_int_or(c->old, "observedGeneration", -1) == c->generation &&
	    strcmp(tree_str_or_empty(condition_find(tree_get(c->old, "conditions"), "Stalled"),
				     "reason"),
		   reason) == 0)
		return;
	status = new_status(c);
	copy_members(c->old, status, results, ARRAY_SIZE(results));
	copy_members(c->old, status, memory, ARRAY_SIZE(memory));
	run = cJSON_GetObjectItemCaseSensitive(status, "run");
	if (strcmp(tree_str_or_empty(run, "state"), "Running") == 0) {
		cJSON_ReplaceItemInObjectCaseSensitive(run, "state", cJSON_CreateString("Failed"));
		tree_add_time(run, "completionTime", c->in->now);
	}
	conditions_refused(c, reason, message, status);
	out->urgent = true;
	out->status = status;
}

/* A schedule that can't be used leaves the rest of the spec as it is: a run that is going on goes on. */
static void read_schedule(struct computation *c)
{
	struct err err = {0};

	if (cron_parse(c->spec->schedule, &c->cron, &err) < 0) {
		c->fault_reason = "InvalidSchedule";
		(void)err_say(&c->fault, EINVAL, "spec.schedule: %s", err.msg);
	} else if (c->in->zone_fault) {
		c->fault_reason = "InvalidTimeZone";
		(void)err_say(&c->fault, EINVAL, "spec.timeZone: \"%s\": %s",
			      c->spec->time_zone ? c->spec->time_zone : "UTC", c->in->zone_fault);
	}
}

static void find_due(struct computation *c)
{
	const struct due_input in = {.diagnosis = c->in->diagnosis,
				     .spec = c->spec,
				     .cron = c->spec->schedule ? &c->cron : NULL,
				     .zone = c->in->zone,
				     .now = c->in->now};

	if (!c->fault_reason)
		due_find(&in, &c->due);
}

static void look_again(const struct computation *c, struct status_output *out)
{
	time_t next = c->due.next;

	if (out->again_seconds > LOOK_SECONDS)
		out->again_seconds = LOOK_SECONDS;
	if (next > c->in->now && (uint64_t)(next - c->in->now) < out->again_seconds)
		out->again_seconds = (uint64_t)(next - c->in->now);
}

void status_compute(const struct status_input *in, struct status_output *out)
{
	_cleanup_faults_ struct faults faults = {0};
	_cleanup_spec_ struct spec *spec = NULL;
	struct computation c = {.in = in};
	bool active;

	memset(out, 0, sizeof(*out));
	out->again_seconds = LOOK_SECONDS;
	c.old = tree_get(in->diagnosis, "status");
	c.generation = tree_int_or(in->diagnosis, "metadata.generation", 0);
	if (spec_decode(in->diagnosis, SPEC_FROM_API, &spec, &faults) < 0) {
		refuse(&c, "InvalidSpec", faults.lines[0], out);
		return;
	}
	c.spec = spec;
	if (spec->schedule)
		read_schedule(&c);
	find_due(&c);
	active = find_active_run(&c);
	if (c.due.trigger != TRIGGER_NONE && (!active || may_replace(&c)))
		open_run(&c, out);
	else if (active)
		progress(&c, out);
	else if (lifetime_is_over(&c, out))
		out->remove = true;
	else
		rest(&c, out);
	look_again(&c, out);
	free(c.totals.covered);
}
