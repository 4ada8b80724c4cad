/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/stat, /proc/schedstat, cpu.stat and cpu.max. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "instruments/cpu_quota.h"
#include "instruments/cpu_times.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size);
	struct parse_notes notes = {0};
	struct cpu_times times = {0};
	struct cpu_quota quota = {0};
	uint64_t modes[CPU_MODES] = {0};

	cpu_times_parse_stat(text, &times);
	cpu_times_parse_schedstat(text, &times);
	for (size_t i = 1; i < times.n; i++)
		if (times.cpus[i - 1].cpu > times.cpus[i].cpu)
			abort();
	cpu_quota_parse_stat(text, &quota, &notes);
	cpu_quota_parse_max(text, &quota);
	(void)cpu_times_parse_modes(text, modes);
	free(times.cpus);
	free(text);
	return 0;
}
