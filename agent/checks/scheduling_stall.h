/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check SchedulingStall: times in which a CPU was kept from others inside the kernel: on which CPU, for how long, by which task
 * of which container, and in which function. Findings SchedulingStall and IrqOff.
 */
#ifndef MEMDIAG_CHECKS_SCHEDULING_STALL_H
#define MEMDIAG_CHECKS_SCHEDULING_STALL_H

#include <time.h>

#include "checks/check.h"
#include "identity/owner.h"
#include "instruments/stalls.h"

extern const struct check check_scheduling_stall;

/* One stall with names. */
struct stall_row {
	struct owner owner; /* of the task; owned */
	struct stalls_event event;
	time_t end; /* wall clock */
	char **frames; /* "do_sys_poll+0x1a2", innermost first, without the interrupt that looked; owned */
	size_t n_frames;
};

/* A CPU's time in the window. */
struct stall_cpu {
	uint32_t cpu;
	unsigned int irq_permille, softirq_permille, steal_permille;
	uint64_t stolen_ns; /* by the hypervisor's account; 10 ms steps */
};

/* All that judging needs; plain data, so that tests can write it by hand. */
struct stall_facts {
	const struct spec *spec;
	uint64_t window_ns;
	const struct stall_row *rows; /* those that spec.target means; longest first */
	size_t n;
	struct hist node[STALLS_KINDS]; /* the whole node */
	const struct stall_cpu *cpus;
	size_t n_cpus;
	const char *method, *missing; /* as the instrument's */
	uint64_t lost;		      /* stalls that are in the counts alone */
	bool no_symbols;	      /* functions could not be named */
	uint32_t self_pid;	      /* memdiag's process; 0: not known */
};

/* Pure: facts in, result and findings out. */
void scheduling_stall_judge(const struct stall_facts *facts, struct check_result *result);

/*
 * Where in a stack of ksyms_name()s the kernel was as the tick came: behind the frames of the interrupt that looked. 0 when
 * there is no such frame.
 */
size_t stall_first_frame(char *const *frames, size_t n);
/* Whether a function is a lock's or a delay's own: those who wait in it, or its callers, say more. */
bool stall_is_lock(const char *frame);
/* The first frame that is not a lock's; the first one when all are. NULL: there is none. */
const char *stall_function(const struct stall_row *row);
/* The lock's function on top; NULL: it was in none. */
const char *stall_lock(const struct stall_row *row);
/* Whether it ran soft interrupts on top of the task. */
bool stall_in_softirq(const struct stall_row *row);

#endif
