/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cron expressions as Kubernetes' CronJob understands them (robfig/cron v3), computed the same way to the second, what it does
 * when clocks are changed included. Pure; tests/unit/test_cron.c has tables, hack/cron-oracle compares with the original.
 *
 *	minute hour day-of-month month day-of-week
 *
 * each *, ?, N, N-M, *\/S, N/S (from N to the end), N-M/S, or a list of these; months also jan-dec, days of the week
 * 0-6 (0 is Sunday; 7 is refused) and sun-sat, in any case. Or @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly.
 * When days of the month and of the week are both restricted, either is enough; `*` and `?`, also in a list or with a step
 * of 1, do not restrict. (*\/2 does.)
 *
 * When clocks are changed: a time that does not occur is left out; one that occurs twice is run twice.
 *
 * Refused although robfig/cron takes them: @every (a distance from whenever the controller started is no time of day), TZ= and
 * CRON_TZ= (spec.timeZone is for that), empty entries in lists ("1,,2"), "*-5", and signs.
 */
#ifndef MEMDIAG_CONTROLLER_CRON_H
#define MEMDIAG_CONTROLLER_CRON_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "controller/tz.h"

struct cron {
	uint64_t minute, hour, day, month, weekday; /* bit N: value N */
	bool any_day, any_weekday;		    /* not restricted */
};

/*
 * -EINVAL: err says which field, its text, and what it takes: `minute: "61": must be 0-59, ...`. A schedule that can never fire
 * (30 February) is refused like that, too.
 */
int cron_parse(const char *text, struct cron *ret, struct err *err);

/*
 * The first time after `after` (Unix time). False: none within five years, as with 29 February from 2096 on, or a zone left out
 * a whole day in between (the Pacific, last in 2011), over which this search does not come.
 */
bool cron_next(const struct cron *cron, const struct tz *zone, int64_t after, int64_t *ret);
/* The last time after `after` and not later than `until`. False: none. Cheap however long that is. */
bool cron_last(const struct cron *cron, const struct tz *zone, int64_t after, int64_t until,
	       int64_t *ret);
/* How many there are after `after` and not later than `until`, counted up to max. */
unsigned int cron_count(const struct cron *cron, const struct tz *zone, int64_t after,
			int64_t until, unsigned int max);

#endif
