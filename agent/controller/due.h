/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which run of a diagnosis is due: pure. Ids are deterministic, so that whoever computes them comes to the same one:
 * g-<generation> for a one-shot, r-<hash of the annotation> for a run somebody asked for, s-<unix minute> for a time of the
 * schedule.
 *
 * What has been dealt with is in the status: observedGeneration, lastHandledRunRequest, and for the schedule nextScheduleTime,
 * the first time that is not. As in CronJob, of several times that were missed the last is run, if startingDeadlineSeconds
 * allows; times while suspended count as missed; a diagnosis made while no controller ran starts with its creation. Unlike
 * there, a schedule that is changed, or added, begins when that is seen: it does not run what it would have run before.
 */
#ifndef MEMDIAG_CONTROLLER_DUE_H
#define MEMDIAG_CONTROLLER_DUE_H

#include <stdint.h>
#include <time.h>

#include "base/tree.h"
#include "controller/cron.h"
#include "spec/spec.h"

#define RUN_REQUEST_ANNOTATION "memdiag.io/run-requested-at"

enum run_trigger { TRIGGER_NONE, TRIGGER_GENERATION, TRIGGER_REQUEST, TRIGGER_SCHEDULE };
extern const char *const run_trigger_names[]; /* as the CRD has them */

enum {
	RUN_REQUEST_MAX =
		128,	  /* bytes of an annotation that are told back; longer ones by their hash */
	MISSED_MAX = 100, /* missed times that are counted */
};

struct due_input {
	const cJSON *diagnosis;
	const struct spec *spec;
	const struct cron *cron; /* NULL: one-shot */
	const struct tz *zone;
	time_t now;
};

struct due {
	enum run_trigger trigger; /* TRIGGER_NONE: nothing is due */
	char run_id[64];
	time_t slot;			   /* the time of the schedule, with TRIGGER_SCHEDULE */
	char request[RUN_REQUEST_MAX + 1]; /* that the run would answer; "": none */
	time_t next;			   /* nextScheduleTime while nothing is opened; 0: none */
	unsigned int missed; /* times before slot, or all of them, that will not be run */
	time_t missed_since; /* the first of these */
};

void due_find(const struct due_input *in, struct due *ret);

#endif
