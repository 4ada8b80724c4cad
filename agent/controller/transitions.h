/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an observer is told when a status becomes another: pure. Only changes are told, and each has a key, so that it is the
 * same whoever tells it.
 */
#ifndef MEMDIAG_CONTROLLER_TRANSITIONS_H
#define MEMDIAG_CONTROLLER_TRANSITIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "base/tree.h"

enum { TRANSITIONS_MAX = 4 };

struct transition {
	bool warning;
	const char *
		reason; /* static: RunStarted, RunReplaced, RunCompleted, RunFailed, ScheduleMissed, or why it is Stalled */
	char note[512];
	char key[96];
};

/* old may be NULL. missed and missed_since are those of status_output. Returns how many of ret are set. */
size_t transitions_find(const cJSON *old, const cJSON *new, unsigned int missed,
			time_t missed_since, struct transition ret[TRANSITIONS_MAX]);

#endif
