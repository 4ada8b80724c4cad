/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cron expressions and time zones. Zones are compared with glibc's own; expressions with a search that tries every minute, and,
 * in tests/e2e/test_cron.py, with the implementation Kubernetes uses.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "controller/cron.h"

static int64_t utc(const char *text)
{
	time_t t = 0;

	assert_int_equal(clock_parse_rfc3339(text, &t), 0);
	return t;
}

static struct tz *zone(const char *name)
{
	struct err err = {0};
	struct tz *tz = NULL;

	if (tz_load(TZ_FOLDER, name, &tz, &err) < 0)
		fail_msg("%s: %s", name, err.msg);
	return tz;
}

/* A reproducible stream of numbers. */
static uint64_t draw(uint64_t *state, uint64_t n)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (*state >> 33) % n;
}

static void refused_with_field_and_range(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{"61 * * * *", "minute: \"61\": accepted is 0-59"},
		{"60 * * * *", "minute: \"60\""},
		{"-1 * * * *", "minute: \"-1\""},
		{"+1 * * * *", "minute: \"+1\""},
		{"1.5 * * * *", "minute: \"1.5\""},
		{"99999999999999999999 * * * *", "minute: \"99999999999999999999\""},
		{"* 24 * * *", "hour: \"24\": accepted is 0-23"},
		{"* * 0 * *", "day-of-month: \"0\": accepted is 1-31"},
		{"* * 32 * *", "day-of-month: \"32\""},
		{"* * * 0 *", "month: \"0\": accepted is 1-12 or jan-dec"},
		{"* * * 13 *", "month: \"13\""},
		{"* * * january *", "month: \"january\""},
		{"* * * * 7", "day-of-week: \"7\": accepted is 0-6 (0 is Sunday) or sun-sat"},
		{"* * * * -1", "day-of-week: \"-1\""},
		{"30-10 * * * *", "minute: \"30-10\""},
		{"* * * * fri-mon", "day-of-week: \"fri-mon\""},
		{"*/0 * * * *", "minute: \"*/0\""},
		{"*/ * * * *", "minute: \"*/\""},
		{"*/-1 * * * *", "minute: \"*/-1\""},
		{"1/2/3 * * * *", "minute: \"1/2/3\""},
		{"1-2-3 * * * *", "minute: \"1-2-3\""},
		{"*-5 * * * *", "minute: \"*-5\""},
		{"1,,2 * * * *", "minute: \"1,,2\""},
		{", * * * *", "minute: \",\""},
		{"\x01 * * * *", "minute: \"\\x01\""},
		{"* * * *", "must have five fields"},
		{"* * * * * *", "must have five fields"},
		{"", "must have five fields"},
		{"@every 5m", "is not one of @yearly"},
		{"@Daily", "is not one of @yearly"},
		{"TZ=UTC 0 2 * * *", "spec.timeZone"},
		{"CRON_TZ=UTC 0 2 * * *", "spec.timeZone"},
		{"0 0 30 2 *", "never fires"},
		{"0 0 31 4,6,9,11 *", "never fires"},
		{"0 0 30,31 feb ?", "never fires"},
	};
	char text[200];
	struct err err;
	struct cron cron;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(cron_parse(rows[i].text, &cron, &err), -EINVAL);
		if (!strstr(err.msg, rows[i].says))
			fail_msg("%s: says: %s", rows[i].text, err.msg);
	}
	memset(text, ' ', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(cron_parse(text, &cron, &err), -EINVAL);
}

static void fields_become_bits(void **state)
{
	struct cron c;

	(void)state;
	assert_int_equal(cron_parse(" 0,30-32,*/20\t5/9 ? FEB-apr,12 mon-Fri/2 ", &c, NULL), 0);
	assert_true(c.minute == (1ULL << 0 | 1ULL << 20 | 1ULL << 40 | 7ULL << 30));
	assert_true(c.hour == (1ULL << 5 | 1ULL << 14 | 1ULL << 23));
	assert_true(c.any_day && !c.any_weekday);
	assert_true(c.month == (1 << 2 | 1 << 3 | 1 << 4 | 1 << 12));
	assert_true(c.weekday == (1 << 1 | 1 << 3 | 1 << 5));
	/* A step above 1 restricts, "*" in a list does not. */
	assert_int_equal(cron_parse("0 0 */2 * 5,*", &c, NULL), 0);
	assert_true(!c.any_day && c.any_weekday);
	assert_int_equal(cron_parse("0 0 */1 * 6", &c, NULL), 0);
	assert_true(c.any_day && !c.any_weekday);
	/* 30 February never comes, but Mondays do, and so does 29 February. */
	assert_int_equal(cron_parse("0 0 30 2 1", &c, NULL), 0);
	assert_int_equal(cron_parse("0 0 29 2 *", &c, NULL), 0);
}

