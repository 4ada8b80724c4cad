/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts = {0};

	(void)clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_thread_cpu_ns(void)
{
	return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

struct timespec clock_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / NSEC_PER_SEC),
				 .tv_nsec = (long)(ns % NSEC_PER_SEC)};
}

const char *clock_format_rfc3339(time_t t, char out[CLOCK_TEXT_MAX])
{
	struct tm tm = {0};

	if (!gmtime_r(&t, &tm) || strftime(out, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		memcpy(out, "1970-01-01T00:00:00Z", sizeof("1970-01-01T00:00:00Z"));
	return out;
}

const char *clock_format_micro_now(char out[CLOCK_MICRO_TEXT_MAX])
{
	struct timespec ts = {0};
	char text[CLOCK_TEXT_MAX];

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)clock_format_rfc3339(ts.tv_sec, text);
	(void)snprintf(out, CLOCK_MICRO_TEXT_MAX, "%.19s.%06ldZ", text,
		       ts.tv_nsec / 1000 % 1000000);
	return out;
}

int clock_parse_rfc3339(const char *s, time_t *ret)
{
	struct tm tm = {0};
	const char *rest = strptime(s, "%Y-%m-%dT%H:%M:%S", &tm);
	time_t t;

	if (!rest)
		return -EINVAL;
	if (*rest == '.') {
		rest++;
		rest += strspn(rest, "0123456789");
	}
	if (strcmp(rest, "Z") != 0)
		return -EINVAL;
	t = timegm(&tm);
	if (t == (time_t)-1)
		return -EINVAL;
	*ret = t;
	return 0;
}
