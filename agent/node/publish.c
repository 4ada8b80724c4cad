/* SPDX-License-Identifier: Apache-2.0 */
#include "node/publish.h"

#include "base/mem.h"
#include "report/report.h"

/* The numbers the controller sums up, so that it can watch metadata alone. */
static char *summary_text(const cJSON *report)
{
	_cleanup_tree_ cJSON *summary = cJSON_CreateObject();

	tree_add_str(summary, "verdict", tree_str(report, "verdict"));
	tree_add_str(summary, "nodeName", tree_str(report, "nodeName"));
	tree_add_int(summary, "critical", tree_int_or(report, "summary.critical", 0));
	tree_add_int(summary, "warning", tree_int_or(report, "summary.warning", 0));
	tree_add_int(summary, "reclaimableBytes",
		     tree_int_or(report, "summary.reclaimableBytes", 0));
	return tree_print_json(summary, false);
}

void publish_prepare(cJSON *report, const char *diagnosis, const char *diagnosis_uid,
		     const cJSON *previous, uint64_t history_limit)
{
	_cleanup_free_ char *summary = summary_text(report);
	cJSON *metadata = cJSON_GetObjectItemCaseSensitive(report, "metadata"), *object;

	object = tree_add_object(metadata, "labels");
	tree_add_str(object, REPORT_LABEL_DIAGNOSIS, diagnosis);
	tree_add_str(object, REPORT_LABEL_RUN, tree_str(report, "run.id"));
	object = tree_add_object(metadata, "annotations");
	tree_add_str(object, REPORT_ANNOTATION_SUMMARY, summary);
	object = tree_push_object(tree_add_array(metadata, "ownerReferences"));
	tree_add_str(object, "apiVersion", SPEC_API_VERSION);
	tree_add_str(object, "kind", SPEC_KIND);
	tree_add_str(object, "name", diagnosis);
	tree_add_str(object, "uid", diagnosis_uid);
	tree_add_bool(object, "controller", false);
	tree_add_bool(object, "blockOwnerDeletion", false);
	report_add_history(report, previous, history_limit);
	report_trim(report, REPORT_MAX_BYTES);
}
