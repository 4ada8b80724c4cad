/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder: a table of fields per object, one function per kind of value, a fault per wrong value. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "spec/spec.h"

struct decoder {
	struct spec *spec;
	struct faults *faults;
	enum spec_mode mode;
};

/* How to decode one field. path is the field's full name for messages. */
struct field {
	const char *name;
	void (*decode)(struct decoder *d, const struct field *field, const cJSON *item,
		       const char *path);
	size_t offset; /* of the member in struct spec */
	uint64_t min, max;
	const char *accepts;
};

/* The value as text for a message: strings as they are, everything else as JSON. */
static void fault(struct decoder *d, const char *path, const cJSON *item, const char *accepts)
{
	_cleanup_free_ char *text = NULL;

	if (item && !cJSON_IsString(item))
		text = tree_print_json(item, false);
	faults_add(d->faults, path, text ? text : cJSON_GetStringValue(item), accepts);
}

static void *member(struct decoder *d, const struct field *field)
{
	return (char *)d->spec + field->offset;
}

static void decode_int(struct decoder *d, const struct field *field, const cJSON *item,
		       const char *path)
{
	uint64_t *out = member(d, field);

	if (!cJSON_IsNumber(item) || item->valuedouble < (double)field->min ||
	    item->valuedouble > (double)field->max ||
	    item->valuedouble != (double)(uint64_t)item->valuedouble) {
		fault(d, path, item, field->accepts);
		return;
	}
	*out = (uint64_t)item->valuedouble;
}

static void decode_duration(struct decoder *d, const struct field *field, const cJSON *item,
			    const char *path)
{
	uint64_t *out = member(d, field), ms;
	const char *s = cJSON_GetStringValue(item);

	if (!s || num_duration_ms(s, &ms) < 0 || ms < field->min || ms > field->max) {
		fault(d, path, item, field->accepts);
		return;
	}
	*out = ms;
}

static void decode_bool(struct decoder *d, const struct field *field, const cJSON *item,
			const char *path)
{
	bool *out = member(d, field);

	if (!cJSON_IsBool(item)) {
		fault(d, path, item, "must be true or false");
		return;
	}
	*out = cJSON_IsTrue(item);
}

static void decode_string(struct decoder *d, const struct field *field, const cJSON *item,
			  const char *path)
{
	char **out = member(d, field);
	const char *s = cJSON_GetStringValue(item);

	if (!s || strlen(s) < field->min || strlen(s) > field->max) {
		fault(d, path, item, field->accepts);
		return;
	}
	free(*out);
	*out = xstrdup(s);
}

/* A field whose meaning this version leaves to others (the controller's schedule machinery, the API server). */
static void decode_presence(struct decoder *d, const struct field *field, const cJSON *item,
			    const char *path)
{
	bool *out = member(d, field);

	(void)path;
	/* An empty list or mapping is the same as none. */
	*out |= !((cJSON_IsArray(item) || cJSON_IsObject(item)) && !item->child);
}

static void decode_ignored(struct decoder *d, const struct field *field, const cJSON *item,
			   const char *path)
{
	(void)d;
	(void)field;
	(void)item;
	(void)path;
}

static void decode_object(struct decoder *d, const struct field *fields, size_t n,
			  const cJSON *object, const char *path);

static void decode_fail_on(struct decoder *d, const struct field *field, const cJSON *item,
			   const char *path)
{
	const char *s = cJSON_GetStringValue(item);

	(void)field;
	if (s && strcmp(s, "Never") == 0)
		d->spec->fail_on = SEVERITY_NONE;
	else if (s && strcmp(s, "Warning") == 0)
		d->spec->fail_on = SEVERITY_WARNING;
	else if (s && strcmp(s, "Critical") == 0)
		d->spec->fail_on = SEVERITY_CRITICAL;
	else
		fault(d, path, item, "must be Never, Warning or Critical");
}

static void decode_node_selector(struct decoder *d, const struct field *field, const cJSON *item,
				 const char *path)
{
	const cJSON *label;

	(void)field;
	if (!cJSON_IsObject(item) || cJSON_GetArraySize(item) > 16) {
		fault(d, path, item, "must be a mapping of at most 16 labels to values");
		return;
	}
	cJSON_ArrayForEach (label, item) {
		if (!cJSON_IsString(label) || strlen(label->valuestring) > 63) {
			_cleanup_free_ char *name = xasprintf("%s.%s", path, label->string);

			fault(d, name, label,
			      "must be a string of at most 63 bytes (quote numbers)");
			return;
		}
	}
	cJSON_Delete(d->spec->node_selector);
	d->spec->node_selector = cJSON_Duplicate(item, true);
}

