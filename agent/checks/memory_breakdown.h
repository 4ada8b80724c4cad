/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check MemoryBreakdown: where the node's memory went, in parts that do not overlap and add up to MemTotal to the byte, each
 * with its source; and the same for pods, containers and units, as a tree. It has no findings: other checks judge the parts.
 */
#ifndef MEMDIAG_CHECKS_MEMORY_BREAKDOWN_H
#define MEMDIAG_CHECKS_MEMORY_BREAKDOWN_H

#include "checks/breakdown_rows.h"
#include "checks/check.h"
#include "instruments/meminfo.h"

extern const struct check check_memory_breakdown;

struct breakdown_facts {
	const struct spec *spec;
	struct meminfo node;
	bool v2;		    /* the memory controller is v2's */
	struct breakdown_row *rows; /* arranged */
	size_t n_rows;
	uint64_t not_listed; /* rows that are left out: too small */
	uint64_t not_read;   /* cgroups beyond the ceiling of those that are read */
	const char *problem; /* why there are no rows at all; NULL: there is no reason */
	struct parse_notes notes;
};

/* Pure: facts in, result out. */
void memory_breakdown_judge(const struct breakdown_facts *facts, struct check_result *result);

#endif
