/* SPDX-License-Identifier: Apache-2.0 */
/* What the status takes from reports: their numbers from metadata, their worst findings from their bodies. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "controller/status.h"
#include "report/report.h"

enum {
	SUMMARY_TEXT_MAX = 1024, /* bytes of the annotation; agents write 150 */
	COUNT_MAX = 1000000,	 /* findings of one node; agents keep 50 */
};

/* Appends a copy of s to the strings behind the struct. */
static const char *pack(char **at, const char *s)
{
	size_t n = strlen(s) + 1;
	char *copy = memcpy(*at, s, n);

	*at += n;
	return copy;
}

static int64_t count_of(const cJSON *numbers, const char *name, int64_t max)
{
	int64_t n = tree_int_or(numbers, name, 0);

	return n < 0 ? 0 : n > max ? max : n;
}

struct report_summary *report_summary_new(const cJSON *object)
{
	const cJSON *metadata = tree_get(object, "metadata");
	const cJSON *owners = tree_get(metadata, "ownerReferences");
	const char *text = cJSON_GetStringValue(
		tree_member(tree_get(metadata, "annotations"), REPORT_ANNOTATION_SUMMARY));
	const char *run =
		cJSON_GetStringValue(tree_member(tree_get(metadata, "labels"), REPORT_LABEL_RUN));
	const char *name = tree_str_or_empty(metadata, "name"), *dot = strchr(name, '.');
	const char *uid = tree_str_or_empty(metadata, "uid");
	const char *version = tree_str_or_empty(metadata, "resourceVersion");
	const char *owner = tree_str_or_empty(cJSON_GetArrayItem(owners, 0), "uid");
	_cleanup_tree_ cJSON *numbers = NULL;
	const char *verdict;
	struct report_summary *summary;
	char *strings;

	if (!dot || !run || !text || strlen(text) > SUMMARY_TEXT_MAX ||
	    tree_parse_json(text, strlen(text), &numbers, NULL) < 0)
		return NULL;
	verdict = tree_str_or_empty(numbers, "verdict");
	summary = xcalloc(1, sizeof(*summary) + 2 * (strlen(name) + 1) + strlen(run) + 1 +
				     strlen(uid) + 1 + strlen(version) + 1 + strlen(owner) + 1 +
				     strlen(verdict) + 1);
	strings = (char *)(summary + 1);
	summary->name = pack(&strings, name);
	/* Whose it is, its name says: that an agent cannot choose, as it can an annotation. */
	summary->diagnosis = strings;
	summary->node = pack(&strings, name) + (dot - name) + 1;
	((char *)summary->diagnosis)[dot - name] = '\0';
	summary->run_id = pack(&strings, run);
	summary->uid = pack(&strings, uid);
	summary->version = pack(&strings, version);
	summary->owner_uid = pack(&strings, owner);
	summary->verdict = pack(&strings, verdict);
	summary->critical = count_of(numbers, "critical", COUNT_MAX);
	summary->warning = count_of(numbers, "warning", COUNT_MAX);
	summary->reclaimable_bytes = count_of(numbers, "reclaimableBytes", INT64_C(1) << 50);
	return summary;
}

void report_summary_free(void *summary)
{
	free(summary);
}

static int severity_rank(const cJSON *finding)
{
	const char *name = tree_str_or_empty(finding, "severity");

	for (int i = SEVERITY_CRITICAL; i > SEVERITY_NONE; i--) {
		if (strcmp(name, severity_names[i]) == 0)
			return i;
	}
	return SEVERITY_NONE;
}

/* Whether a is to stand before b: more severe, then more bytes (kept as "bytes" while the list is built). */
static bool stands_before(const cJSON *a, const cJSON *b)
{
	int ra = severity_rank(a), rb = severity_rank(b);

	if (ra != rb)
		return ra > rb;
	return tree_int_or(a, "bytes", 0) > tree_int_or(b, "bytes", 0);
}

