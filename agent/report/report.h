/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A MemoryDiagnosisReport: results and findings of one run on one node, as crd/memorydiagnosisreports.yaml has it.
 */
#ifndef MEMDIAG_REPORT_REPORT_H
#define MEMDIAG_REPORT_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/tree.h"
#include "checks/check.h"
#include "spec/spec.h"

#define REPORT_KIND "MemoryDiagnosisReport"

enum {
	REPORT_MAX_BYTES = 64 << 10, /* of a report that is stored in the API server */
	REPORT_MAX_FINDINGS = 50,
};

/* Labels and annotations by which the controller reads a report without its body. */
#define REPORT_LABEL_DIAGNOSIS "memdiag.io/diagnosis"
#define REPORT_LABEL_RUN       "memdiag.io/run"
#define REPORT_ANNOTATION_SUMMARY \
	"memdiag.io/summary" /* JSON: verdict, nodeName and the summary's numbers */

struct report {
	char diagnosis[64];
	char node_name[254];
	char run_id[64]; /* "" for a run without a cluster */
	char kernel[128];
	const char *cgroup_mode;
	char runtime[128]; /* "containerd 2.1.9"; "": nobody was asked, or answered */
	time_t start, end;
	struct check_result results[CHECK_TYPES];
	size_t n_results;
	struct findings findings; /* sorted, of all checks */
};

void report_free(struct report *report);
DEFINE_CLEANUP(report, struct report *, report_free);

/* "OK", "Info", "Warning", "Critical": the most severe finding; "Error" when no check worked. */
const char *report_verdict(const struct report *report);
/* The whole report. The caller frees it with cJSON_Delete(). */
cJSON *report_to_tree(const struct report *report);

/*
 * Makes the tree small enough for max_bytes as JSON: hints of findings that are not Critical go first, then findings beyond
 * 20, then rows of lists, longest list first. summary.findingsDropped, rowsDropped and hintsDropped count what went.
 */
void report_trim(cJSON *tree, size_t max_bytes);

/* Puts the previous report's run at the head of tree's history and keeps `limit` entries. previous may be NULL. */
void report_add_history(cJSON *tree, const cJSON *previous, uint64_t limit);

#endif
