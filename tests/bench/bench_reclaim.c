/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What observing reclaim costs those who reclaim: writing through a memory cgroup of 64 MiB with and without the programs, in turn.
 * Prints medians and their ratio. Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "instruments/host.h"
#include "instruments/reclaim.h"
#include "support/plant.h"

#define MIB ((uint64_t)1 << 20)

/* Reads a sparse file: nothing but page cache that comes and is reclaimed, so no disk hides what we cost. */
enum { ROUNDS = 15, STREAM_MIB = 2048 };

static struct host host = HOST_INIT;

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), by_value);
	return values[n / 2];
}

static void write_text(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail_msg("%s: %s", path, strerror(errno));
}

/* CPU seconds of a child that reads the file in the cgroup. */
static double stream(const char *cgroup, const char *path)
{
	int result[2], status = 0;
	double seconds = 0;
	pid_t pid;

	assert_int_equal(pipe2(result, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char *buffer = malloc(MIB);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		uint64_t begin_ns;

		write_text(cgroup, "cgroup.procs", "0");
		begin_ns = clock_thread_cpu_ns();
		for (uint64_t at = 0; at < STREAM_MIB; at++)
			if (pread(fd, buffer, MIB, (off_t)(at * MIB)) != (ssize_t)MIB)
				_exit(1);
		seconds = (double)(clock_thread_cpu_ns() - begin_ns) / 1e9;
		_exit(write(result[1], &seconds, sizeof(seconds)) == sizeof(seconds) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(read(result[0], &seconds, sizeof(seconds)), sizeof(seconds));
	(void)close(result[0]);
	(void)close(result[1]);
	return seconds;
}

static uint64_t count_events(struct reclaim *reclaim)
{
	struct reclaim_snapshot *s = NULL;
	uint64_t n = 0;

	assert_int_equal(reclaim_read(reclaim, &s, NULL), 0);
	for (size_t i = 0; i < s->latency->n; i++)
		n += s->latency->rows[i].hist.count;
	reclaim_snapshot_free(s);
	return n;
}

static void observing_costs_little(void **state)
{
	const struct reclaim_opts opts = {0};
	const char *dir = plant_cgroup("bench");
	_cleanup_free_ char *path = xasprintf("%s/stream", plant_dir());
	double without[ROUNDS], with[ROUNDS], a, b;
	uint64_t events = 0;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	(void)state;
	assert_int_equal(ftruncate(fd, (off_t)(STREAM_MIB * MIB)), 0);
	(void)close(fd);
	write_text(dir, host.cgroups.mode == CGROUP_V2 ? "memory.max" : "memory.limit_in_bytes",
		   "67108864");
	(void)stream(dir, path); /* warm */
	for (int i = 0; i < ROUNDS; i++) {
		struct reclaim *reclaim = NULL;

		without[i] = stream(dir, path);
		assert_int_equal(reclaim_open(&host, &opts, &reclaim, NULL), 0);
		with[i] = stream(dir, path);
		events = count_events(reclaim);
		reclaim_close(reclaim);
	}
	a = median(without, ROUNDS);
	b = median(with, ROUNDS);
	printf("reclaim: %d MiB through 64 MiB: %.3f s CPU without, %.3f s with observation (%+.2f "
	       "%%; "
	       "goal <= 1 %%), %" PRIu64 " reclaims, %+.2f us each\n",
	       STREAM_MIB, a, b, (b - a) / a * 100, events,
	       (b - a) * 1e6 / (double)(events ? events : 1));
}

static int setup(void **state)
{
	const struct host_paths paths = {"/proc", "/sys/fs/cgroup"};

	(void)state;
	return host_open(&host, &paths, NULL, NULL);
}

static int teardown(void **state)
{
	(void)state;
	plant_clean();
	host_close(&host);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(observing_costs_little),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
