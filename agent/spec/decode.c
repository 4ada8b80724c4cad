/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder: a table of fields per object, one function per kind of value, a fault per wrong value. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "spec/decoder.h"

void decode_fault(struct decoder *d, const char *path, const cJSON *item, const char *accepts)
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
		decode_fault(d, path, item, field->accepts);
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
		decode_fault(d, path, item, field->accepts);
		return;
	}
	*out = ms;
}

static void decode_bool(struct decoder *d, const struct field *field, const cJSON *item,
			const char *path)
{
	bool *out = member(d, field);

	if (!cJSON_IsBool(item)) {
		decode_fault(d, path, item, "must be true or false");
		return;
	}
	*out = cJSON_IsTrue(item);
}

void decode_string(struct decoder *d, const struct field *field, const cJSON *item,
		   const char *path)
{
	char **out = member(d, field);
	const char *s = cJSON_GetStringValue(item);

	if (!s || strlen(s) < field->min || strlen(s) > field->max) {
		decode_fault(d, path, item, field->accepts);
		return;
	}
	free(*out);
	*out = xstrdup(s);
}

/* A number whose absence means something of its own. */
static void decode_optional_int(struct decoder *d, const struct field *field, const cJSON *item,
				const char *path)
{
	size_t before = d->faults->n;

	decode_int(d, field, item, path);
	if (d->faults->n > before)
		return;
	if (field->offset == offsetof(struct spec, ttl_seconds))
		d->spec->ttl_set = true;
	else
		d->spec->starting_deadline_set = true;
}

static void decode_concurrency(struct decoder *d, const struct field *field, const cJSON *item,
			       const char *path)
{
	const char *s = cJSON_GetStringValue(item);

	(void)field;
	if (!s || (strcmp(s, "Forbid") != 0 && strcmp(s, "Replace") != 0)) {
		decode_fault(d, path, item, "must be Forbid or Replace");
		return;
	}
	d->spec->replace = strcmp(s, "Replace") == 0;
}

static void decode_ignored(struct decoder *d, const struct field *field, const cJSON *item,
			   const char *path)
{
	(void)d;
	(void)field;
	(void)item;
	(void)path;
}

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
		decode_fault(d, path, item, "must be Never, Warning or Critical");
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
	{"timeZone", decode_string, offsetof(struct spec, time_zone), 1, 64,
	 "must be the name of an IANA time zone, such as Europe/Berlin"},
	{"startingDeadlineSeconds", decode_optional_int,
	 offsetof(struct spec, starting_deadline_seconds), 10, 604800,
	 "must be a whole number from 10 to 604800"},
	{"activeDeadlineSeconds", decode_int, offsetof(struct spec, active_deadline_seconds), 10,
	 86400, "must be a whole number from 10 to 86400"},
	{"concurrencyPolicy", decode_concurrency},
	{"suspend", decode_bool, offsetof(struct spec, suspend)},
	{"historyLimit", decode_int, offsetof(struct spec, history_limit), 0, 10,
	 "must be a whole number from 0 to 10"},
	{"ttlSecondsAfterFinished", decode_optional_int, offsetof(struct spec, ttl_seconds), 0,
	 31536000, "must be a whole number from 0 to 31536000"},
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
		decode_fault(d, path, item, "must be " SPEC_API_VERSION);
}

static void decode_kind(struct decoder *d, const struct field *field, const cJSON *item,
			const char *path)
{
	(void)field;
	if (!cJSON_IsString(item) || strcmp(item->valuestring, SPEC_KIND) != 0)
		decode_fault(d, path, item, "must be " SPEC_KIND);
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
		decode_fault(
			d, "metadata.name", name,
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

void decode_object(struct decoder *d, const struct field *fields, size_t n, const cJSON *object,
		   const char *path)
{
	const cJSON *item;

	if (cJSON_IsNull(object))
		return;
	if (!cJSON_IsObject(object)) {
		decode_fault(d, *path ? path : "document", object, "must be a mapping of fields");
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
