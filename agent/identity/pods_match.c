/* SPDX-License-Identifier: Apache-2.0 */
/* v1.LabelSelector, as Kubernetes reads it: every requirement must hold. */
#include <string.h>

#include "identity/pods.h"

static bool has_items(const cJSON *list)
{
	return list && list->child;
}

/* The label's value; NULL: the pod has no such label. */
static const char *label(const cJSON *labels, const char *key)
{
	return cJSON_GetStringValue(tree_member(labels, key));
}

static bool contains(const cJSON *list, const char *value)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, list) {
		const char *s = cJSON_GetStringValue(item);

		if (s && strcmp(s, value) == 0)
			return true;
	}
	return false;
}

static bool labels_match(const cJSON *wanted, const cJSON *labels)
{
	const cJSON *item;

	if (has_items(wanted) && !cJSON_IsObject(wanted))
		return false;
	cJSON_ArrayForEach (item, wanted) {
		const char *want = cJSON_GetStringValue(item);
		const char *have = label(labels, item->string);

		if (!want || !have || strcmp(want, have) != 0)
			return false;
	}
	return true;
}

/* Kubernetes refuses In and NotIn without values, and the others with. */
static bool expression_matches(const cJSON *expression, const cJSON *labels)
{
	const char *key = tree_str(expression, "key");
	const char *op = tree_str_or_empty(expression, "operator");
	const cJSON *values = tree_get(expression, "values");
	const char *have = key ? label(labels, key) : NULL;

	if (!key || !*key)
		return false;
	if (strcmp(op, "In") == 0)
		return has_items(values) && have && contains(values, have);
	if (strcmp(op, "NotIn") == 0)
		return has_items(values) && (!have || !contains(values, have));
	if (strcmp(op, "Exists") == 0)
		return !has_items(values) && have;
	if (strcmp(op, "DoesNotExist") == 0)
		return !has_items(values) && !have;
	return false;
}

static bool selector_matches(const cJSON *selector, const cJSON *labels)
{
	const cJSON *wanted = tree_get(selector, "matchLabels");
	const cJSON *expressions = tree_get(selector, "matchExpressions"), *expression;

	if (!has_items(wanted) && !has_items(expressions))
		return true;
	if (!labels || !labels_match(wanted, labels))
		return false;
	cJSON_ArrayForEach (expression, expressions) {
		if (!expression_matches(expression, labels))
			return false;
	}
	return true;
}

bool pod_matches(const struct pod_cgroup *item, const cJSON *namespaces, const cJSON *selector)
{
	if (has_items(namespaces) && (!item->ns || !contains(namespaces, item->ns)))
		return false;
	if (!selector || cJSON_IsNull(selector))
		return true;
	if (!cJSON_IsObject(selector))
		return false;
	return selector_matches(selector, item->labels);
}
