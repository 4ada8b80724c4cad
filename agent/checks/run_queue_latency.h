/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check RunQueueLatency: how long tasks were ready to run and had no CPU, by container; who had it meanwhile; and apart from
 * that, waits for the container's own CPU quota. Findings RunQueueWait (others had the CPU) and CpuThrottled (its limit did).
 */
#ifndef MEMDIAG_CHECKS_RUN_QUEUE_LATENCY_H
#define MEMDIAG_CHECKS_RUN_QUEUE_LATENCY_H

#include "checks/check.h"
#include "checks/latency_rows.h"
#include "identity/owner.h"
#include "instruments/cpu_quota.h"
#include "instruments/runqueue.h"

extern const struct check check_run_queue_latency;

/* What the causes of struct runqueue_snapshot are called. */
extern const struct latency_words run_queue_words;

/* Who had the CPU while a container waited. */
struct run_queue_holder {
	struct owner owner; /* owned; cgroup NULL: nobody for long */
	struct runqueue_holder waits;
};

/* What is known of a container besides its waits. */
struct run_queue_item {
	bool has_quota; /* quota was read: what the window added */
	struct cpu_quota quota;
	struct run_queue_holder *holders; /* most wait_ns first */
	size_t n_holders;
};

/* All that judging needs; plain data, so that tests can write it by hand. */
struct run_queue_facts {
	const struct spec *spec;
	const struct latency_rows *rows;
	const struct run_queue_item *items; /* as many as rows->items, in their order */
	const char *method;
	const char *missing; /* what this kernel does not let us see; NULL: nothing */
	uint64_t lost_holders;
	bool has_schedstat; /* the kernel's own count, of the same window */
	uint64_t schedstat_ns, schedstat_waits;
	unsigned int n_cpus;
	uint32_t self_pid;     /* memdiag's process; 0: not known */
	const char *cpu_mount; /* where the cpu controller is; NULL: nowhere */
	bool v2;
};

/* Pure: facts in, result and findings out. */
void run_queue_judge(const struct run_queue_facts *facts, struct check_result *result);
/* Private to the check: its findings. */
void run_queue_find(const struct run_queue_facts *facts, struct findings *findings);

/*
 * Thousandths of a CPU with which it would hardly have been throttled: it ran for what its quota was, and wanted to go on while
 * throttled. At most n_cpus; rounded up to 50.
 */
uint64_t run_queue_wanted_millis(const struct cpu_quota *quota, uint64_t window_ns,
				 unsigned int n_cpus);

#endif
