/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What reclaim.bpf.c and user space share. */
#ifndef MEMDIAG_BPF_RECLAIM_H
#define MEMDIAG_BPF_RECLAIM_H

enum reclaim_cause {
	RECLAIM_LIMIT,	/* a memory cgroup's limit was reached; target: that cgroup */
	RECLAIM_HIGH,	/* above memory.high (v2); target: the lowest such cgroup */
	RECLAIM_GLOBAL, /* the node was short of memory */
	RECLAIM_NODE,	/* a NUMA node was, with vm.zone_reclaim_mode */
	RECLAIM_SOFT, /* v1's soft limits, within global reclaim: its time is in RECLAIM_GLOBAL too */
	RECLAIM_PROACTIVE, /* somebody wrote to memory.reclaim, force_empty or a lower limit */
	RECLAIM_ASYNC,	   /* memory cgroup reclaim by a kernel thread: nobody waits */
	RECLAIM_CAUSES
};

enum {
	RECLAIM_FRAMES = 24,
	RECLAIM_RING = 256 << 10, /* bytes: some 900 outliers */
	RECLAIM_LEVELS = 16,	  /* of ancestors that are looked at */
	RECLAIM_SYMBOLS = 12,
};

/* A function whose presence on the stack tells the cause. */
struct reclaim_symbol {
	__u64 begin, end; /* 0, 0: none */
	__u64 cause;
};

/* One long reclaim. */
struct reclaim_event {
	__u64 end_ns, duration_ns; /* bpf_ktime_get_ns(): CLOCK_MONOTONIC */
	__u64 cgroup, target;
	__u32 cause;
	__u32 pid; /* of the process, on the host */
	__u32 n_frames;
	__u32 unused;
	char comm[16];
	__u64 frames[RECLAIM_FRAMES]; /* innermost first */
};

struct reclaim_counters {
	__u64 lost;	       /* events in no row: the table was full */
	__u64 lost_tasks;      /* events not timed: no memory to remember their begin */
	__u64 outliers_unkept; /* long ones that are counted, but for which the ring had no room */
};

#endif
