/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/iomem and /proc/zoneinfo: which page frames there are. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "instruments/vmemmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ascending, disjoint, none empty. */
static void check(struct pages_range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (ranges[i].start >= ranges[i].end ||
		    (i > 0 && ranges[i].start < ranges[i - 1].end))
			abort();
	}
	free(ranges);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size);
	struct pages_range *ranges = NULL;
	size_t n = pages_ranges_iomem(text, 4096, &ranges);

	check(ranges, n);
	n = pages_ranges_zoneinfo(text, &ranges);
	check(ranges, n);
	free(text);
	return 0;
}
