/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be done about a finding: tables of rules (hint_rules_*.c), one row per remedy, targeted ones first. A check tells what
 * is true and what things are called; the rules whose conditions hold become hints, filled with those names.
 */
#ifndef MEMDIAG_REPORT_HINTS_H
#define MEMDIAG_REPORT_HINTS_H

#include <stddef.h>

#include "report/finding.h"

enum hint_condition {
	HINT_CGROUP_V1 = 1 << 0, /* the memory controller is v1 */
	HINT_CGROUP_V2 = 1 << 1,
	HINT_CHILD_CGROUP = 1 << 2, /* the subject is a live cgroup below the root */
	HINT_NAMED_FILE = 1 << 3,   /* the largest file has a path that can be opened */
	HINT_DELETED_FILE = 1 << 4, /* it is deleted, but somebody holds it open */
	HINT_MEMFD = 1 << 5,	    /* it is a memfd or shared anonymous memory */
	HINT_SYSV = 1 << 6,	    /* it is a SysV segment */
	HINT_DIRECTORY = 1 << 7,    /* the largest directory has a path */
	HINT_NO_LIMIT = 1 << 8,	    /* neither it nor a parent has a memory limit */
	HINT_SHMEM_FILE = 1 << 9,   /* the largest file is a tmpfs's, and has a path */
	HINT_CONTROLLER = 1 << 10,  /* kind and name of the pods' controller are known */
	HINT_CACHE_PINS = 1 << 11,  /* cache of files is what pins, or some of it */
	HINT_DEVICE_PINS = 1 << 12, /* some are pinned by a block device's cache alone */
	/* What the cgroup above them can be told: an amount (v2), or all (v1). */
	HINT_RECLAIM_ABOVE = 1 << 13,
	HINT_EMPTY_ABOVE = 1 << 14,

	HINT_SLAB_RECLAIM = 1 << 16,	/* a container has much slab, and memory.reclaim */
	HINT_NODE_SLAB = 1 << 17,	/* none has: only the node as a whole can be asked */
	HINT_DENTRY_NEGATIVE = 1 << 18, /* sysctl fs.dentry-negative is there and off */
	HINT_ALLOCINFO = 1 << 19,	/* /proc/allocinfo is there */

	HINT_NUMA_STAT = 1 << 24, /* the kernel was summing memory.numa_stat up */
	HINT_SELF = 1 << 25,	  /* memdiag itself had the CPU: set by hint_facts_self() */
};

enum { HINT_MAX_VARS = 32 };

/* What {name} in a rule's texts becomes. Values are owned. */
struct hint_facts {
	unsigned int conditions; /* HINT_* bits that hold */
	struct {
		const char *name;
		char *value;
	} vars[HINT_MAX_VARS];
	size_t n_vars;
};

void hint_facts_set(struct hint_facts *facts, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * memdiag itself is to blame, in a run with this window: nothing is said of its process, which is gone or is the one that asks;
 * instead {longer_window} has a value, with which its own start and end weigh less.
 */
void hint_facts_self(struct hint_facts *facts, uint64_t window_ms);
void hint_facts_done(struct hint_facts *facts);

/*
 * Adds the hints of finding->reason whose conditions hold, in the table's order, at most FINDING_MAX_HINTS. The last resort is
 * kept and stands at the end: whoever has tried all else needs it, with what it costs. What there is no room for is counted in
 * finding->hints_dropped.
 */
void hints_apply(const struct hint_facts *facts, struct finding *finding);

#endif
