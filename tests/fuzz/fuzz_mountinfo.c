/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "identity/mountinfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = xstrndup((const char *)data, size);
	struct mountinfo info = {0};

	mountinfo_parse(&info, text);
	if (info.n > MOUNTINFO_MAX)
		abort();
	for (size_t i = 0; i < info.n; i++) {
		const struct mountinfo_line *line = &info.lines[i];

		/* Whatever was there, all strings are. */
		if (strlen(line->root) + strlen(line->point) + strlen(line->fstype) +
			    strlen(line->options) >
		    size)
			abort();
		(void)mountinfo_below(line->point, line->root);
	}
	mountinfo_done(&info);
	return 0;
}