/* What the CRD of the diagnosis has of a subject: one field more, from a newer agent, and the server refuses the whole status. */
static void add_subject(const cJSON *subject, cJSON *item)
{
	static const char *const fields[] = {"namespace", "pod",    "container", "controller",
					     "podUID",	  "cgroup", "node"};
	cJSON *copy;

	if (!cJSON_IsObject(subject))
		return;
	copy = tree_add_object(item, "subject");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		tree_add_str(copy, fields[i], tree_str(subject, fields[i]));
}

static cJSON *short_finding(const cJSON *finding, const cJSON *report)
{
	const cJSON *hint = cJSON_GetArrayItem(tree_get(finding, "hints"), 0);
	cJSON *item = cJSON_CreateObject();

	tree_add_str(item, "id", tree_str(finding, "id"));
	tree_add_str(item, "severity", tree_str(finding, "severity"));
	tree_add_str(item, "node", tree_str(report, "nodeName"));
	add_subject(tree_get(finding, "subject"), item);
	tree_add_text(item, "message", tree_str_or_empty(finding, "message"), 512);
	if (hint) {
		_cleanup_free_ char *text = xasprintf("%s: %s", tree_str_or_empty(hint, "summary"),
						      tree_str_or_empty(hint, "command"));

		tree_add_text(item, "hint", text, 512);
	}
	tree_add_str(item, "report", tree_str(report, "metadata.name"));
	tree_add_int(item, "bytes", tree_int_or(finding, "bytes", 0));
	return item;
}

/*
 * Puts item where it belongs. Not with cJSON_InsertItemInArray(): Debian 12's cJSON 1.7.15 refuses to insert in the middle
 * (its backport of the fix for CVE-2023-50472 checks the wrong pointer).
 */
static void insert_sorted(cJSON *list, cJSON *item)
{
	cJSON *rest = list->child;
	cJSON *behind[STATUS_MAX_TOP_FINDINGS + 1];
	size_t n = 0;

	while (rest && !stands_before(item, rest))
		rest = rest->next;
	while (rest && n < ARRAY_SIZE(behind)) {
		cJSON *next = rest->next;

		behind[n++] = cJSON_DetachItemViaPointer(list, rest);
		rest = next;
	}
	cJSON_AddItemToArray(list, item);
	for (size_t i = 0; i < n; i++)
		cJSON_AddItemToArray(list, behind[i]);
}

void status_merge_findings(cJSON *list, const cJSON *report)
{
	const cJSON *finding;

	cJSON_ArrayForEach (finding, tree_get(report, "findings")) {
		insert_sorted(list, short_finding(finding, report));
		if (cJSON_GetArraySize(list) > STATUS_MAX_TOP_FINDINGS)
			cJSON_DeleteItemFromArray(list, STATUS_MAX_TOP_FINDINGS);
	}
}

static bool is_worse(const struct report_summary *a, const struct report_summary *b)
{
	if (a->critical != b->critical)
		return a->critical > b->critical;
	if (a->warning != b->warning)
		return a->warning > b->warning;
	return a->reclaimable_bytes > b->reclaimable_bytes;
}

size_t status_reports_to_read(const struct status_input *in,
			      const struct report_summary *ret[STATUS_MAX_TOP_FINDINGS])
{
	const char *run_id = tree_str_or_empty(in->diagnosis, "status.run.id");
	const char *uid = tree_str_or_empty(in->diagnosis, "metadata.uid");
	size_t n = 0;

	for (size_t i = 0; i < in->n_reports; i++) {
		const struct report_summary *report = in->reports[i];
		size_t at = n;

		if (strcmp(report->run_id, run_id) != 0 || strcmp(report->owner_uid, uid) != 0 ||
		    report->critical + report->warning == 0)
			continue;
		while (at > 0 && is_worse(report, ret[at - 1]))
			at--;
		if (at == STATUS_MAX_TOP_FINDINGS)
			continue;
		n += n < STATUS_MAX_TOP_FINDINGS;
		memmove(&ret[at + 1], &ret[at], (n - at - 1) * sizeof(ret[0]));
		ret[at] = report;
	}
	return n;
}
