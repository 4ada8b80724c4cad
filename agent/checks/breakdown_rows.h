/* SPDX-License-Identifier: Apache-2.0 */
/* Pods, containers and units of a MemoryBreakdown as a tree. */
#ifndef MEMDIAG_CHECKS_BREAKDOWN_ROWS_H
#define MEMDIAG_CHECKS_BREAKDOWN_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "identity/cgroup_name.h"
#include "identity/owner.h"
#include "instruments/cgroupfs.h"

/* One cgroup, with what is below it. */
struct breakdown_row {
	struct owner owner; /* strings are owned; cgroup is not NULL */
	enum cgroup_kind kind;
	struct cgroup_stat stat;
	uint64_t
		hugetlb; /* by the hugetlb controller; usage leaves it out, unless stat.hugetlb_inside */
	/* Set by breakdown_rows_arrange(). */
	unsigned int depth; /* rows above it that it is part of */
	bool has_children;  /* also those that are not kept */
	uint64_t
		own; /* usage that is none of its children's: what removed containers left, for example */
};

/*
 * Puts them in the order of a tree: what is part of another comes behind it; next to each other the largest first. Keeps the max largest
 * with those above them (a container's own cgroups below it are no rows) and releases the others. Returns how many are kept; *ret_not_kept
 * gets the number of rows that are left out for max alone.
 */
size_t breakdown_rows_arrange(struct breakdown_row *rows, size_t n, size_t max,
			      uint64_t *ret_not_kept);

#endif
