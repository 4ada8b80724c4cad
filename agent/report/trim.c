/* SPDX-License-Identifier: Apache-2.0 */
/* What a stored report leaves out to stay small, and what it remembers of earlier runs. */
#include <string.h>

#include "base/mem.h"
#include "report/report.h"

enum { FINDINGS_KEPT = 20 }; /* before rows are given up for more findings */

static bool fits(const cJSON *tree, size_t max_bytes)
{
	_cleanup_free_ char *json = tree_print_json(tree, false);

	return strlen(json) <= max_bytes;
}

static void count_dropped(cJSON *tree, const char *name, uint64_t n)
{
	cJSON *summary = cJSON_GetObjectItemCaseSensitive(tree, "summary");
	cJSON *item = cJSON_GetObjectItemCaseSensitive(summary, name);

	if (item)
		cJSON_SetNumberValue(item, item->valuedouble + (double)n);
}

static void drop_hints(cJSON *tree)
{
	cJSON *finding;
	int n = 0;

	cJSON_ArrayForEach (finding, cJSON_GetObjectItemCaseSensitive(tree, "findings")) {
		if (strcmp(tree_str_or_empty(finding, "severity"), "Critical") == 0)
			continue;
		n += cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(finding, "hints"));
		cJSON_DeleteItemFromObjectCaseSensitive(finding, "hints");
	}
	count_dropped(tree, "hintsDropped", (uint64_t)n);
}

/* Cuts the list to n items and returns how many went. */
static uint64_t cut(cJSON *list, int n)
{
	uint64_t dropped = 0;

	while (cJSON_GetArraySize(list) > n) {
		cJSON_DeleteItemFromArray(list, cJSON_GetArraySize(list) - 1);
		dropped++;
	}
	return dropped;
}

/* The longest list of objects anywhere in the checks' results. */
static cJSON *longest_list(cJSON *tree)
{
	cJSON *best = NULL, *check, *result, *list;

	cJSON_ArrayForEach (check, cJSON_GetObjectItemCaseSensitive(tree, "checks")) {
		cJSON_ArrayForEach (result, check) {
			cJSON_ArrayForEach (list, result) {
				/* slabCache.dentries has its own, whose rows hold paths. */
				cJSON *rows = cJSON_IsArray(list)
						      ? list
						      : cJSON_GetObjectItemCaseSensitive(
								list, "directories");

				if (cJSON_IsArray(rows) &&
				    (!best || cJSON_GetArraySize(rows) > cJSON_GetArraySize(best)))
					best = rows;
			}
		}
	}
	return best;
}

void report_trim(cJSON *tree, size_t max_bytes)
{
	cJSON *findings = cJSON_GetObjectItemCaseSensitive(tree, "findings");

	if (fits(tree, max_bytes))
		return;
	drop_hints(tree);
	if (fits(tree, max_bytes))
		return;
	count_dropped(tree, "findingsDropped", cut(findings, FINDINGS_KEPT));
	while (!fits(tree, max_bytes)) {
		cJSON *list = longest_list(tree);
		int n = cJSON_GetArraySize(list);

		if (n <= 1)
			break;
		/* A quarter at a time: a few rounds at most, and the largest rows stay. */
		count_dropped(tree, "rowsDropped", cut(list, n - (n + 3) / 4));
	}
	while (!fits(tree, max_bytes) && cJSON_GetArraySize(findings) > 0)
		count_dropped(tree, "findingsDropped",
			      cut(findings, cJSON_GetArraySize(findings) / 2));
}

void report_add_history(cJSON *tree, const cJSON *previous, uint64_t limit)
{
	cJSON *history = cJSON_CreateArray();
	const cJSON *old;

	if (previous && limit > 0) {
		cJSON *item = tree_push_object(history);

		tree_add_str(item, "runID", tree_str(previous, "run.id"));
		tree_add_str(item, "time", tree_str(previous, "run.completionTime"));
		tree_add_str(item, "verdict", tree_str(previous, "verdict"));
		tree_add_int(item, "critical", tree_int_or(previous, "summary.critical", 0));
		tree_add_int(item, "warning", tree_int_or(previous, "summary.warning", 0));
		cJSON_ArrayForEach (old, tree_get(previous, "history")) {
			if ((uint64_t)cJSON_GetArraySize(history) < limit)
				cJSON_AddItemToArray(history, cJSON_Duplicate(old, true));
		}
	}
	cJSON_DeleteItemFromObjectCaseSensitive(tree, "history");
	cJSON_AddItemToObject(tree, "history", history);
}
