/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status of a MemoryDiagnosis as a pure function of what is known: no clock, no network.
 */
#ifndef MEMDIAG_CONTROLLER_STATUS_H
#define MEMDIAG_CONTROLLER_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/tree.h"
#include "controller/tz.h"

/* A report as its metadata tells: one allocation, since there is one per diagnosis and node. */
struct report_summary {
	const char *name; /* of the report: <diagnosis>.<node>, which the API server enforces */
	const char *diagnosis, *node, *run_id;
	const char *uid, *version; /* of the report; version is its resourceVersion */
	const char *owner_uid;	   /* of the diagnosis it was written for */
	const char *verdict;
	int64_t critical, warning, reclaimable_bytes; /* none below 0 */
	bool seen;				      /* in the list that is being read */
	uint64_t stale_ns; /* since when nobody wants it (monotonic); 0: somebody does */
};

/* NULL when the object is no report of ours, or says what cannot be. Freed with report_summary_free(). */
struct report_summary *report_summary_new(const cJSON *metadata_object);
void report_summary_free(void *summary);

struct status_input {
	const cJSON *diagnosis; /* the whole object as the API server has it */
	/* Names of the nodes that spec.target covers now, in strcmp() order. */
	const char *const *nodes;
	size_t n_nodes;
	/* Why there are none, when it is not that none matches; NULL: none matches. */
	const char *no_nodes_reason, *no_nodes_message;
	/* Reports of this diagnosis, any run. */
	const struct report_summary *const *reports;
	size_t n_reports;
	/* What the reports with findings say, most severe first; NULL: not read yet. */
	const cJSON *top_findings;
	size_t n_unread;	/* reports that have findings but could not be read */
	const struct tz *zone;	/* spec.timeZone; NULL: UTC */
	const char *zone_fault; /* why there is no such zone here; NULL: there is */
	time_t now;
	/*
	 * The same, had nobody set the clock since the run that is active was first seen: a run's deadline neither passes nor
	 * moves away because the clock is set. 0: as now.
	 */
	time_t run_now;
};

enum {
	STATUS_MAX_TOP_FINDINGS = 20,
	STATUS_MAX_MISSING = 20,
	STATUS_WRITE_SECONDS = 15, /* between writes that only count reports of a running run */
};

struct status_output {
	cJSON *status;	     /* complete new status to apply; NULL: leave it as it is */
	bool urgent;	     /* a transition: write at once */
	bool needs_findings; /* the run can be closed once top_findings are read; status is NULL then */
	bool remove; /* ttlSecondsAfterFinished has passed: delete it; status is NULL then */
	unsigned int
		missed; /* times of the schedule that the status passes over; up to 100 are counted */
	time_t missed_since;	/* the first of these */
	uint64_t again_seconds; /* look again by then even if nothing happens; 0: no need */
};

/* The caller frees out->status. */
void status_compute(const struct status_input *in, struct status_output *out);

/*
 * The reports to read for top_findings: of the active run, with findings, most severe first, at most
 * STATUS_MAX_TOP_FINDINGS. Returns how many of `ret` are set.
 */
size_t status_reports_to_read(const struct status_input *in,
			      const struct report_summary *ret[STATUS_MAX_TOP_FINDINGS]);

/* Adds the findings of one report to the list that becomes top_findings, most severe first, at most 20. */
void status_merge_findings(cJSON *list, const cJSON *report);

#endif
