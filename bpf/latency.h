/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The table of latencies by cgroup and cause that programs fill and user space reads; see agent/instruments/latency.h.
 */
#ifndef MEMDIAG_BPF_LATENCY_H
#define MEMDIAG_BPF_LATENCY_H

#include "hist.h"

/* Rows in the kernel, allocated beforehand (1.5 MiB): some hundred containers with two or three causes each. */
enum { LATENCY_ROWS = 4096 };

struct latency_key {
	__u64 cgroup, target;
	__u32 cause, unused;
};

struct latency_value {
	struct hist hist;
	__u64 last_ns; /* bpf_ktime_get_ns() when it changed */
};

#endif
