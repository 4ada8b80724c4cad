/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a program that is attached to nothing, and what that costs: no call may take over 1 ms of CPU.
 */
#ifndef MEMDIAG_INSTRUMENTS_BPF_RUN_H
#define MEMDIAG_INSTRUMENTS_BPF_RUN_H

#include <stdint.h>

struct bpf_program;

struct bpf_calls {
	uint64_t n;
	uint64_t max_ns; /* CPU time of the longest */
};

/* Runs it once. Returns its CPU time in ns, or -errno. */
int64_t bpf_run(const struct bpf_program *program, struct bpf_calls *calls);

/*
 * How many steps (chunks, cgroups, …) the next call is to take when the last one took `steps` and ns: more while that is far below
 * the millisecond it may take, less where the kernel's memory is slow to read. Within least..most.
 */
uint32_t bpf_pace(uint32_t steps, int64_t ns, uint32_t least, uint32_t most);

#endif
