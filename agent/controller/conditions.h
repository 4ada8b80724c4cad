/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metav1.Conditions, as kstatus, Argo CD and Flux read them.
 */
#ifndef MEMDIAG_CONTROLLER_CONDITIONS_H
#define MEMDIAG_CONTROLLER_CONDITIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/tree.h"

struct conditions {
	cJSON *list;	  /* being built; owned by the status it is part of */
	const cJSON *old; /* the list before, for lastTransitionTime; may be NULL */
	int64_t generation;
	time_t now;
};

/* reason is a CamelCase word, message a sentence for people. */
void condition_set(struct conditions *conditions, const char *type, bool status, const char *reason,
		   const char *message);
/* As it was before, but for this generation. False: there was none; nothing is added. */
bool condition_keep(struct conditions *conditions, const char *type);

/* In a list of conditions, which may be NULL. */
const cJSON *condition_find(const cJSON *list, const char *type);
bool condition_is(const cJSON *list, const char *type, const char *status);

#endif
