/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/bpf_run.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/clock.h"

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
