/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a spec that are more than one value: target, checks, thresholds. */
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "spec/decoder.h"

static void decode_node_selector(struct decoder *d, const struct field *field, const cJSON *item,
				 const char *path)
{
	const cJSON *label;

	(void)field;
	if (!cJSON_IsObject(item) || cJSON_GetArraySize(item) > 16) {
		decode_fault(d, path, item, "must be a mapping of at most 16 labels to values");
		return;
	}
	cJSON_ArrayForEach (label, item) {
		if (!cJSON_IsString(label) || strlen(label->valuestring) > 63) {
			_cleanup_free_ char *name = xasprintf("%s.%s", path, label->string);

			decode_fault(d, name, label,
				     "must be a string of at most 63 bytes (quote numbers)");
			return;
		}
	}
	cJSON_Delete(d->spec->node_selector);
	d->spec->node_selector = cJSON_Duplicate(item, true);
}

static void decode_namespaces(struct decoder *d, const struct field *field, const cJSON *item,
			      const char *path)
{
	const cJSON *name;

	(void)field;
	if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) > 64) {
		decode_fault(d, path, item, "must be a list of at most 64 namespaces");
		return;
	}
	cJSON_ArrayForEach (name, item) {
		if (!cJSON_IsString(name) || !*name->valuestring ||
		    strlen(name->valuestring) > 63) {
			decode_fault(d, path, name, "must be names of 1 to 63 characters");
			return;
		}
	}
	/* An empty list is no restriction. */
	if (item->child && !d->spec->namespaces)
		d->spec->namespaces = cJSON_Duplicate(item, true);
}

static bool is_requirement(const cJSON *item)
{
	const char *op = tree_str_or_empty(item, "operator");
	bool takes_values = strcmp(op, "In") == 0 || strcmp(op, "NotIn") == 0;
	bool has_values = cJSON_GetArraySize(tree_member(item, "values")) > 0;

	if (!takes_values && strcmp(op, "Exists") != 0 && strcmp(op, "DoesNotExist") != 0)
		return false;
	return tree_str(item, "key") && takes_values == has_values;
}

static void decode_pod_selector(struct decoder *d, const struct field *field, const cJSON *item,
				const char *path)
{
	const cJSON *labels = tree_member(item, "matchLabels");
	const cJSON *list = tree_member(item, "matchExpressions"), *entry;
	bool good = cJSON_IsObject(item) && (!labels || cJSON_IsObject(labels)) &&
		    (!list || cJSON_IsArray(list));

	(void)field;
	cJSON_ArrayForEach (entry, labels)
		good &= cJSON_IsString(entry);
	cJSON_ArrayForEach (entry, list)
		good &= is_requirement(entry);
	cJSON_ArrayForEach (entry, item)
		good &= entry == labels || entry == list || d->mode == SPEC_FROM_API;
	if (!good) {
		decode_fault(d, path, item,
			     "must be a label selector: matchLabels (a mapping), matchExpressions "
			     "(key, operator In, NotIn, Exists or DoesNotExist, values)");
		return;
	}
	if (!d->spec->pod_selector && (cJSON_GetArraySize(labels) || cJSON_GetArraySize(list)))
		d->spec->pod_selector = cJSON_Duplicate(item, true);
}

static const struct field pod_fields[] = {
	{"namespace", decode_string, offsetof(struct spec, pod_namespace), 1, 63,
	 "must be a namespace of 1 to 63 characters"},
	{"name", decode_string, offsetof(struct spec, pod_name), 1, 253,
	 "must be a pod's name of 1 to 253 characters"},
};

static void decode_pod(struct decoder *d, const struct field *field, const cJSON *item,
		       const char *path)
{
	(void)field;
	decode_object(d, pod_fields, ARRAY_SIZE(pod_fields), item, path);
	if (cJSON_IsObject(item) && (!tree_member(item, "namespace") || !tree_member(item, "name")))
		decode_fault(d, path, item, "must have namespace and name");
}

static const struct field target_fields[] = {
	{"nodeName", decode_string, offsetof(struct spec, node_name), 1, 253,
	 "must be a node's name of 1 to 253 characters"},
	{"nodeSelector", decode_node_selector},
	{"namespaces", decode_namespaces},
	{"podSelector", decode_pod_selector},
	{"pod", decode_pod},
};

void decode_target(struct decoder *d, const struct field *field, const cJSON *item,
		   const char *path)
{
	(void)field;
	decode_object(d, target_fields, ARRAY_SIZE(target_fields), item, path);
	if (d->spec->node_name && d->spec->node_selector)
		faults_add(d->faults, "spec.target.nodeSelector", NULL,
			   "may not be set together with spec.target.nodeName; set only one");
	if (d->spec->pod_name && (d->spec->node_name || d->spec->node_selector ||
				  d->spec->namespaces || d->spec->pod_selector))
		faults_add(d->faults, "spec.target.pod", NULL,
			   "excludes nodeName, nodeSelector, namespaces and podSelector");
}

