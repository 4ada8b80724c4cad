/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's key-value files: meminfo, zoneinfo, sockstat, memory.stat. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "instruments/cgroupfs.h"
#include "instruments/meminfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size);
	struct memory_line lines[MEMORY_LINES_MAX];
	struct parse_notes notes = {0};
	struct cgroup_stat stat = {0};
	struct meminfo info = {0};

	meminfo_parse(text, &info, &notes);
	(void)meminfo_parse_pcp(text, 4096, &notes);
	(void)meminfo_parse_sockets(text, 4096, &notes);
	cgroupfs_parse_stat(text, size % 2, &stat, &notes);
	(void)meminfo_lines(&info, lines);
	free(text);
	return 0;
}
