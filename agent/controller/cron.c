/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search goes forward as robfig/cron's does, field by field from the month on; where the clock is changed its
 * results come from how it adds hours and days, and so do ours.
 */
#include "controller/cron.h"

#include "base/mem.h"

enum {
	MINUTE = 60,
	HOUR = 3600,
	DAY = 24 * HOUR,
	YEARS_AHEAD = 5,
	/* Five years of days and some hours and minutes are 2,000 steps; more means that the search goes round in a circle. */
	STEPS_MAX = 10000,
};

/* Where the search stands. */
struct search {
	const struct cron *cron;
	const struct tz *zone;
	int64_t at;
	struct tz_wall wall; /* of at */
	bool moved; /* a field was incremented: those below it start from their beginning */
};

static void move_to(struct search *s, int64_t instant)
{
	s->at = instant;
	tz_to_wall(s->zone, instant, &s->wall);
}

static void move_to_wall(struct search *s, struct tz_wall wall)
{
	move_to(s, tz_from_wall(s->zone, &wall));
}

/* The first increment cuts off what is below the field: all of it below the hour, the time of day, the day. */
static void first_move(struct search *s, struct tz_wall wall)
{
	if (s->moved)
		return;
	s->moved = true;
	wall.minute = wall.second = 0;
	move_to_wall(s, wall);
}

static bool has(uint64_t bits, int value)
{
	return bits >> value & 1;
}

static bool day_matches(const struct search *s)
{
	bool day = has(s->cron->day, s->wall.day), weekday = has(s->cron->weekday, s->wall.weekday);

	if (s->cron->any_day || s->cron->any_weekday)
		return day && weekday;
	return day || weekday;
}

static void next_month(struct search *s)
{
	struct tz_wall wall = s->wall;

	wall.day = 1;
	wall.hour = 0;
	first_move(s, wall);
	wall = s->wall;
	wall.month++;
	move_to_wall(s, wall);
}

static void next_day(struct search *s)
{
	struct tz_wall wall = s->wall;

	wall.hour = 0;
	first_move(s, wall);
	wall = s->wall;
	wall.day++;
	move_to_wall(s, wall);
	/* There is no midnight on a day whose first hour is left out: whole hours lead to what stands for it. */
	if (s->wall.hour > 12)
		move_to(s, s->at + (24 - s->wall.hour) * HOUR);
	else if (s->wall.hour > 0)
		move_to(s, s->at - s->wall.hour * HOUR);
}

static void next_hour(struct search *s)
{
	first_move(s, s->wall);
	move_to(s, s->at + HOUR);
}

static void next_minute(struct search *s)
{
	if (!s->moved) {
		s->moved = true;
		move_to(s, s->at - (s->at % MINUTE + MINUTE) % MINUTE);
	}
	move_to(s, s->at + MINUTE);
}

/* The fields in order; false: one of them wrapped around, and those above it are to be looked at again. */
static bool pass(struct search *s, unsigned int *steps)
{
	const struct cron *cron = s->cron;

	for (; !has(cron->month, s->wall.month); ++*steps) {
		next_month(s);
		if (s->wall.month == 1)
			return false;
	}
	for (; !day_matches(s); ++*steps) {
		next_day(s);
		/* Where a whole day is left out (Samoa, 30 December 2011), a day later is the same day, for ever. */
		if (s->wall.day == 1 || *steps > STEPS_MAX)
			return false;
	}
	for (; !has(cron->hour, s->wall.hour); ++*steps) {
		next_hour(s);
		if (s->wall.hour == 0)
			return false;
	}
	for (; !has(cron->minute, s->wall.minute); ++*steps) {
		next_minute(s);
		if (s->wall.minute == 0)
			return false;
	}
	if (s->wall.second == 0)
		return true;
	s->moved = true;
	move_to(s, s->at + MINUTE - s->wall.second);
	return false;
}

bool cron_next(const struct cron *cron, const struct tz *zone, int64_t after, int64_t *ret)
{
	struct search s = {.cron = cron, .zone = zone};
	unsigned int steps = 0;
	int64_t last_year;

	move_to(&s, after + 1);
	last_year = s.wall.year + YEARS_AHEAD;
	do {
		if (s.wall.year > last_year || steps++ > STEPS_MAX)
			return false;
	} while (!pass(&s, &steps));
	*ret = s.at;
	return true;
}

bool cron_last(const struct cron *cron, const struct tz *zone, int64_t after, int64_t until,
	       int64_t *ret)
{
	/* Backwards in windows: whatever the schedule, none has more than some thousand times in the first that has one. */
	static const int64_t windows[] = {2 * HOUR, 2 * DAY, 64 * DAY, 400 * DAY,
					  INT64_C(9) * 366 * DAY};
	int64_t at, found = 0;

	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		int64_t from = until - windows[i] > after ? until - windows[i] : after;

		for (at = from; cron_next(cron, zone, at, &at) && at <= until; found = at)
			;
		if (found) {
			*ret = found;
			return true;
		}
		if (from == after)
			break;
	}
	return false;
}

unsigned int cron_count(const struct cron *cron, const struct tz *zone, int64_t after,
			int64_t until, unsigned int max)
{
	unsigned int n = 0;
	int64_t at = after;

	while (n < max && cron_next(cron, zone, at, &at) && at <= until)
		n++;
	return n;
}
