/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processes that use a CPU in a known way, for tests of the scheduler's waits. All are ended by cpu_load_clean(), which kills
 * exactly those that were started here. Functions fail the test themselves.
 */
#ifndef MEMDIAG_TESTS_CPU_LOAD_H
#define MEMDIAG_TESTS_CPU_LOAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct cpu_load {
	const char *name;	/* of the process, at most 15 bytes; NULL: this program's */
	const char *cgroups[2]; /* directories of cgroups to go to first; NULL: none */
	int cpu;		/* to stay on; -1: any */
	int fifo_priority;	/* SCHED_FIFO when above 0 */
	int nice;
	uint64_t busy_us, idle_us; /* in turns; idle_us 0: always busy */
	uint64_t length_ms;	   /* then it ends; 0: never */
};

/* Starts it. Returns its pid. */
pid_t cpu_load_start(const struct cpu_load *load);
/* Runs fn(arg) in a process like that (busy_us and idle_us are not looked at). */
pid_t cpu_load_run(const struct cpu_load *load, void (*fn)(void *arg), void *arg);
/* Waits for it to end by itself. Returns its wait status. */
int cpu_load_wait(pid_t pid);
/* Kills it. */
void cpu_load_stop(pid_t pid);
void cpu_load_clean(void);

/* Two processes that pass a byte back and forth that often, both on that CPU. Returns the user and system time they took in ns. */
uint64_t cpu_load_pingpong(int cpu, unsigned int times);

#endif