struct row {
	const char *zone, *text, *after, *next; /* times in UTC; NULL: never */
};

static void check_rows(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_tz_ struct tz *tz = zone(rows[i].zone);
		char found[CLOCK_TEXT_MAX] = "never";
		struct cron cron;
		int64_t at;

		assert_int_equal(cron_parse(rows[i].text, &cron, NULL), 0);
		if (cron_next(&cron, tz, utc(rows[i].after), &at))
			(void)clock_format_rfc3339(at, found);
		if (strcmp(found, rows[i].next ? rows[i].next : "never") != 0)
			fail_msg("%s %s after %s: %s, not %s", rows[i].zone, rows[i].text,
				 rows[i].after, found, rows[i].next);
	}
}

static void next_in_utc(void **state)
{
	static const struct row rows[] = {
		{"UTC", "* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
		{"UTC", "* * * * *", "2026-01-01T00:00:59Z", "2026-01-01T00:01:00Z"},
		{"UTC", "@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"UTC", "@monthly", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"},
		{"UTC", "@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"},
		{"UTC", "@daily", "2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"},
		{"UTC", "@hourly", "2026-12-31T23:00:01Z", "2027-01-01T00:00:00Z"},
		/* Either day is enough when both are restricted: Friday 2 January before the 13th. */
		{"UTC", "0 0 13 * 5", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
		{"UTC", "0 0 13 * 5", "2026-01-09T00:00:00Z", "2026-01-13T00:00:00Z"},
		{"UTC", "0 0 29 2 *", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		/* 2100 is no leap year: eight years are more than the search looks ahead. */
		{"UTC", "0 0 29 2 *", "2096-03-01T00:00:00Z", NULL},
		{"UTC", "59 23 31 12 *", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z"},
		{"Asia/Kathmandu", "0 2 * * *", "2026-06-01T00:00:00Z", "2026-06-01T20:15:00Z"},
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

static void clocks_are_changed(void **state)
{
	static const struct row rows[] = {
		/* Berlin, 29 March 2026: 2:00 becomes 3:00. What is between does not occur on that day. */
		{"Europe/Berlin", "30 2 * * *", "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z"},
		{"Europe/Berlin", "0 3 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"Europe/Berlin", "30 1-3 * * *", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"},
		{"Europe/Berlin", "*/30 * * * *", "2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z"},
		/* Berlin, 25 October 2026: 3:00 becomes 2:00. What is between occurs twice, and is run twice. */
		{"Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"Europe/Berlin", "30 2 * * *", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"Europe/Berlin", "30 2 * * *", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"},
		{"Europe/Berlin", "0 * * * *", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
		{"Europe/Berlin", "0 3 * * *", "2026-10-24T12:00:00Z", "2026-10-25T02:00:00Z"},
		/* New York, 8 March and 1 November 2026, to the west of Greenwich. */
		{"America/New_York", "30 2 * * *", "2026-03-07T12:00:00Z", "2026-03-09T06:30:00Z"},
		{"America/New_York", "30 1 * * *", "2026-10-31T12:00:00Z", "2026-11-01T05:30:00Z"},
		{"America/New_York", "30 1 * * *", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"},
		/* Lord Howe changes by half an hour: 4 October 2026 2:00 becomes 2:30; 5 April back. */
		{"Australia/Lord_Howe", "15 2 * * *", "2026-10-03T12:00:00Z",
		 "2026-10-04T15:15:00Z"},
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00:00Z",
		 "2026-04-04T14:45:00Z"},
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-04T14:45:00Z",
		 "2026-04-04T15:15:00Z"},
		/* Sao Paulo had no midnight on 4 November 2018: 0:00 was 1:00. */
		{"America/Sao_Paulo", "0 0 * * *", "2018-11-03T12:00:00Z", "2018-11-05T02:00:00Z"},
		{"America/Sao_Paulo", "0 1 * * *", "2018-11-03T12:00:00Z", "2018-11-04T03:00:00Z"},
		/* Beirut has none on 29 March 2026; a schedule of that day alone is not found then (as in CronJob). */
		{"Asia/Beirut", "0 12 29 3 *", "2026-03-28T12:00:00Z", "2027-03-29T09:00:00Z"},
		/* Samoa left 30 December 2011 out; the original would search for ever. */
		{"Pacific/Apia", "0 12 30 12 *", "2011-12-29T00:00:00Z", NULL},
		/* After the last transition in the file, by its rule. */
		{"Europe/Berlin", "0 2 * * *", "2060-07-01T12:00:00Z", "2060-07-02T00:00:00Z"},
		{"Europe/Dublin", "0 2 * * *", "2060-07-01T12:00:00Z", "2060-07-02T01:00:00Z"},
	};

	(void)state;
	check_rows(rows, ARRAY_SIZE(rows));
}

/* --- random expressions against trying every minute ------------------------------------------------------------------- */

static bool fires_at(const struct cron *c, int64_t at)
{
	time_t t = at;
	struct tm tm;
	bool day, weekday;

	(void)gmtime_r(&t, &tm);
	day = c->day >> tm.tm_mday & 1;
	weekday = c->weekday >> tm.tm_wday & 1;
	return (c->minute >> tm.tm_min & 1) && (c->hour >> tm.tm_hour & 1) &&
	       (c->month >> (tm.tm_mon + 1) & 1) &&
	       (c->any_day || c->any_weekday ? day && weekday : day || weekday);
}

static void every_minute_tried(void **state)
{
	static const char *const minutes[] = {"*", "0", "*/7", "59", "10-20/3"};
	static const char *const hours[] = {"*", "0", "23", "*/5"};
	static const char *const days[] = {"*", "1", "31", "?", "*/2", "28-30"};
	static const char *const weekdays[] = {"*", "0", "mon-fri", "6"};
	enum { HORIZON = 40 * 24 * 60 };
	uint64_t seed = 1;

	(void)state;
	for (int i = 0; i < 300; i++) {
		char text[64];
		int64_t after = 1800000000 + (int64_t)draw(&seed, 100000000), at = 0, tried,
			last = 0;
		struct cron cron;
		unsigned int n = 0;
		bool found;

		(void)snprintf(text, sizeof(text), "%s %s %s * %s", minutes[draw(&seed, 5)],
			       hours[draw(&seed, 4)], days[draw(&seed, 6)],
			       weekdays[draw(&seed, 4)]);
		assert_int_equal(cron_parse(text, &cron, NULL), 0);
		tried = after / 60 * 60 + 60;
		while (tried <= after + HORIZON * 60 && !fires_at(&cron, tried))
			tried += 60;
		found = cron_next(&cron, NULL, after, &at);
		if (tried <= after + HORIZON * 60 && (!found || at != tried))
			fail_msg("%s after %ld: %ld, not %ld", text, (long)after, (long)at,
				 (long)tried);
		for (int64_t t = after / 60 * 60 + 60; t <= after + 5 * 86400; t += 60) {
			if (fires_at(&cron, t)) {
				last = t;
				n++;
			}
		}
		at = 0;
		(void)cron_last(&cron, NULL, after, after + 5 * 86400, &at);
		assert_int_equal(at, last);
		assert_int_equal(cron_count(&cron, NULL, after, after + 5 * 86400, 100),
				 n < 100 ? n : 100);
	}
}

static void last_after_long_downtime(void **state)
{
	static const struct row rows[] = {
		{"UTC", "* * * * *", "2026-11-29T00:00:30Z", "2026-11-29T00:00:00Z"},
		{"UTC", "0 2 * * *", "2026-11-29T01:00:00Z", "2026-11-28T02:00:00Z"},
		{"UTC", "0 2 1 * *", "2026-11-29T01:00:00Z", "2026-11-01T02:00:00Z"},
		{"UTC", "0 0 29 2 *", "2026-11-29T01:00:00Z", "2024-02-29T00:00:00Z"},
		{"UTC", "@yearly", "2026-11-29T01:00:00Z", "2026-01-01T00:00:00Z"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int64_t at = 0, until = utc(rows[i].after), slot = utc(rows[i].next);
		struct cron cron;

		assert_int_equal(cron_parse(rows[i].text, &cron, NULL), 0);
		assert_true(cron_last(&cron, NULL, utc("2020-01-01T00:00:00Z"), until, &at));
		assert_int_equal(at, slot);
		/* "after" excludes, "until" includes. */
		assert_false(cron_last(&cron, NULL, slot, until, &at));
		assert_true(cron_last(&cron, NULL, slot - 1, slot, &at));
		assert_int_equal(at, slot);
	}
}

/* --- zones ------------------------------------------------------------------------------------------------------------ */

/* libc's own reading of the same files is the truth. */
static void zones_agree_with_libc(void **state)
{
	static const char *const names[] = {
		"Europe/Berlin",    "Europe/Dublin",  "America/New_York", "America/Sao_Paulo",
		"Asia/Beirut",	    "Asia/Kathmandu", "Asia/Tehran",	  "Africa/Casablanca",
		"Africa/Monrovia",  "Africa/Cairo",   "Pacific/Apia",	  "Australia/Lord_Howe",
		"Antarctica/Troll", "America/Nuuk",   "Etc/GMT+5",	  "Pacific/Chatham",
		"America/Asuncion", "Europe/London",  "Asia/Gaza",	  "America/Havana",
		"Etc/UTC",
	};
	uint64_t seed = 7;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_cleanup_tz_ struct tz *tz = zone(names[i]);

		assert_int_equal(setenv("TZ", names[i], 1), 0);
		tzset();
		for (int j = 0; j < 3000; j++) {
			/* 1970 to 2100: well past the last transition in the files. */
			time_t t = (time_t)draw(&seed, 1U << 31) + (time_t)draw(&seed, 1U << 31);
			struct tz_wall wall;
			struct tm tm;

			(void)localtime_r(&t, &tm);
			tz_to_wall(tz, t, &wall);
			if (tz_offset(tz, t) != tm.tm_gmtoff)
				fail_msg("%s %ld: %d, not %ld", names[i], (long)t, tz_offset(tz, t),
					 tm.tm_gmtoff);
			assert_int_equal(wall.year, tm.tm_year + 1900);
			assert_int_equal(wall.month, tm.tm_mon + 1);
			assert_int_equal(wall.day, tm.tm_mday);
			assert_int_equal(wall.weekday, tm.tm_wday);
			assert_int_equal(wall.hour, tm.tm_hour);
			assert_int_equal(wall.minute, tm.tm_min);
			assert_int_equal(wall.second, tm.tm_sec);
		}
	}
	assert_int_equal(unsetenv("TZ"), 0);
	tzset();
}

static void wall_times_become_instants(void **state)
{
	_cleanup_tz_ struct tz *tz = zone("Europe/Berlin");
	const struct tz_wall gap = {2026, 3, 29, 0, 2, 30, 0}, twice = {2026, 10, 25, 0, 2, 30, 0};
	const struct tz_wall far = {2026, 14, -3, 0, 0, 0, 0};

	(void)state;
	assert_int_equal(tz_from_wall(tz, &gap), utc("2026-03-29T01:30:00Z"));
	assert_int_equal(tz_from_wall(tz, &twice), utc("2026-10-25T01:30:00Z"));
	assert_int_equal(tz_from_wall(NULL, &far), utc("2027-01-28T00:00:00Z"));
}

static void wrong_zones_are_refused(void **state)
{
	static const char *const names[] = {
		"",	    "../../etc/passwd", "/etc/passwd",	 "Local",
		"Europe",   "Europe/",		"europe/berlin", "Mars/Base",
		"zone.tab", "Europe/Berlin/x",	"tzdata.zi",	 "iso3166.tab"};
	struct tz *tz = NULL;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (tz_load(TZ_FOLDER, names[i], &tz, &err) == 0)
			fail_msg("%s is taken for a time zone", names[i]);
		assert_true(strlen(err.msg) > 10);
	}
	assert_int_equal(tz_load("/nonexistent", "Europe/Berlin", &tz, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "tzdata"));
	assert_int_equal(tz_load("/nonexistent", "UTC", &tz, &err), 0);
	assert_null(tz);
}

static void cut_files_are_refused(void **state)
{
	unsigned char data[8192];
	FILE *file = fopen(TZ_FOLDER "/Europe/Berlin", "rbe");
	struct tz *tz = NULL;
	size_t n;

	(void)state;
	assert_non_null(file);
	n = fread(data, 1, sizeof(data), file);
	(void)fclose(file);
	assert_int_equal(tz_parse(data, n, &tz, NULL), 0);
	tz_free(tz);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(tz_parse(data, i, &tz, NULL), -EINVAL);
	data[4] = 0; /* version 1: 32-bit times alone */
	assert_int_equal(tz_parse(data, n, &tz, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_with_field_and_range),
		cmocka_unit_test(fields_become_bits),
		cmocka_unit_test(next_in_utc),
		cmocka_unit_test(clocks_are_changed),
		cmocka_unit_test(every_minute_tried),
		cmocka_unit_test(last_after_long_downtime),
		cmocka_unit_test(zones_agree_with_libc),
		cmocka_unit_test(wall_times_become_instants),
		cmocka_unit_test(wrong_zones_are_refused),
		cmocka_unit_test(cut_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
