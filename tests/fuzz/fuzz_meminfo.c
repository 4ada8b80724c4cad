/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's key-value files: meminfo, zoneinfo, vmstat, sockstat, memory.stat of v1 and v2; and that all adds up. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "instruments/cgroup_lines.h"
#include "instruments/meminfo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int64_t sum(const struct memory_line *lines, size_t n)
{
	int64_t ret = 0;

	for (size_t i = 0; i < n; i++)
		ret += lines[i].bytes;
	return ret;
}

static void fuzz_node(const char *text, struct parse_notes *notes)
{
	struct memory_line lines[MEMORY_LINES_MAX], parts[MEMORY_PARTS_MAX],
		beside[MEMORY_BESIDE_MAX];
	struct meminfo info = {0};

	meminfo_parse(text, &info, notes);
	meminfo_parse_vmstat(text, 4096, &info, notes);
	info.pcp = meminfo_parse_pcp(text, 4096, notes);
	info.socket = meminfo_parse_sockets(text, 4096, notes);
	if (sum(lines, meminfo_lines(&info, lines)) != (int64_t)info.total)
		abort();
	(void)meminfo_parts(&info, parts);
	(void)meminfo_beside(&info, beside);
}

static void fuzz_cgroup(const char *text, bool v2, struct parse_notes *notes)
{
	struct memory_line lines[CGROUP_LINES_MAX];
	struct cgroup_stat stat = {0};

	cgroupfs_parse_stat(text, v2, &stat, notes);
	if (sum(lines, cgroup_lines(&stat, v2, lines)) != (int64_t)stat.usage)
		abort();
	(void)cgroup_kernel_bytes(&stat);
	(void)cgroup_working_set(&stat);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size);
	struct parse_notes notes = {0};

	fuzz_node(text, &notes);
	fuzz_cgroup(text, false, &notes);
	fuzz_cgroup(text, true, &notes);
	free(text);
	return 0;
}
