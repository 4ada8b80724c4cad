/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/conditions.h"

#include <string.h>

#include "base/clock.h"

static const cJSON *find(const cJSON *list, const char *type)
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
	const cJSON *old = find(conditions->old, type);
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
