/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What kstatus, Argo CD, Flux and `kubectl wait` read:
 *
 *	                         Ready   Reconciling  Stalled  Complete
 *	one-shot, running        False   True         False    False
 *	  run again by request   as before            False    False
 *	one-shot, complete       True    False        False    True
 *	one-shot, failed         False   False        True     False
 *	scheduled                True    False        False    of the last run; False while one is running
 *	suspended                True    False        False    of the last run
 *	spec refused             False   False        True     False
 *	findings, with failOn    False   False        True     True
 *
 * A schedule that is accepted is Ready: neither its runs nor that one of them fails changes that.
 */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "controller/status_internal.h"

static const char in_progress[] = "RunInProgress", findings_detected[] = "FindingsDetected";

bool status_is_spec_fault(const char *reason)
{
	static const char *const reasons[] = {"InvalidSpec", "InvalidSchedule", "InvalidTimeZone",
					      /* of earlier versions, which ran one-shots alone */
					      "ScheduleNotSupported", "TTLNotSupported",
					      "PodTargetNotSupported"};

	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (strcmp(reasons[i], reason) == 0)
			return true;
	}
	return false;
}

static struct conditions conditions_of(const struct computation *c, cJSON *status)
{
	return (struct conditions){
		.list = tree_add_array(status, "conditions"),
		.old = tree_get(c->old, "conditions"),
		.generation = c->generation,
		.now = c->in->now,
	};
}

static void set_three(struct conditions *conditions, bool ready, bool reconciling, bool stalled,
		      const char *reason, const char *message)
{
	condition_set(conditions, "Ready", ready, reason, message);
	condition_set(conditions, "Reconciling", reconciling, reason, message);
	condition_set(conditions, "Stalled", stalled, reason, message);
}

static char *found_text(int64_t critical, int64_t warning)
{
	return xasprintf("%" PRId64 " critical and %" PRId64 " warning findings", critical,
			 warning);
}

static bool fails(const struct computation *c, int64_t critical, int64_t warning)
{
	if (c->spec->fail_on == SEVERITY_CRITICAL)
		return critical > 0;
	return c->spec->fail_on == SEVERITY_WARNING && critical + warning > 0;
}

/* Ready, Reconciling and Stalled where no run decides: of a schedule, or suspended. Counts are those of the last run. */
static void set_standing(const struct computation *c, struct conditions *conditions,
			 int64_t critical, int64_t warning)
{
	_cleanup_free_ char *found = found_text(critical, warning), *accepted = NULL;

	if (c->fault_reason) {
		set_three(conditions, false, false, true, c->fault_reason, c->fault.msg);
	} else if (c->spec->suspend) {
		set_three(conditions, true, false, false, "Suspended",
			  "spec.suspend is true: no run is started");
	} else if (fails(c, critical, warning)) {
		set_three(conditions, false, false, true, findings_detected, found);
	} else {
		accepted = xasprintf("the schedule %s (%s) is accepted", c->spec->schedule,
				     c->spec->time_zone ? c->spec->time_zone : "UTC");
		set_three(conditions, true, false, false, "Scheduled", accepted);
	}
}

/* The same while a run is going on: what findings of the last run said stands until this one's are known. */
static void set_standing_meanwhile(const struct computation *c, struct conditions *conditions)
{
	const cJSON *stalled = condition_find(conditions->old, "Stalled");

	if (!c->fault_reason && !c->spec->suspend && c->spec->fail_on != SEVERITY_NONE &&
	    strcmp(tree_str_or_empty(stalled, "reason"), findings_detected) == 0) {
		(void)condition_keep(conditions, "Ready");
		(void)condition_keep(conditions, "Reconciling");
		(void)condition_keep(conditions, "Stalled");
	} else {
		set_standing(c, conditions, 0, 0);
	}
}

void conditions_while_running(const struct computation *c, cJSON *status)
{
	struct conditions conditions = conditions_of(c, status);
	_cleanup_free_ char *message = xasprintf("run %s: %zu of %zu nodes have reported",
						 c->run_id, c->totals.reported, c->totals.desired);

	if (c->spec->schedule) {
		set_standing_meanwhile(c, &conditions);
	} else if (c->trigger != TRIGGER_GENERATION &&
		   condition_is(conditions.old, "Ready", "True")) {
		set_three(&conditions, true, false, false, in_progress, message);
	} else {
		condition_set(&conditions, "Ready", false, in_progress, message);
		condition_set(&conditions, "Reconciling", true, in_progress, message);
		condition_set(&conditions, "Stalled", false, in_progress, "the run is going on");
	}
	condition_set(&conditions, "Complete", false, in_progress, message);
	(void)condition_keep(&conditions, "FindingsDetected");
}

void conditions_at_end(const struct computation *c, const struct ending *ending, cJSON *status)
{
	struct conditions conditions = conditions_of(c, status);
	int64_t critical = c->totals.critical, warning = c->totals.warning;
	_cleanup_free_ char *found = found_text(critical, warning);
	bool any = critical + warning > 0;

	if (c->spec->schedule) {
		set_standing(c, &conditions, critical, warning);
	} else if (ending->complete && fails(c, critical, warning)) {
		set_three(&conditions, false, false, true, findings_detected, found);
	} else {
		condition_set(&conditions, "Ready", ending->complete, ending->reason,
			      ending->message);
		condition_set(&conditions, "Reconciling", false, ending->reason, "the run is over");
		condition_set(&conditions, "Stalled", !ending->complete, ending->reason,
			      ending->message);
	}
	condition_set(&conditions, "Complete", ending->complete, ending->reason, ending->message);
	condition_set(&conditions, "FindingsDetected", any, any ? findings_detected : "NoFindings",
		      found);
}

void conditions_at_rest(const struct computation *c, cJSON *status)
{
	struct conditions conditions = conditions_of(c, status);
	const cJSON *old = condition_find(conditions.old, "Complete");
	bool ended = strcmp(tree_str_or_empty(c->old, "run.state"), "Complete") == 0;

	set_standing(c, &conditions, ended ? tree_int_or(c->old, "summary.critical", 0) : 0,
		     ended ? tree_int_or(c->old, "summary.warning", 0) : 0);
	/* What refused the spec is over; what a run said stands. */
	if (!tree_str(c->old, "run.id") || status_is_spec_fault(tree_str_or_empty(old, "reason")) ||
	    !condition_keep(&conditions, "Complete"))
		condition_set(&conditions, "Complete", false,
			      c->fault_reason ? c->fault_reason : "NotRunYet",
			      c->fault_reason ? c->fault.msg : "no run has ended yet");
	(void)condition_keep(&conditions, "FindingsDetected");
}

void conditions_refused(const struct computation *c, const char *reason, const char *message,
			cJSON *status)
{
	struct conditions conditions = conditions_of(c, status);

	condition_set(&conditions, "Ready", false, reason, message);
	condition_set(&conditions, "Reconciling", false, reason,
		      "nothing can be done until the spec changes");
	condition_set(&conditions, "Stalled", true, reason, message);
	condition_set(&conditions, "Complete", false, reason, message);
	(void)condition_keep(&conditions, "FindingsDetected");
}
