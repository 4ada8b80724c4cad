/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check MemoryBreakdown: where the node's memory went, in parts that do not overlap and add up to MemTotal to the byte, each
 * with its source; and the same in short for containers and units. It has no findings: other checks judge the parts.
 */
#ifndef MEMDIAG_CHECKS_MEMORY_BREAKDOWN_H
#define MEMDIAG_CHECKS_MEMORY_BREAKDOWN_H

#include "checks/check.h"
#include "instruments/meminfo.h"

extern const struct check check_memory_breakdown;

/* One container or unit. */
struct breakdown_row {
	struct owner owner; /* strings are owned */
	struct cgroup_stat stat;
};

struct breakdown_facts {
	const struct spec *spec;
	struct meminfo node;
	struct breakdown_row *rows; /* descending by usage */
	size_t n_rows;
	struct parse_notes notes;
};

/* Pure: facts in, result out. */
void memory_breakdown_judge(const struct breakdown_facts *facts, struct check_result *result);

#endif
