/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "controller/cron.h"

enum { TEXT_MAX = 128, FIELDS = 5 };

struct field {
	const char *name;
	unsigned int min, max;
	const char *const *words; /* from min on; NULL: none */
	const char *range;	  /* for messages */
};

static const char *const months[] = {"jan", "feb", "mar", "apr", "may", "jun",
				     "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekdays[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static const struct field fields[FIELDS] = {
	{"minute", 0, 59, NULL, "0-59"},
	{"hour", 0, 23, NULL, "0-23"},
	{"day-of-month", 1, 31, NULL, "1-31"},
	{"month", 1, 12, months, "1-12 or jan-dec"},
	{"day-of-week", 0, 6, weekdays, "0-6 (0 is Sunday) or sun-sat"},
};

static int refuse(const struct field *field, const char *text, const char *why, struct err *err)
{
	_cleanup_free_ char *plain = text_plain(text, strlen(text));

	return err_say(
		err, EINVAL,
		"%s: \"%s\": %saccepted is %s, alone or as list (a,b), range (a-b) or step (*/n)",
		field->name, plain, why, field->range);
}

static bool read_value(const struct field *field, const char *s, unsigned int *ret)
{
	uint64_t n;

	for (unsigned int i = field->min; field->words && i <= field->max; i++) {
		if (strcasecmp(field->words[i - field->min], s) == 0) {
			*ret = i;
			return true;
		}
	}
	/* More digits than that are no value of any field, leading zeros or not. */
	if (strlen(s) > 9 || num_u64(s, field->min, field->max, &n) < 0)
		return false;
	*ret = (unsigned int)n;
	return true;
}

/* One entry of a list; changed on the way. *any is set when it does not restrict. */
static bool read_entry(const struct field *field, char *entry, uint64_t *bits, bool *any)
{
	char *step_text = entry, *range = strsep(&step_text, "/"), *to = range;
	char *from = strsep(&to, "-");
	unsigned int first = field->min, last = field->max;
	bool star = strcmp(from, "*") == 0 || strcmp(from, "?") == 0;
	uint64_t step = 1;

	if (step_text && (strlen(step_text) > 9 || num_u64(step_text, 1, UINT32_MAX, &step) < 0))
		return false;
	if (star && to)
		return false;
	if (!star && !read_value(field, from, &first))
		return false;
	if (to && !read_value(field, to, &last))
		return false;
	if (!star && !to && !step_text)
		last = first;
	if (first > last)
		return false;
	for (uint64_t i = first; i <= last; i += step)
		*bits |= UINT64_C(1) << i;
	*any |= star && step == 1;
	return true;
}

static int read_field(const struct field *field, const char *text, uint64_t *ret, bool *ret_any,
		      struct err *err)
{
	_cleanup_free_ char *copy = xstrdup(text);
	char *rest = copy, *entry;
	uint64_t bits = 0;
	bool any = false;

	while ((entry = strsep(&rest, ","))) {
		if (!read_entry(field, entry, &bits, &any))
			return refuse(field, text, "", err);
	}
	*ret = bits;
	*ret_any = any;
	return 0;
}

/* Whether any month of the schedule has any of its days. Days of the week come in every month. */
static bool ever_fires(const struct cron *cron)
{
	static const unsigned int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	if (!cron->any_weekday)
		return true;
	for (unsigned int month = 1; month <= 12; month++) {
		if ((cron->month >> month & 1) &&
		    (cron->day & ((UINT64_C(2) << days[month - 1]) - 2)))
			return true;
	}
	return false;
}

static const char *expand_macro(const char *text)
{
	static const struct {
		const char *name, *meaning;
	} macros[] = {
		{"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
		{"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
		{"@hourly", "0 * * * *"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(macros); i++) {
		if (strcmp(macros[i].name, text) == 0)
			return macros[i].meaning;
	}
	return NULL;
}

/* Cuts text at spaces into exactly five. */
static bool split(char *text, char *parts[FIELDS])
{
	char *part;
	size_t n = 0;

	while ((part = strsep(&text, " \t\n\r\v\f"))) {
		if (!*part)
			continue;
		if (n == FIELDS)
			return false;
		parts[n++] = part;
	}
	return n == FIELDS;
}

static int parse_fields(const char *text, struct cron *ret, struct err *err)
{
	_cleanup_free_ char *copy = xstrdup(text);
	struct cron cron = {0};
	uint64_t *const bits[FIELDS] = {&cron.minute, &cron.hour, &cron.day, &cron.month,
					&cron.weekday};
	char *parts[FIELDS];
	bool any[FIELDS];
	int r;

	if (!split(copy, parts)) {
		_cleanup_free_ char *plain = text_plain(text, strlen(text));

		return err_say(err, EINVAL,
			       "\"%s\": must have five fields: minute hour day-of-month month "
			       "day-of-week, such as 0 2 * * *",
			       plain);
	}
	for (size_t i = 0; i < FIELDS; i++) {
		r = read_field(&fields[i], parts[i], bits[i], &any[i], err);
		if (r < 0)
			return r;
	}
	cron.any_day = any[2];
	cron.any_weekday = any[4];
	if (!ever_fires(&cron))
		return err_say(
			err, EINVAL,
			"day-of-month: \"%s\": never fires: no month of \"%s\" has such a day; "
			"February has 28 or 29 days, April, June, September and November 30",
			parts[2], parts[3]);
	*ret = cron;
	return 0;
}

int cron_parse(const char *text, struct cron *ret, struct err *err)
{
	const char *meaning;

	if (strlen(text) > TEXT_MAX)
		return err_say(err, EINVAL, "has %zu bytes: must have at most %d", strlen(text),
			       TEXT_MAX);
	if (strstr(text, "TZ="))
		return err_say(err, EINVAL,
			       "must not hold TZ= or CRON_TZ=; set spec.timeZone instead");
	if (text[0] != '@')
		return parse_fields(text, ret, err);
	meaning = expand_macro(text);
	if (!meaning) {
		_cleanup_free_ char *plain = text_plain(text, strlen(text));

		return err_say(
			err, EINVAL,
			"\"%s\": is not one of @yearly @annually @monthly @weekly @daily @midnight "
			"@hourly",
			plain);
	}
	return parse_fields(meaning, ret, err);
}
