/* SPDX-License-Identifier: Apache-2.0 */
#include "node/pod_events.h"

#include <string.h>

#include "base/mem.h"

static bool is_critical(const cJSON *finding)
{
	return strcmp(tree_str_or_empty(finding, "severity"), "Critical") == 0;
}

static bool was_critical(const cJSON *previous, const cJSON *finding)
{
	const char *id = tree_str_or_empty(finding, "id");
	const char *uid = tree_str_or_empty(finding, "subject.podUID");
	const cJSON *old;

	cJSON_ArrayForEach (old, tree_get(previous, "findings")) {
		/* Pods of a StatefulSet come again under the same name: another pod is news. */
		if (is_critical(old) && strcmp(tree_str_or_empty(old, "id"), id) == 0 &&
		    strcmp(tree_str_or_empty(old, "subject.podUID"), uid) == 0)
			return true;
	}
	return false;
}

static void emit(struct kube_events *events, const cJSON *report, const cJSON *finding)
{
	const char *id = tree_str_or_empty(finding, "id");
	_cleanup_free_ char *key = xasprintf("%s/%s", id, tree_str_or_empty(report, "run.id"));
	_cleanup_free_ char *note = xasprintf("%s. See kubectl get memreport %s -o yaml",
					      tree_str_or_empty(finding, "message"),
					      tree_str_or_empty(report, "metadata.name"));
	const struct kube_event event = {.api_version = "v1",
					 .kind = "Pod",
					 .namespace = tree_str(finding, "subject.namespace"),
					 .name = tree_str(finding, "subject.pod"),
					 .uid = tree_str(finding, "subject.podUID"),
					 .warning = true,
					 .reason = tree_str_or_empty(finding, "reason"),
					 .action = "Diagnose",
					 .note = note,
					 .key = key};

	kube_events_emit(events, &event);
}

void pod_events_emit(struct kube_events *events, const cJSON *report, const cJSON *previous)
{
	const cJSON *finding;
	size_t n = 0;

	cJSON_ArrayForEach (finding, tree_get(report, "findings")) {
		if (n == POD_EVENTS_MAX)
			break;
		if (!is_critical(finding) || !tree_str(finding, "subject.namespace") ||
		    !tree_str(finding, "subject.pod") || !tree_str(finding, "subject.podUID") ||
		    was_critical(previous, finding))
			continue;
		emit(events, report, finding);
		n++;
	}
}
