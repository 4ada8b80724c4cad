/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows that the latency checks share: what a window saw by container and cause, with names, as facts for judging and as the
 * report's object
 *
 *	{windowSeconds, node: {causes: []}, containers: [{owner, count, sumMicros, maxMicros, p99Micros, mainCause, causes: []}]}
 *
 *	before = x_read(...); ... after = x_read(...); diff = latency_diff(before, after);
 *	r = latency_rows_read(env, &cgroups, diff, &words, &rows, err);
 *	...
 *	latency_rows_describe(rows, result);
 *	latency_rows_add(rows, spec->top, result->result);
 */
#ifndef MEMDIAG_CHECKS_LATENCY_ROWS_H
#define MEMDIAG_CHECKS_LATENCY_ROWS_H

#include "checks/check.h"
#include "identity/cgroup_tree.h"
#include "identity/owner.h"
#include "instruments/cgroupfs.h"
#include "instruments/latency.h"

enum { LATENCY_MAX_CAUSES = 8 }; /* as the CRD has it */

/* What an instrument's causes are called in reports; static. */
struct latency_words {
	const char *causes[LATENCY_MAX_CAUSES]; /* by the instrument's enumeration */
	size_t n;
	/* Bits of causes for which nobody waits, such as work of kernel threads: listed, but in no total. */
	unsigned int background;
};

/* One cause, and what it was about (struct latency_row's target_id). */
struct latency_part {
	uint32_t cause;
	uint64_t target_id; /* 0: nothing */
	struct hist hist;
};

/* A container, a unit, or another cgroup: all of its cgroups together. */
struct latency_container {
	struct owner owner; /* owned */
	struct latency_part *parts;
	size_t n_parts;
	struct hist waits; /* of all causes that somebody waits for */
};

struct latency_rows {
	struct latency_words words;
	uint64_t window_ns;
	struct hist node[LATENCY_MAX_CAUSES]; /* the whole node, whatever spec.target means */
	/* Those that spec.target means; longest waits first. */
	struct latency_container *items;
	size_t n;
	uint64_t lost;	  /* events that are in no row */
	uint64_t unnamed; /* of the rows' events: their cgroup is gone without a trace */
};

/*
 * Joins what a window saw (latency_diff()) with the names of pods. cgroups is the hierarchy that the rows' ids are of: the
 * host's own for memory cgroups; else an open struct cgroupfs whose `memory` is the other mount. The caller frees *ret.
 * -ENODATA: the spec means pods, and none of them is on this node.
 */
int latency_rows_read(const struct check_env *env, const struct cgroupfs *cgroups,
		      const struct latency_snapshot *diff, const struct latency_words *words,
		      struct latency_rows **ret, struct err *err);
void latency_rows_free(struct latency_rows *rows);

/* For those who fill rows by hand, tests too: counts a row of the kernel to an owner, which is copied. */
void latency_rows_count(struct latency_rows *rows, const struct owner *owner,
			const struct latency_row *row);
/* Puts them in order, after the last latency_rows_count(). */
void latency_rows_sort(struct latency_rows *rows);

/* All of one cause, whatever the target. */
struct hist latency_container_cause(const struct latency_container *container, uint32_t cause);
/* Thousandths of the window in which it waited; tasks that wait side by side count each, so it may be above 1000. */
unsigned int latency_permille(const struct latency_rows *rows, uint64_t sum_ns);

/* Adds windowSeconds, node and the `top` first containers. Returns the array of these, whose order is that of items. */
cJSON *latency_rows_add(const struct latency_rows *rows, uint64_t top, cJSON *result);
/* One {cause, count, ...} at the end of the array; nothing when there was none. */
void latency_add_cause(const char *cause, const struct hist *hist, cJSON *array);
/* Says what is missing (lost events, names) as reason and message of the result; Complete all the same. */
void latency_rows_describe(const struct latency_rows *rows, struct check_result *result);

#endif
