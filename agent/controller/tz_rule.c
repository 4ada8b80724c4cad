/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/tz_rule.h"

#include <ctype.h>
#include <errno.h>
#include <stddef.h>

enum { DAY_SECONDS = 86400, MONTH_WEEKS = 5 };

/* --- the calendar ------------------------------------------------------------------------------------------------- */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

/* Years are counted from March, so that the leap day is a year's last; 400 of them have 146097 days. */
int64_t tz_days(int64_t year, int month, int64_t day)
{
	int64_t y = year - (month <= 2), era = floor_div(y, 400), of_era = y - era * 400;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5;

	/* 719468: from 1 March of the year 0 to 1 January 1970. */
	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year + day - 1 - 719468;
}

int64_t tz_date(int64_t days, int *ret_month, int *ret_day)
{
	int64_t since = days + 719468, era = floor_div(since, 146097),
		of_era = since - era * 146097;
	int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	int64_t of_year = of_era - (365 * y + y / 4 - y / 100);
	int m = (int)((5 * of_year + 2) / 153), month = m < 10 ? m + 3 : m - 9;

	if (ret_month)
		*ret_month = month;
	if (ret_day)
		*ret_day = (int)(of_year - (153 * m + 2) / 5 + 1);
	return era * 400 + y + (month <= 2);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* A number of at most max at *s, which moves behind it; -1: none. */
static int number(const char **s, int max)
{
	int n = 0;

	if (!isdigit((unsigned char)**s))
		return -1;
	for (; isdigit((unsigned char)**s); (*s)++) {
		n = n * 10 + (**s - '0');
		if (n > max)
			return -1;
	}
	return n;
}

/* Letters, or anything between < and >. */
static bool skip_name(const char **s)
{
	const char *start = *s;

	if (**s == '<') {
		while (**s && **s != '>')
			(*s)++;
		if (!**s)
			return false;
		(*s)++;
		return true;
	}
	while (isalpha((unsigned char)**s))
		(*s)++;
	return *s - start >= 3;
}

/* [+-]hh[:mm[:ss]] */
static bool read_time(const char **s, int max_hours, int32_t *ret)
{
	int sign = **s == '-' ? -1 : 1, h, m = 0, sec = 0;

	if (**s == '-' || **s == '+')
		(*s)++;
	h = number(s, max_hours);
	if (h >= 0 && **s == ':') {
		(*s)++;
		m = number(s, 59);
		if (m >= 0 && **s == ':') {
			(*s)++;
			sec = number(s, 59);
		}
	}
	if (h < 0 || m < 0 || sec < 0)
		return false;
	*ret = sign * (h * 3600 + m * 60 + sec);
	return true;
}

static bool read_month_week_day(const char **s, struct tz_change *change)
{
	change->month = number(s, 12);
	if (change->month < 1 || *(*s)++ != '.')
		return false;
	change->week = number(s, MONTH_WEEKS);
	if (change->week < 1 || *(*s)++ != '.')
		return false;
	change->day = number(s, 6);
	return change->day >= 0;
}

static bool read_change(const char **s, struct tz_change *change)
{
	bool good;

	if (*(*s)++ != ',')
		return false;
	if (**s == 'M') {
		(*s)++;
		change->kind = TZ_MONTH_WEEK_DAY;
		good = read_month_week_day(s, change);
	} else if (**s == 'J') {
		(*s)++;
		change->kind = TZ_JULIAN;
		change->day = number(s, 365);
		good = change->day >= 1;
	} else {
		change->kind = TZ_DAY_OF_YEAR;
		change->day = number(s, 365);
		good = change->day >= 0;
	}
	change->time = 2 * 3600;
	if (good && **s == '/') {
		(*s)++;
		good = read_time(s, 167, &change->time);
	}
	return good;
}

int tz_rule_parse(const char *s, struct tz_rule *ret)
{
	struct tz_rule rule = {0};

	if (!skip_name(&s) || !read_time(&s, 24, &rule.standard))
		return -EINVAL;
	rule.standard = -rule.standard; /* POSIX counts to the west */
	if (*s) {
		rule.has_daylight = true;
		rule.daylight = rule.standard + 3600;
		if (!skip_name(&s))
			return -EINVAL;
		if (*s != ',') {
			if (!read_time(&s, 24, &rule.daylight))
				return -EINVAL;
			rule.daylight = -rule.daylight;
		}
		if (!read_change(&s, &rule.start) || !read_change(&s, &rule.end) || *s)
			return -EINVAL;
	}
	*ret = rule;
	return 0;
}

/* --- using -------------------------------------------------------------------------------------------------------- */

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* The day, counted from 1970, on which the clock is changed in this year. */
static int64_t change_day(const struct tz_change *change, int64_t year)
{
	int64_t first, day, next;

	switch (change->kind) {
	case TZ_JULIAN:
		return tz_days(year, 1, change->day) + (is_leap(year) && change->day >= 60);
	case TZ_DAY_OF_YEAR:
		return tz_days(year, 1, change->day + 1);
	case TZ_MONTH_WEEK_DAY:
		break;
	}
	/* 1 January 1970 was a Thursday. */
	first = tz_days(year, change->month, 1);
	day = first + ((change->day - (first + 4)) % 7 + 7) % 7 + (change->week - 1) * 7;
	next = change->month == 12 ? tz_days(year + 1, 1, 1) : tz_days(year, change->month + 1, 1);
	return day < next ? day : day - 7; /* week 5 is the last */
}

int32_t tz_rule_offset(const struct tz_rule *rule, int64_t instant)
{
	int64_t year, start, end;

	if (!rule->has_daylight)
		return rule->standard;
	year = tz_date(floor_div(instant, DAY_SECONDS), NULL, NULL);
	start = change_day(&rule->start, year) * DAY_SECONDS + rule->start.time - rule->standard;
	end = change_day(&rule->end, year) * DAY_SECONDS + rule->end.time - rule->daylight;
	/* On the southern half it is the year's middle that is standard time. */
	if (start < end)
		return instant >= start && instant < end ? rule->daylight : rule->standard;
	return instant >= end && instant < start ? rule->standard : rule->daylight;
}