static const struct field target_fields[] = {
	{"nodeName", decode_string, offsetof(struct spec, node_name), 1, 253,
	 "must be a node's name of 1 to 253 characters"},
	{"nodeSelector", decode_node_selector},
	{"namespaces", decode_presence, offsetof(struct spec, pod_target)},
	{"podSelector", decode_presence, offsetof(struct spec, pod_target)},
	{"pod", decode_presence, offsetof(struct spec, pod_target)},
};

static void decode_target(struct decoder *d, const struct field *field, const cJSON *item,
			  const char *path)
{
	(void)field;
	decode_object(d, target_fields, ARRAY_SIZE(target_fields), item, path);
	if (d->spec->node_name && d->spec->node_selector)
		faults_add(d->faults, "spec.target.nodeSelector", NULL,
			   "may not be set together with spec.target.nodeName; set only one");
}

static void decode_check(struct decoder *d, const cJSON *item, const char *path)
{
	const cJSON *type = tree_member(item, "type"), *other;
	_cleanup_free_ char *type_path = xasprintf("%s.type", path);
	enum check_type t;

	if (!cJSON_IsString(type) || check_type_parse(type->valuestring, &t) < 0) {
		fault(d, type_path, type,
		      "must be MemoryBreakdown, PageCache, SharedMemory, SlabCache, CgroupLeak, "
		      "KernelMemory, ReclaimLatency, CompactionLatency, RunQueueLatency or "
		      "SchedulingStall");
		return;
	}
	if (d->spec->explicit_checks && d->spec->checks[t])
		fault(d, type_path, type, "is listed twice");
	d->spec->explicit_checks = true;
	d->spec->checks[t] = true;
	cJSON_ArrayForEach (other, item) {
		_cleanup_free_ char *other_path = xasprintf("%s.%s", path, other->string);

		if (other != type && d->mode == SPEC_FROM_FILE)
			faults_add(d->faults, other_path, NULL,
				   "unknown field; a check has only type");
	}
}

