/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check CompactionLatency: who has to compact memory himself because he asked for a large piece of it, for which size, with what
 * success. Finding CompactionStalls, of a container and of the node.
 */
#ifndef MEMDIAG_CHECKS_COMPACTION_LATENCY_H
#define MEMDIAG_CHECKS_COMPACTION_LATENCY_H

#include "checks/check.h"
#include "checks/latency_rows.h"
#include "instruments/compaction.h"
#include "instruments/pressure.h"

extern const struct check check_compaction_latency;
/* How its causes are called, and which of them nobody waits for. */
extern const struct latency_words compaction_words;

/* All that judging needs; plain data, so that tests can write it by hand. */
struct compaction_facts {
	const struct spec *spec;
	const struct latency_rows *rows;
	struct pressure_vmstat vmstat; /* within the window */
	struct pressure_zones zones;
	uint64_t proactiveness;	 /* vm.compaction_proactiveness; UINT64_MAX: this kernel has none */
	char defrag[24];	 /* transparent_hugepage/defrag: "madvise"; "": unknown */
	unsigned int huge_order; /* of a transparent huge page */
};

/* Pure: facts in, result and findings out. */
void compaction_judge(const struct compaction_facts *facts, struct check_result *result);

/* The word in brackets of "always defer [madvise] never" to out; "" when there is none, or it is too long. */
void compaction_parse_choice(const char *text, char *out, size_t n);

#endif
