/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A finding: what is wrong, whose it is, how much, what it rests on, and what can be done.
 */
#ifndef MEMDIAG_REPORT_FINDING_H
#define MEMDIAG_REPORT_FINDING_H

#include <stddef.h>
#include <stdint.h>

#include "base/tree.h"
#include "identity/owner.h"
#include "spec/spec.h"

enum {
	FINDING_MAX_EVIDENCE = 8,
	FINDING_MAX_HINTS = 4,
};

struct evidence {
	const char *name; /* static, lowerCamelCase with its unit */
	char value[128];
};

/* Something that can be done. Owned strings; NULL when it has none. */
struct hint {
	const char *id;	  /* static */
	const char *risk; /* "Low", "Medium", "High" */
	char *summary, *command, *manifest, *current, *proposed, *trade_off;
};

struct finding {
	enum check_type check;
	enum severity severity;
	const char *reason; /* static */
	struct owner subject;
	char *message;
	uint64_t bytes, error_bytes, reclaimable_bytes;
	struct evidence evidence[FINDING_MAX_EVIDENCE];
	size_t n_evidence;
	struct hint hints[FINDING_MAX_HINTS];
	size_t n_hints;
	size_t hints_dropped; /* that there was no room for */
};

struct findings {
	struct finding *items;
	size_t n, cap;
};

/* Frees its strings. */
void hint_done(struct hint *hint);
/* A zeroed finding at the end of the list; valid until the next one is added. */
struct finding *findings_add(struct findings *findings);
/* Moves all of from to the end of to. */
void findings_move(struct findings *to, struct findings *from);
/* Most severe first, then by bytes, then by id: the order is the same in every run over the same facts. */
void findings_sort(struct findings *findings);
void findings_done(struct findings *findings);

void finding_add_evidence(struct finding *finding, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* reason/namespace/pod/container or reason/cgroup/path: the same in every run. The caller frees it. */
char *finding_id(const struct finding *finding);
/* Appends the finding as the CRD has it. */
void finding_to_tree(const struct finding *finding, const char *node_name, cJSON *array);

#endif
