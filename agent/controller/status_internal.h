/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of the computation of a status: status.c (what to do), status_run.c (the run), status_conditions.c. */
#ifndef MEMDIAG_CONTROLLER_STATUS_INTERNAL_H
#define MEMDIAG_CONTROLLER_STATUS_INTERNAL_H

#include "controller/conditions.h"
#include "controller/due.h"
#include "controller/status.h"

/* Totals over the reports of one run. */
struct totals {
	size_t desired, reported, failed, ignored;
	int64_t critical, warning, reclaimable_bytes;
	bool *covered; /* of in->nodes: has reported */
};

/* Everything a status is made from, gathered once. */
struct computation {
	const struct status_input *in;
	const struct spec *spec;
	const cJSON *old; /* the status as it is */
	int64_t generation;
	struct cron cron; /* with spec->schedule */
	/* Why the schedule can't be used, though everything else can; NULL: it can. */
	const char *fault_reason;
	struct err fault;
	struct due due;
	/* The run the status is about: the one that is active or the one to be opened. */
	char run_id[64];
	enum run_trigger trigger;
	time_t run_start;
	struct totals totals;
};

/* How a run that is over ended. */
struct ending {
	bool complete;
	const char *reason;
	char *message; /* owned */
};

/* --- status_run.c --- */

/* Counts the reports of c->run_id; c->totals.covered is to be freed. */
void totals_sum_up(struct computation *c);
time_t run_time(const cJSON *run, const char *name, time_t otherwise);
/* The run as it is now, opened at now unless the status has it already. ending: closed. */
void run_add(const struct computation *c, const struct ending *ending, cJSON *status);
void run_add_results(const struct computation *c, bool closed, cJSON *status);
struct ending run_ending(const struct computation *c);

/* --- status_conditions.c: each adds all conditions --- */

void conditions_while_running(const struct computation *c, cJSON *status);
void conditions_at_end(const struct computation *c, const struct ending *ending, cJSON *status);
/* Nothing is running and nothing is due: scheduled or suspended. */
void conditions_at_rest(const struct computation *c, cJSON *status);
void conditions_refused(const struct computation *c, const char *reason, const char *message,
			cJSON *status);

/* Whether the reason of the condition Stalled is one that conditions_refused() was given: the spec's, not a run's. */
bool status_is_spec_fault(const char *reason);

#endif
