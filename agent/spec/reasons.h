/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The finding reasons a threshold can be set for, and their built-in limits. One row per reason, in reasons.c.
 */
#ifndef MEMDIAG_SPEC_REASONS_H
#define MEMDIAG_SPEC_REASONS_H

#include <stdint.h>

#include "base/err.h"

enum threshold_unit {
	THRESHOLD_UNSET = 0,
	THRESHOLD_PERMILLE = 1 << 0, /* "20%": of what the reason's `of` says */
	THRESHOLD_BYTES = 1 << 1,    /* "512Mi" */
	THRESHOLD_MICROS = 1 << 2,   /* "200ms" */
	THRESHOLD_COUNT =
		1 << 3, /* "100": for reasons that take a count, a number without a unit is one */
};

struct threshold_value {
	enum threshold_unit unit;
	uint64_t value;
};

struct reason {
	const char *name;
	unsigned int units; /* THRESHOLD_* bits that make sense */
	const char *of;	    /* what it is compared with, for people */
	struct threshold_value warning, critical;
};

/* NULL when there is no such reason. */
const struct reason *reason_find(const char *name);
/* "PageCacheHigh, SharedMemoryHigh, ...": for messages. */
const char *reason_names(void);

/* "20%", "512Mi" (Ki Mi Gi Ti or bytes), "200ms" (us ms s m). -EINVAL: none of these. */
int threshold_parse(const char *text, struct threshold_value *ret);

#endif
