/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a TZif file: the rule for all times after its last transition. Private to tz.c. */
#ifndef MEMDIAG_CONTROLLER_TZ_RULE_H
#define MEMDIAG_CONTROLLER_TZ_RULE_H

#include <stdbool.h>
#include <stdint.h>

/* When in a year the clock is changed. */
struct tz_change {
	enum { TZ_MONTH_WEEK_DAY, TZ_JULIAN, TZ_DAY_OF_YEAR } kind;
	int month, week,
		day; /* with the latter two kinds day alone: 1 to 365 without 29 February; 0 to 365 */
	int32_t time; /* seconds after midnight; may be negative or beyond the day */
};

struct tz_rule {
	int32_t standard, daylight; /* seconds east of UTC */
	bool has_daylight;
	struct tz_change start, end; /* of daylight time, in the time before the change */
};

/* Reads a POSIX TZ string such as CET-1CEST,M3.5.0,M10.5.0/3, with RFC 8536's hours from -167 to 167. -EINVAL: none. */
int tz_rule_parse(const char *s, struct tz_rule *ret);
/* The offset at this instant. */
int32_t tz_rule_offset(const struct tz_rule *rule, int64_t instant);

/* Days from 1 January 1970 to this day of the proleptic Gregorian calendar; day may be any number, month is 1 to 12. */
int64_t tz_days(int64_t year, int month, int64_t day);
/* The year of a day counted from 1 January 1970; month and day of the month (from 1) when asked for. */
int64_t tz_date(int64_t days, int *ret_month, int *ret_day);

#endif
