/* SPDX-License-Identifier: Apache-2.0 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void err_fill(struct err *err, int errnum, bool with_reason, const char *fmt, va_list ap)
{
	char reason[128];
	size_t len;

	if (!err)
		return;
	err->code = errnum;
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	if (!with_reason)
		return;
	len = strlen(err->msg);
	(void)snprintf(err->msg + len, sizeof(err->msg) - len, ": %s",
		       strerror_r(errnum, reason, sizeof(reason)));
}

int err_set(struct err *err, int errnum, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_fill(err, errnum, true, fmt, ap);
	va_end(ap);
	return -errnum;
}

int err_say(struct err *err, int errnum, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	err_fill(err, errnum, false, fmt, ap);
	va_end(ap);
	return -errnum;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char inner[sizeof(err->msg)];
	va_list ap;
	size_t len;

	if (!err)
		return -EIO;
	memcpy(inner, err->msg, sizeof(inner));
	va_start(ap, fmt);
	(void)vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	len = strlen(err->msg);
	(void)snprintf(err->msg + len, sizeof(err->msg) - len, ": %s", inner);
	return -err->code;
}
