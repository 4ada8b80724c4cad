/* SPDX-License-Identifier: Apache-2.0 */
#include "report/report.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/version.h"

void report_free(struct report *report)
{
	if (!report)
		return;
	for (size_t i = 0; i < report->n_results; i++)
		check_result_done(&report->results[i]);
	findings_done(&report->findings);
	free(report);
}

static size_t count(const struct report *report, enum severity severity)
{
	size_t n = 0;

	for (size_t i = 0; i < report->findings.n; i++)
		n += report->findings.items[i].severity == severity;
	return n;
}

const char *report_verdict(const struct report *report)
{
	bool worked = false;

	for (size_t i = 0; i < report->n_results; i++)
		worked |= report->results[i].state == CHECK_COMPLETE ||
			  report->results[i].state == CHECK_TRUNCATED;
	if (!worked)
		return "Error";
	if (report->findings.n == 0)
		return "OK";
	return severity_names[report->findings.items[0].severity];
}

static void add_summary(const struct report *report, cJSON *tree)
{
	cJSON *summary = tree_add_object(tree, "summary");
	size_t dropped = report->findings.n > REPORT_MAX_FINDINGS
				 ? report->findings.n - REPORT_MAX_FINDINGS
				 : 0;
	uint64_t reclaimable = 0, hints_dropped = 0;
	char text[NUM_TEXT_MAX];

	for (size_t i = 0; i < report->findings.n; i++) {
		reclaimable += report->findings.items[i].reclaimable_bytes;
		hints_dropped += i < REPORT_MAX_FINDINGS ? report->findings.items[i].hints_dropped
							 : 0;
	}
	tree_add_u64(summary, "critical", count(report, SEVERITY_CRITICAL));
	tree_add_u64(summary, "warning", count(report, SEVERITY_WARNING));
	tree_add_u64(summary, "info", count(report, SEVERITY_INFO));
	tree_add_u64(summary, "reclaimableBytes", reclaimable);
	tree_add_str(summary, "reclaimable", num_format_bytes(reclaimable, text));
	tree_add_u64(summary, "findingsDropped", dropped);
	tree_add_u64(summary, "rowsDropped", 0);
	tree_add_u64(summary, "hintsDropped", hints_dropped);
}

/* PageCache -> pageCache: the CRD's name of a check's result. */
static void result_name(enum check_type type, char out[64])
{
	(void)snprintf(out, 64, "%s", check_type_names[type]);
	out[0] = (char)tolower((unsigned char)out[0]);
}

static void add_check(const struct check_result *result, cJSON *list)
{
	cJSON *item = tree_push_object(list);
	bool tried = result->state == CHECK_COMPLETE || result->state == CHECK_TRUNCATED;
	char name[64];

	tree_add_str(item, "type", check_type_names[result->type]);
	tree_add_str(item, "state", check_state_names[result->state]);
	tree_add_str(item, "reason", result->reason);
	if (result->message[0])
		tree_add_text(item, "message", result->message, 512);
	if (tried) {
		tree_add_str(item, "method", result->method);
		tree_add_u64(item, "coveragePermille", result->coverage_permille);
		tree_add_u64(item, "durationMillis", result->duration_ms);
		tree_add_u64(item, "cpuMillis", result->cpu_ms);
		tree_add_u64(item, "bpfCalls", result->bpf_calls);
		tree_add_u64(item, "bpfMaxCallMicros", result->bpf_max_call_us);
	}
	if (result->result) {
		result_name(result->type, name);
		cJSON_AddItemToObject(item, name, cJSON_Duplicate(result->result, true));
	}
}

static void add_identity(const struct report *report, cJSON *tree)
{
	_cleanup_free_ char *name = xasprintf("%s.%s", report->diagnosis, report->node_name);
	cJSON *object;

	tree_add_str(tree, "apiVersion", SPEC_API_VERSION);
	tree_add_str(tree, "kind", REPORT_KIND);
	object = tree_add_object(tree, "metadata");
	tree_add_str(object, "name", name);
	tree_add_str(tree, "diagnosis", report->diagnosis);
	tree_add_str(tree, "nodeName", report->node_name);
	tree_add_str(tree, "verdict", report_verdict(report));
	add_summary(report, tree);
	object = tree_add_object(tree, "run");
	tree_add_str(object, "id", report->run_id[0] ? report->run_id : "local");
	tree_add_time(object, "startTime", report->start);
	tree_add_time(object, "completionTime", report->end);
	object = tree_add_object(tree, "agent");
	tree_add_str(object, "version", memdiag_version);
	tree_add_str(object, "kernel", report->kernel);
	tree_add_str(object, "cgroup", report->cgroup_mode);
	tree_add_str(object, "runtime", report->runtime);
}

cJSON *report_to_tree(const struct report *report)
{
	cJSON *tree = cJSON_CreateObject(), *list;

	add_identity(report, tree);
	list = tree_add_array(tree, "checks");
	for (size_t i = 0; i < report->n_results; i++)
		add_check(&report->results[i], list);
	list = tree_add_array(tree, "findings");
	for (size_t i = 0; i < report->findings.n && i < REPORT_MAX_FINDINGS; i++)
		finding_to_tree(&report->findings.items[i], report->node_name, list);
	tree_add_array(tree, "history");
	return tree;
}
