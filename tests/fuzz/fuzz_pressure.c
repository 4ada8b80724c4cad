/* SPDX-License-Identifier: Apache-2.0 */
/* Pressure, vmstat, zoneinfo and buddyinfo as counters of how short of memory the node is. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "checks/compaction_latency.h"
#include "instruments/pressure.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pressure_zones zones = {0};
	struct pressure_vmstat vmstat;
	struct pressure_stall stall;
	struct parse_notes notes = {0};
	char *text = xstrndup((const char *)data, size), choice[24];

	pressure_parse_vmstat(text, &vmstat, &notes);
	compaction_parse_choice(text, choice, sizeof(choice));
	pressure_parse_stall(text, &stall);
	free(text);
	text = xstrndup((const char *)data, size);
	pressure_parse_zoneinfo(text, &zones, &notes);
	free(text);
	text = xstrndup((const char *)data, size);
	pressure_parse_buddyinfo(text, &zones, &notes);
	free(text);
	for (uint64_t order = 0; order <= PRESSURE_ORDERS; order++) {
		if (pressure_unusable_permille(&zones, order) > 1000)
			abort();
	}
	return 0;
}
