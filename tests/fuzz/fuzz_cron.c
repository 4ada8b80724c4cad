/* SPDX-License-Identifier: Apache-2.0 */
/* Cron expressions and TZif files: the first line is the expression, the rest the file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "controller/cron.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *newline = memchr(data, '\n', size), *end = data + size;
	char *text = xstrndup((const char *)data, newline ? (size_t)(newline - data) : size);
	const uint8_t *file = newline ? newline + 1 : end;
	struct tz *zone = NULL;
	struct err err;
	struct cron cron;
	int64_t at, last;

	(void)tz_parse(file, (size_t)(end - file), &zone, &err);
	if (cron_parse(text, &cron, &err) == 0 && cron_next(&cron, zone, 1800000000, &at)) {
		if (at <= 1800000000)
			abort();
		/* What comes next is also the last until then. */
		if (!zone && (!cron_last(&cron, NULL, 1800000000, at, &last) || last != at))
			abort();
	}
	tz_free(zone);
	free(text);
	return 0;
}
