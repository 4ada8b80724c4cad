/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All reports of the cluster as their metadata tells, by diagnosis and node: what one diagnosis needs is found without
 * looking at the others'. About 350 bytes a report.
 */
#ifndef MEMDIAG_CONTROLLER_REPORTS_H
#define MEMDIAG_CONTROLLER_REPORTS_H

#include "base/map.h"
#include "controller/status.h"

struct reports {
	struct map diagnoses; /* of struct reports_of */
	size_t n;
};

void reports_init(struct reports *reports);
void reports_done(struct reports *reports);

/* Becomes the owner of summary; frees the one of this name. */
void reports_set(struct reports *reports, struct report_summary *summary);
/* By the report's name, <diagnosis>.<node>. */
void reports_remove(struct reports *reports, const char *name);
/* How many there are of one diagnosis. */
size_t reports_count(const struct reports *reports, const char *diagnosis);
/* Those of one diagnosis in the order of nodes; list must have room for reports_count(). */
void reports_list(const struct reports *reports, const char *diagnosis,
		  const struct report_summary **list);
void reports_each(const struct reports *reports,
		  void (*fn)(void *arg, struct report_summary *summary), void *arg);

/* Around a list: what was not set in between is gone. */
void reports_mark(struct reports *reports);
void reports_sweep(struct reports *reports);

#endif
