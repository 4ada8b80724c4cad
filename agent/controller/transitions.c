/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/transitions.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "controller/conditions.h"
#include "controller/due.h"

struct list {
	struct transition *items;
	size_t n;
};

static struct transition *add(struct list *list, bool warning, const char *reason, const char *key)
{
	struct transition *t = &list->items[list->n++];

	*t = (struct transition){.warning = warning, .reason = reason};
	(void)snprintf(t->key, sizeof(t->key), "%s", key);
	return t;
}

static bool is_running(const cJSON *status)
{
	return strcmp(tree_str_or_empty(status, "run.state"), "Running") == 0;
}

static void tell_end(struct list *list, const cJSON *new)
{
	const char *id = tree_str_or_empty(new, "run.id");
	const cJSON *complete = condition_find(tree_get(new, "conditions"), "Complete");
	bool failed = strcmp(tree_str_or_empty(new, "run.state"), "Failed") == 0;
	struct transition *t = add(list, failed, failed ? "RunFailed" : "RunCompleted", id);

	if (failed)
		(void)snprintf(t->note, sizeof(t->note), "run %s failed: %.400s", id,
			       tree_str_or_empty(complete, "message"));
	else
		(void)snprintf(t->note, sizeof(t->note),
			       "run %s completed in %s: %.200s; %" PRId64 " critical and %" PRId64
			       " warning findings",
			       id, tree_str_or_empty(new, "run.duration"),
			       tree_str_or_empty(complete, "message"),
			       tree_int_or(new, "summary.critical", 0),
			       tree_int_or(new, "summary.warning", 0));
}

static void tell_run(struct list *list, const cJSON *old, const cJSON *new)
{
	const char *id = tree_str_or_empty(new, "run.id"),
		   *old_id = tree_str_or_empty(old, "run.id");
	bool other = strcmp(id, old_id) != 0;
	struct transition *t;

	if (other && is_running(old)) {
		t = add(list, false, "RunReplaced", old_id);
		(void)snprintf(t->note, sizeof(t->note), "run %s is replaced by %s", old_id, id);
	}
	if (other && is_running(new)) {
		t = add(list, false, "RunStarted", id);
		(void)snprintf(t->note, sizeof(t->note), "run %s on %" PRId64 " nodes", id,
			       tree_int_or(new, "summary.desired", 0));
	} else if (*id && !is_running(new) && (other || is_running(old))) {
		tell_end(list, new);
	}
}

/* The reasons the spec or its findings give; a run that failed is told as such. */
static const char *stalled_reason(const cJSON *status)
{
	static const char *const told[] = {"InvalidSpec", "InvalidSchedule", "InvalidTimeZone",
					   "FindingsDetected"};
	const cJSON *list = tree_get(status, "conditions");

	if (!condition_is(list, "Stalled", "True"))
		return NULL;
	for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
		if (strcmp(told[i], tree_str_or_empty(condition_find(list, "Stalled"), "reason")) ==
		    0)
			return told[i];
	}
	return NULL;
}

static void tell_stalled(struct list *list, const cJSON *old, const cJSON *new)
{
	const char *reason = stalled_reason(new), *before = stalled_reason(old);
	const cJSON *stalled = condition_find(tree_get(new, "conditions"), "Stalled");
	struct transition *t;
	char key[96];

	if (!reason || (before && strcmp(before, reason) == 0 &&
			tree_int_or(old, "observedGeneration", -1) ==
				tree_int_or(new, "observedGeneration", -1)))
		return;
	(void)snprintf(key, sizeof(key), "%" PRId64 "/%.60s",
		       tree_int_or(new, "observedGeneration", -1),
		       tree_str_or_empty(stalled, "lastTransitionTime"));
	t = add(list, true, reason, key);
	(void)snprintf(t->note, sizeof(t->note), "%.500s", tree_str_or_empty(stalled, "message"));
}

static void tell_missed(struct list *list, unsigned int missed, time_t since)
{
	char text[CLOCK_TEXT_MAX];
	struct transition *t;

	if (missed == 0)
		return;
	(void)clock_format_rfc3339(since, text);
	t = add(list, true, "ScheduleMissed", text);
	(void)snprintf(t->note, sizeof(t->note),
		       "%s%u scheduled runs were missed, the first at %s, and are not made up for",
		       missed == MISSED_MAX ? "at least " : "", missed, text);
}

size_t transitions_find(const cJSON *old, const cJSON *new, unsigned int missed,
			time_t missed_since, struct transition ret[TRANSITIONS_MAX])
{
	struct list list = {.items = ret};

	tell_missed(&list, missed, missed_since);
	tell_run(&list, old, new);
	tell_stalled(&list, old, new);
	return list.n;
}
