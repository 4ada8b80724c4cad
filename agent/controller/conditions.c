/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/conditions.h"

#include <string.h>

#include "base/clock.h"

const cJSON *condition_find(const cJSON *list, const char *type)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, list) {
		if (strcmp(tree_str_or_empty(item, "type"), type) == 0)
			return item;
	}
	return NULL;
}

void condition_set(struct conditions *conditions, const char *type, bool status, const char *reason,
		   const char *message)
{
	const cJSON *old = condition_find(conditions->old, type);
	const char *value = status ? "True" : "False";
	cJSON *item = tree_push_object(conditions->list);
	time_t since = conditions->now;

	/* The time moves only when the status does. */
	if (strcmp(tree_str_or_empty(old, "status"), value) == 0)
		(void)clock_parse_rfc3339(tree_str_or_empty(old, "lastTransitionTime"), &since);
	tree_add_str(item, "type", type);
	tree_add_str(item, "status", value);
	tree_add_int(item, "observedGeneration", conditions->generation);
	tree_add_time(item, "lastTransitionTime", since);
	tree_add_str(item, "reason", reason);
	tree_add_text(item, "message", message, 1024);
}

bool condition_is(const cJSON *list, const char *type, const char *status)
{
	return strcmp(tree_str_or_empty(condition_find(list, type), "status"), status) == 0;
}

bool condition_keep(struct conditions *conditions, const char *type)
{
	const cJSON *old = condition_find(conditions->old, type);
	const char *status = tree_str_or_empty(old, "status");

	if (strcmp(status, "True") != 0 && strcmp(status, "False") != 0)
		return false;
	condition_set(conditions, type, status[0] == 'T', tree_str_or_empty(old, "reason"),
		      tree_str_or_empty(old, "message"));
	return true;
}