static void decode_check(struct decoder *d, const cJSON *item, const char *path)
{
	const cJSON *type = tree_member(item, "type"), *other;
	_cleanup_free_ char *type_path = xasprintf("%s.type", path);
	enum check_type t;

	if (!cJSON_IsString(type) || check_type_parse(type->valuestring, &t) < 0) {
		decode_fault(
			d, type_path, type,
			"must be MemoryBreakdown, PageCache, SharedMemory, SlabCache, CgroupLeak, "
			"KernelMemory, ReclaimLatency, CompactionLatency, RunQueueLatency or "
			"SchedulingStall");
		return;
	}
	if (d->spec->explicit_checks && d->spec->checks[t])
		decode_fault(d, type_path, type, "is listed twice");
	d->spec->explicit_checks = true;
	d->spec->checks[t] = true;
	cJSON_ArrayForEach (other, item) {
		_cleanup_free_ char *other_path = xasprintf("%s.%s", path, other->string);

		if (other != type && d->mode == SPEC_FROM_FILE)
			faults_add(d->faults, other_path, NULL,
				   "unknown field; a check has only type");
	}
}

void decode_checks(struct decoder *d, const struct field *field, const cJSON *item,
		   const char *path)
{
	const cJSON *check;
	size_t i = 0;

	(void)field;
	if (!cJSON_IsArray(item)) {
		decode_fault(d, path, item, "must be a list such as [{type: PageCache}]");
		return;
	}
	if (!item->child)
		return;
	memset(d->spec->checks, 0, sizeof(d->spec->checks));
	cJSON_ArrayForEach (check, item) {
		_cleanup_free_ char *check_path = xasprintf("%s[%zu]", path, i++);

		decode_check(d, check, check_path);
		if (i > CHECK_TYPES) {
			faults_add(d->faults, path, NULL, "must have at most 10 entries");
			return;
		}
	}
}

static void decode_limit(struct decoder *d, const struct reason *reason, const cJSON *item,
			 const char *path, struct threshold_value *out)
{
	struct threshold_value v = {0};
	const char *s = cJSON_GetStringValue(item);

	if (!item)
		return;
	if (!s || threshold_parse(s, &v) < 0)
		decode_fault(
			d, path, item,
			"must be a percentage (0% to 100%), a size (512Mi) or a duration (200ms)");
	else if ((reason->units & THRESHOLD_COUNT) && s[strspn(s, "0123456789")] == '\0')
		*out = (struct threshold_value){THRESHOLD_COUNT, v.value};
	else if (!(reason->units & v.unit))
		decode_fault(d, path, item,
			     reason->units & THRESHOLD_COUNT
				     ? "this reason takes a number (100)"
				     : "this reason takes a percentage (20%) or a size (512Mi)");
	else
		*out = v;
}

static void decode_threshold(struct decoder *d, const cJSON *item, const char *path)
{
	static const char *const known[] = {"reason", "warning", "critical"};
	_cleanup_free_ char *reason_path = xasprintf("%s.reason", path);
	_cleanup_free_ char *warning_path = xasprintf("%s.warning", path);
	_cleanup_free_ char *critical_path = xasprintf("%s.critical", path);
	const cJSON *name = tree_member(item, "reason"), *warning = tree_member(item, "warning"),
		    *critical = tree_member(item, "critical");
	struct spec_threshold *t = &d->spec->thresholds[d->spec->n_thresholds];

	t->reason = cJSON_IsString(name) ? reason_find(name->valuestring) : NULL;
	if (!t->reason) {
		_cleanup_free_ char *accepts = xasprintf("must be one of %s", reason_names());

		decode_fault(d, reason_path, name, accepts);
		return;
	}
	if (!warning && !critical)
		faults_add(d->faults, path, name->valuestring, "sets neither warning nor critical");
	if (cJSON_GetArraySize(item) > (int)ARRAY_SIZE(known) && d->mode == SPEC_FROM_FILE)
		faults_add(d->faults, path, NULL,
			   "unknown field; a threshold has reason, warning and critical");
	decode_limit(d, t->reason, warning, warning_path, &t->warning);
	decode_limit(d, t->reason, critical, critical_path, &t->critical);
	d->spec->n_thresholds++;
}

void decode_thresholds(struct decoder *d, const struct field *field, const cJSON *item,
		       const char *path)
{
	const cJSON *threshold;
	size_t i = 0;

	(void)field;
	if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) > SPEC_MAX_THRESHOLDS) {
		decode_fault(d, path, item, "must be a list of at most 32 thresholds");
		return;
	}
	cJSON_ArrayForEach (threshold, item) {
		_cleanup_free_ char *t_path = xasprintf("%s[%zu]", path, i++);

		decode_threshold(d, threshold, t_path);
	}
}
