/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/due.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "controller/status_internal.h"

/* A clock that was more than this ahead was wrong, not merely set: its traces in the status are not believed. */
enum { WRONG_CLOCK_SECONDS = 25 * 3600 };

const char *const run_trigger_names[] = {"", "Generation", "Request", "Schedule"};

/* --- asked for ------------------------------------------------------------------------------------------------------- */

/* The annotation if it has not been dealt with, else "". Text that does not fit the status is told by its hash. */
static void pending_request(const cJSON *diagnosis, char out[RUN_REQUEST_MAX + 1])
{
	const cJSON *annotations = tree_get(diagnosis, "metadata.annotations");
	const char *value = cJSON_GetStringValue(tree_member(annotations, RUN_REQUEST_ANNOTATION));
	size_t n = value ? strlen(value) : 0;
	bool plain = n <= RUN_REQUEST_MAX;

	out[0] = '\0';
	for (size_t i = 0; i < n && plain; i++)
		plain = value[i] >= ' ' && value[i] <= '~';
	if (n == 0)
		return;
	if (plain)
		memcpy(out, value, n + 1);
	else
		(void)snprintf(out, RUN_REQUEST_MAX + 1, "hash:%016" PRIx64, num_hash(value, n));
	if (strcmp(out, tree_str_or_empty(diagnosis, "status.lastHandledRunRequest")) == 0)
		out[0] = '\0';
}

static void take_request(struct due *due)
{
	due->trigger = TRIGGER_REQUEST;
	(void)snprintf(due->run_id, sizeof(due->run_id), "r-%016" PRIx64,
		       num_hash(due->request, strlen(due->request)));
}

/* --- one-shot -------------------------------------------------------------------------------------------------------- */

/*
 * Whether this generation has had its run, or needed none. One that an earlier version or an earlier state of the world
 * refused gets its run as soon as it is accepted.
 */
static bool generation_is_handled(const cJSON *diagnosis)
{
	int64_t generation = tree_int_or(diagnosis, "metadata.generation", 0);
	const cJSON *stalled = condition_find(tree_get(diagnosis, "status.conditions"), "Stalled");

	if (tree_int_or(diagnosis, "status.observedGeneration", -1) != generation)
		return false;
	if (!tree_str(diagnosis, "status.run.id"))
		return false;
	return strcmp(tree_str_or_empty(stalled, "status"), "True") != 0 ||
	       !status_is_spec_fault(tree_str_or_empty(stalled, "reason"));
}

static void one_shot(const struct due_input *in, struct due *due)
{
	if (!generation_is_handled(in->diagnosis)) {
		due->trigger = TRIGGER_GENERATION;
		(void)snprintf(due->run_id, sizeof(due->run_id), "g-%" PRId64,
			       tree_int_or(in->diagnosis, "metadata.generation", 0));
	} else if (due->request[0]) {
		take_request(due);
	}
}

/* --- scheduled ------------------------------------------------------------------------------------------------------- */

static bool time_at(const cJSON *tree, const char *path, time_t *ret)
{
	return clock_parse_rfc3339(tree_str_or_empty(tree, path), ret) == 0;
}

static bool is_slot(const struct due_input *in, time_t at)
{
	int64_t next;

	return cron_next(in->cron, in->zone, at - 1, &next) && next == at;
}

/* Times up to this one have been dealt with, whatever the starting deadline. */
static time_t dealt_with(const struct due_input *in)
{
	const cJSON *d = in->diagnosis;
	time_t next = 0, last = 0, created = 0, base = in->now;
	bool has_last = time_at(d, "status.lastScheduleTime", &last) &&
			last <= in->now + WRONG_CLOCK_SECONDS;

	if (time_at(d, "status.nextScheduleTime", &next)) {
		/* A next time that is none of this schedule's is of the one before it was changed. */
		if (is_slot(in, next) && (has_last || next <= in->now))
			base = next - 1;
	} else if (tree_int_or(d, "status.observedGeneration", -1) == -1) {
		if (time_at(d, "metadata.creationTimestamp", &created) && created < in->now)
			base = created;
	}
	return has_last && last > base ? last : base;
}

static time_t later(time_t a, time_t b)
{
	return a > b ? a : b;
}

static void scheduled(const struct due_input *in, struct due *due)
{
	time_t dealt = dealt_with(in), base = dealt;
	const char *run_id = tree_str_or_empty(in->diagnosis, "status.run.id");
	int64_t slot = 0, next = 0;

	if (in->spec->starting_deadline_set)
		base = later(base, in->now - (time_t)in->spec->starting_deadline_seconds);
	if (in->spec->suspend) {
		/* What is missed meanwhile counts from here when it goes on. */
		due->next = cron_next(in->cron, in->zone, dealt, &next) ? next : 0;
		return;
	}
	if (cron_last(in->cron, in->zone, base, in->now, &slot)) {
		(void)snprintf(due->run_id, sizeof(due->run_id), "s-%" PRId64, slot / 60);
		/* A run that is there already is not opened again, whatever the clock says. */
		if (strcmp(due->run_id, run_id) == 0) {
			slot = 0;
			base = dealt = later(base, in->now);
		}
	}
	due->next = cron_next(in->cron, in->zone, base, &next) ? next : 0;
	if (dealt < in->now)
		due->missed = cron_count(in->cron, in->zone, dealt,
					 slot ? slot - 1 : later(base, dealt), MISSED_MAX);
	if (due->missed > 0 && cron_next(in->cron, in->zone, dealt, &next))
		due->missed_since = next;
	if (due->request[0]) {
		take_request(due);
	} else if (slot) {
		due->trigger = TRIGGER_SCHEDULE;
		due->slot = slot;
	}
}

void due_find(const struct due_input *in, struct due *ret)
{
	memset(ret, 0, sizeof(*ret));
	pending_request(in->diagnosis, ret->request);
	if (in->cron)
		scheduled(in, ret);
	else if (!in->spec->suspend)
		one_shot(in, ret);
	if (ret->trigger == TRIGGER_NONE)
		ret->run_id[0] = '\0';
}
