/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the programs in runqueue.bpf.c and the instrument `runqueue` say to each other.
 */
#ifndef MEMDIAG_BPF_RUNQUEUE_H
#define MEMDIAG_BPF_RUNQUEUE_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "hist.h"

#define RUNQUEUE_SLOW_NS \
	1000000u	       /* waits above this are stored one by one; an edge of struct hist */
#define RUNQUEUE_ROWS	  4096 /* cgroups with two causes each, at most */
#define RUNQUEUE_CULPRITS 4096
#define RUNQUEUE_TASKS	  32768 /* without task storage: tasks that are followed */
#define RUNQUEUE_COMM	  16
#define RUNQUEUE_STINTS	  8 /* a CPU's latest long stints that are remembered; a power of two */

enum runqueue_cause {
	RUNQUEUE_CONTENTION, /* others had the CPU */
	RUNQUEUE_THROTTLED, /* at least half of the wait its cgroup, or one above it, was out of CPU quota */
	RUNQUEUE_CAUSES
};

struct runqueue_key {
	__u64 cgroup;
	__u64 cause;
};

/* All cumulative. */
struct runqueue_row {
	struct hist slow; /* waits above RUNQUEUE_SLOW_NS */
	__u64 fast_count; /* the other waits; contention only */
	__u64 delay_ns;	  /* of all waits, slow and fast; contention only */
	__u64 last_ns;	  /* CLOCK_MONOTONIC, when something was added */
};

/* A time of more than RUNQUEUE_SLOW_NS that a task had a CPU without a break, on the run queue's clock. */
struct runqueue_stint {
	__u64 from_ns, to_ns;
	__u64 cgroup;
	__u32 pid, pad;
	char comm[RUNQUEUE_COMM];
};

struct runqueue_stints {
	__u32 next, pad; /* where the next one goes */
	struct runqueue_stint last[RUNQUEUE_STINTS];
};

/* Whom a wait is counted to. */
struct runqueue_pair {
	__u64 waiter,
		holder; /* holder 0: none of the stints; the CPU was idle, or passed around quickly */
};

struct runqueue_culprit {
	__u64 count;
	__u64 wait_ns; /* of these waits */
	__u64 held_ns; /* of these waits the part in which the holder had the CPU, in long stints */
	__u64 last_ns; /* CLOCK_MONOTONIC of the latest, which is the sample */
	__u32 holder_pid, waiter_pid;
	char holder_comm[RUNQUEUE_COMM], waiter_comm[RUNQUEUE_COMM];
};
_Static_assert(sizeof(struct runqueue_culprit) == 72, "shared with user space");

/* What is kept for each task. */
struct runqueue_task {
	__u64 total_ns; /* sched_info.run_delay as it was when the task last got a CPU, that wait included */
	__u64 cfs_rq; /* where it then was, and for how long that had been throttled */
	__u64 throttled_ns;
	__u64 slow_count;		/* of its waits, those that are in a row's `slow` */
	__u64 throttled_wait_ns;	/* of its delay, what is in a row of RUNQUEUE_THROTTLED */
	__u64 seen_fast, seen_delay_ns; /* what has been added to its cgroup's row */
};

struct runqueue_counters {
	__u64 lost_waits;    /* in no row: too many cgroups */
	__u64 lost_culprits; /* slow waits whose holder is not kept: too many pairs */
	__u64 stateless; /* slow waits of tasks that are not followed: what went before a migration is missing */
	__u64 tasks;	       /* that the last walk saw */
	__u64 followed;	       /* of these; the others could not be given storage */
	__u64 delay_ns, waits; /* of all tasks, ever, as the last walk saw it */
};

#endif