static void decode_checks(struct decoder *d, const struct field *field, const cJSON *item,
			  const char *path)
{
	const cJSON *check;
	size_t i = 0;

	(void)field;
	if (!cJSON_IsArray(item)) {
		fault(d, path, item, "must be a list such as [{type: PageCache}]");
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
		fault(d, path, item,
		      "must be a percentage (0% to 100%), a size (512Mi) or a duration (200ms)");
	else if (!(reason->units & v.unit))
		fault(d, path, item, "this reason takes a percentage (20%) or a size (512Mi)");
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

		fault(d, reason_path, name, accepts);
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

static void decode_thresholds(struct decoder *d, const struct field *field, const cJSON *item,
			      const char *path)
{
	const cJSON *threshold;
	size_t i = 0;

	(void)field;
	if (!cJSON_IsArray(item) || cJSON_GetArraySize(item) > SPEC_MAX_THRESHOLDS) {
		fault(d, path, item, "must be a list of at most 32 thresholds");
		return;
	}
	cJSON_ArrayForEach (threshold, item) {
		_cleanup_free_ char *t_path = xasprintf("%s[%zu]", path, i++);

		decode_threshold(d, threshold, t_path);
	}
}

static const struct field spec_fields[] = {
	{"target", decode_target},
	{"checks", decode_checks},
	{"window", decode_duration, offsetof(struct spec, window_ms), 1000, 600000,
	 "must be a duration from 1s to 10m, such as 500ms, 30s or 2m"},
	{"top", decode_int, offsetof(struct spec, top), 1, 50,
	 "must be a whole number from 1 to 50"},
	{"cpuBudget", decode_duration, offsetof(struct spec, cpu_budget_ms), 10, 300000,
	 "must be a duration from 10ms to 5m, such as 500ms, 2s or 1m"},
	{"schedule", decode_string, offsetof(struct spec, schedule), 1, 128,
	 "must be a cron expression of 1 to 128 characters"},
	{"timeZone", decode_ignored},
	{"startingDeadlineSeconds", decode_ignored},
	{"activeDeadlineSeconds", decode_int, offsetof(struct spec, active_deadline_seconds), 10,
	 86400, "must be a whole number from 10 to 86400"},
	{"concurrencyPolicy", decode_ignored},
	{"suspend", decode_bool, offsetof(struct spec, suspend)},
	{"historyLimit", decode_int, offsetof(struct spec, history_limit), 0, 10,
	 "must be a whole number from 0 to 10"},
	{"ttlSecondsAfterFinished", decode_presence, offsetof(struct spec, ttl_set)},
	{"failOn", decode_fail_on},
	{"thresholds", decode_thresholds},
};

static void decode_spec(struct decoder *d, const struct field *field, const cJSON *item,
			const char *path)
{
	(void)field;
	decode_object(d, spec_fields, ARRAY_SIZE(spec_fields), item, path);
}

static void decode_api_version(struct decoder *d, const struct field *field, const cJSON *item,
			       const char *path)
{
	(void)field;
	if (!cJSON_IsString(item) || strcmp(item->valuestring, SPEC_API_VERSION) != 0)
		fault(d, path, item, "must be " SPEC_API_VERSION);
}

static void decode_kind(struct decoder *d, const struct field *field, const cJSON *item,
			const char *path)
{
	(void)field;
	if (!cJSON_IsString(item) || strcmp(item->valuestring, SPEC_KIND) != 0)
		fault(d, path, item, "must be " SPEC_KIND);
}

/* A DNS label of at most 40 characters: the report's name is <diagnosis>.<node>. */
static bool is_diagnosis_name(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n <= 40 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n &&
	       s[0] != '-' && s[n - 1] != '-';
}

static void decode_metadata(struct decoder *d, const struct field *field, const cJSON *item,
			    const char *path)
{
	const cJSON *name = tree_member(item, "name");

	(void)field;
	(void)path;
	(void)snprintf(d->spec->uid, sizeof(d->spec->uid), "%s", tree_str_or_empty(item, "uid"));
	d->spec->generation = tree_int_or(item, "generation", 0);
	if (!name)
		return;
	if (!cJSON_IsString(name) || !is_diagnosis_name(name->valuestring)) {
		fault(d, "metadata.name", name,
		      "must be 1 to 40 characters a-z, 0-9 and -, beginning and ending with a "
		      "letter or digit");
		return;
	}
	memcpy(d->spec->name, name->valuestring, strlen(name->valuestring) + 1);
}

static const struct field top_fields[] = {
	{"apiVersion", decode_api_version}, {"kind", decode_kind},
	{"metadata", decode_metadata},	    {"spec", decode_spec},
	{"status", decode_ignored},
};

static void unknown_field(struct decoder *d, const char *path, const struct field *fields, size_t n)
{
	_cleanup_buf_ struct buf text = BUF_INIT(1024);

	(void)buf_printf(&text, "unknown field; accepted are ");
	for (size_t i = 0; i < n; i++)
		(void)buf_printf(&text, "%s%s", i ? ", " : "", fields[i].name);
	faults_add(d->faults, path, NULL, text.data);
}

static void decode_object(struct decoder *d, const struct field *fields, size_t n,
			  const cJSON *object, const char *path)
{
	const cJSON *item;

	if (cJSON_IsNull(object))
		return;
	if (!cJSON_IsObject(object)) {
		fault(d, *path ? path : "document", object, "must be a mapping of fields");
		return;
	}
	cJSON_ArrayForEach (item, object) {
		_cleanup_free_ char *item_path =
			xasprintf("%s%s%s", path, *path ? "." : "", item->string);
		size_t i = 0;

		while (i < n && strcmp(fields[i].name, item->string) != 0)
			i++;
		if (i < n && !cJSON_IsNull(item)) {
			fields[i].decode(d, &fields[i], item, item_path);
		} else if (i == n && d->mode == SPEC_FROM_FILE) {
			unknown_field(d, item_path, fields, n);
		}
	}
}

int spec_decode(const cJSON *doc, enum spec_mode mode, struct spec **ret, struct faults *faults)
{
	_cleanup_spec_ struct spec *spec = spec_new();
	struct decoder d = {.spec = spec, .faults = faults, .mode = mode};
	size_t before = faults->n;

	decode_object(&d, top_fields, ARRAY_SIZE(top_fields), doc, "");
	if (mode == SPEC_FROM_FILE && cJSON_IsObject(doc)) {
		if (!tree_member(doc, "apiVersion"))
			faults_add(faults, "apiVersion", NULL,
				   "is missing; it must be " SPEC_API_VERSION);
		if (!tree_member(doc, "kind"))
			faults_add(faults, "kind", NULL, "is missing; it must be " SPEC_KIND);
	}
	if (faults->n > before)
		return -EINVAL;
	*ret = take_ptr(spec);
	return 0;
}
