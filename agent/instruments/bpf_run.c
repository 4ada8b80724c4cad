/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/bpf_run.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/clock.h"

#define CALL_SHORT_NS (150LL * 1000)
#define CALL_LONG_NS  (400LL * 1000)

int64_t bpf_run(const struct bpf_program *program, struct bpf_calls *calls)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	int fd = bpf_program__fd(program);
	uint64_t begin = clock_thread_cpu_ns(), ns;
	int r = bpf_prog_test_run_opts(fd, &opts);

	if (r < 0)
		return r;
	ns = clock_thread_cpu_ns() - begin;
	calls->n++;
	if (ns > calls->max_ns)
		calls->max_ns = ns;
	return (int64_t)ns;
}

uint32_t bpf_pace(uint32_t steps, int64_t ns, uint32_t least, uint32_t most)
{
	if (ns > CALL_LONG_NS)
		return steps / 2 > least ? steps / 2 : least;
	if (ns < CALL_SHORT_NS)
		return steps <= most / 2 ? steps * 2 : most;
	return steps;
}
