/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The remedies of each area, a table a file: targeted ones first, what hits the whole node last. Private to agent/report/.
 *
 * Texts hold {name} where hint_facts_set() gave a value; a rule with a name that has none is left out.
 * A name is lower-case letters, digits and '_'; other braces, such as a manifest's, stay.
 */
#ifndef MEMDIAG_REPORT_HINT_RULES_H
#define MEMDIAG_REPORT_HINT_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "report/hints.h"

struct hint_rule {
	const char *reason; /* of the finding */
	const char *id;
	unsigned int needs; /* all of these conditions */
	const char *summary, *command, *current, *proposed, *risk, *trade_off;
	const char *manifest; /* YAML; NULL: none */
	bool last_resort;     /* hits the whole node: at the end, and never what is cut */
};

struct hint_rules {
	const struct hint_rule *rules;
	size_t n;
};

extern const struct hint_rules hint_rules_cache, hint_rules_kernel, hint_rules_latency,
	hint_rules_leak, hint_rules_slab;
extern const struct hint_rules hint_rules_cpu;

#endif
