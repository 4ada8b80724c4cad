/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What the programs in stalls.bpf.c and the instrument `stalls` say to each other.
 */
#ifndef MEMDIAG_BPF_STALLS_H
#define MEMDIAG_BPF_STALLS_H

#ifndef __bpf__
#include <linux/types.h>
#endif

#include "hist.h"

#define STALLS_FRAMES 32
#define STALLS_COMM   16
#define STALLS_ROWS   2048	  /* cgroups with two kinds each, at most */
#define STALLS_RING   (256 << 10) /* bytes: 700 events until somebody reads */

enum stalls_kind {
	STALLS_NO_SCHED, /* a task was asked to give up the CPU, and ran on in the kernel */
	STALLS_IRQ_OFF, /* the tick came late: interrupts were off, or the hypervisor had the CPU */
	STALLS_KINDS
};

struct stalls_event {
	__u64 end_ns; /* CLOCK_MONOTONIC */
	__u64 duration_ns;
	__u64 cgroup; /* memory cgroup of the task */
	__u32 kind, cpu;
	__u32 pid, tgid;
	__u32 n_frames, pad;
	char comm[STALLS_COMM];
	/*
	 * Kernel stack, innermost first, interrupt included: of the moment at which the limit was reached; for STALLS_IRQ_OFF
	 * where interrupts were on again.
	 */
	__u64 frames[STALLS_FRAMES];
};
_Static_assert(sizeof(struct stalls_event) == 64 + 8 * STALLS_FRAMES, "shared with user space");

struct stalls_key {
	__u64 cgroup, kind;
};

/* What a CPU's ticks saw of the task on it. */
struct stalls_cpu {
	__u64 since_ns, last_ns; /* first and latest tick that found it unserved; 0: none */
	__u64 late_ns;		 /* between these, time in which no tick came */
	__u64 arrival;		 /* when the task got the CPU: its stint's identity */
	__u32 pid, ticks, fired, pad;
	struct stalls_event event;
};

struct stalls_counters {
	__u64 ticks;	   /* looked at, about: CPUs count side by side */
	__u64 lost_events; /* not in the ring: it was full */
	__u64 lost_rows;   /* in no row: too many cgroups */
	__u64 stolen,
		stolen_ns; /* late ticks that interrupted user space: not the kernel's doing */
};

#endif
