/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time zones from the system's TZif files (RFC 8536), one value per zone: libc's own functions know one zone per process.
 */
#ifndef MEMDIAG_CONTROLLER_TZ_H
#define MEMDIAG_CONTROLLER_TZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/err.h"

#define TZ_FOLDER "/usr/share/zoneinfo" /* Debian's package tzdata */

/* A time zone; NULL is UTC everywhere below. */
struct tz;

/*
 * Reads zone `name`, such as Europe/Berlin, below folder. "UTC" needs no file: *ret is NULL then. -EINVAL: no name of a zone,
 * or no TZif file of version 2 or later; -ENOENT: there is no such zone here; err says which.
 */
int tz_load(const char *folder, const char *name, struct tz **ret, struct err *err);
/* The same from the bytes of a file. */
int tz_parse(const void *data, size_t n, struct tz **ret, struct err *err);
void tz_free(struct tz *tz);
DEFINE_CLEANUP(tz, struct tz *, tz_free);
#define _cleanup_tz_ _cleanup_(tz_cleanup)

/* Seconds to add to UTC at this instant (Unix time). */
int32_t tz_offset(const struct tz *tz, int64_t instant);

/* What clock and calendar on a wall of that zone show. */
struct tz_wall {
	int64_t year;
	int month;   /* 1 to 12 */
	int day;     /* of the month, 1 to 31 */
	int weekday; /* 0 is Sunday */
	int hour, minute, second;
};

void tz_to_wall(const struct tz *tz, int64_t instant, struct tz_wall *ret);
/*
 * The instant the wall shows this; weekday is not looked at, and month and day may be out of range by as much as an int
 * holds: 32 January is 1 February. A time that occurs twice is either; one that does not occur is taken with the offset before
 * or after the change, so that it comes out earlier or later by what the clock is changed by.
 */
int64_t tz_from_wall(const struct tz *tz, const struct tz_wall *wall);

#endif
