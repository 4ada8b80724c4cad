/* SPDX-License-Identifier: Apache-2.0 */
#include "support/cpu_load.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

enum { MAX_LOADS = 512 };

static pid_t pids[MAX_LOADS];
static size_t n_pids;

static void remember(pid_t pid)
{
	if (pid < 0)
		fail_msg("fork: %s", strerror(errno));
	for (size_t i = 0; i < n_pids; i++) {
		if (pids[i] == 0) {
			pids[i] = pid;
			return;
		}
	}
	assert_true(n_pids < MAX_LOADS);
	pids[n_pids++] = pid;
}

static void forget(pid_t pid)
{
	for (size_t i = 0; i < n_pids; i++)
		pids[i] = pids[i] == pid ? 0 : pids[i];
}

static void enter(const char *cgroup)
{
	char path[512];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		_exit(101);
	close(fd);
}

static void pin(int cpu)
{
	cpu_set_t set;

	if (cpu < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET((size_t)cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set) < 0)
		_exit(102);
}

static void become(const struct cpu_load *load)
{
	const struct sched_param param = {.sched_priority = load->fifo_priority};

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (load->name)
		(void)prctl(PR_SET_NAME, load->name);
	for (size_t i = 0; i < 2; i++)
		if (load->cgroups[i])
			enter(load->cgroups[i]);
	pin(load->cpu);
	if (load->nice && setpriority(PRIO_PROCESS, 0, load->nice) < 0)
		_exit(103);
	if (load->fifo_priority && sched_setscheduler(0, SCHED_FIFO, &param) < 0)
		_exit(104);
}

static void sleep_us(uint64_t us)
{
	const struct timespec ts = {.tv_sec = (time_t)(us / 1000000),
				    .tv_nsec = (long)(us % 1000000 * 1000)};

	(void)nanosleep(&ts, NULL);
}

static void burn(const struct cpu_load *load)
{
	uint64_t end_ns = clock_mono_ns() + load->length_ms * NSEC_PER_MSEC;
	uint64_t turn_ns = clock_mono_ns() + load->busy_us * 1000;

	for (uint64_t now_ns; (now_ns = clock_mono_ns()) < end_ns || !load->length_ms;) {
		if (!load->idle_us || now_ns < turn_ns)
			continue;
		sleep_us(load->idle_us);
		turn_ns = clock_mono_ns() + load->busy_us * 1000;
	}
}

pid_t cpu_load_start(const struct cpu_load *load)
{
	pid_t pid = fork();

	if (pid == 0) {
		become(load);
		burn(load);
		_exit(0);
	}
	remember(pid);
	return pid;
}

pid_t cpu_load_run(const struct cpu_load *load, void (*fn)(void *arg), void *arg)
{
	pid_t pid = fork();

	if (pid == 0) {
		become(load);
		fn(arg);
		_exit(0);
	}
	remember(pid);
	return pid;
}

int cpu_load_wait(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	forget(pid);
	return status;
}

void cpu_load_stop(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)cpu_load_wait(pid);
}

void cpu_load_clean(void)
{
	for (size_t i = 0; i < n_pids; i++)
		if (pids[i] > 0)
			cpu_load_stop(pids[i]);
	n_pids = 0;
}

static void pass(int from, int to, unsigned int times, bool first)
{
	char c = 0;

	for (unsigned int i = 0; i < times; i++) {
		if (first && write(to, &c, 1) != 1)
			_exit(105);
		if (read(from, &c, 1) != 1)
			_exit(106);
		if (!first && write(to, &c, 1) != 1)
			_exit(107);
	}
}

uint64_t cpu_load_pingpong(int cpu, unsigned int times)
{
	int there[2], back[2], status;
	struct rusage used;
	uint64_t ns = 0;
	pid_t pair[2];

	assert_int_equal(pipe2(there, O_CLOEXEC), 0);
	assert_int_equal(pipe2(back, O_CLOEXEC), 0);
	for (int i = 0; i < 2; i++) {
		pair[i] = fork();
		if (pair[i] == 0) {
			pin(cpu);
			if (i == 0)
				pass(back[0], there[1], times, true);
			else
				pass(there[0], back[1], times, false);
			_exit(0);
		}
		remember(pair[i]);
	}
	for (int i = 0; i < 2; i++) {
		assert_int_equal(wait4(pair[i], &status, 0, &used), pair[i]);
		forget(pair[i]);
		assert_int_equal(status, 0);
		ns += ((uint64_t)used.ru_utime.tv_sec + (uint64_t)used.ru_stime.tv_sec) *
			      NSEC_PER_SEC +
		      ((uint64_t)used.ru_utime.tv_usec + (uint64_t)used.ru_stime.tv_usec) * 1000;
		close(there[i]);
		close(back[i]);
	}
	return ns;
}
