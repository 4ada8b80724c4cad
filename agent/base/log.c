/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static _Atomic int log_max_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	atomic_store(&log_max_level, (int)level);
}

int log_parse_level(const char *name, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		if (strcmp(name, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return 0;
		}
	}
	return -EINVAL;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	_cleanup_free_ char *safe = NULL;
	char text[1024], when[CLOCK_TEXT_MAX];
	va_list ap;

	if ((int)level > atomic_load(&log_max_level))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	safe = text_plain(text, strlen(text));
	(void)fprintf(stderr, "%s %-5s %s\n", clock_format_rfc3339(time(NULL), when),
		      level_names[level], safe);
}
