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

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "instruments/host.h"
#include "instruments/reclaim.h"
#include "support/median.h"
#include "support/plant.h"

#define MIB ((uint64_t)1 << 20)

/* Reads a sparse file: nothing but page cache that comes and is reclaimed, so no disk hides what we cost. */
enum { ROUNDS = 15, STREAM_MIB = 2048 };

static struct host host = HOST_INIT;

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

/* What the kernel says that our programs took; several of that name are added up. */
static uint64_t program_ns(void)
{
	__u32 id = 0;
	uint64_t ns = 0;

	while (bpf_prog_get_next_id(id, &id) == 0) {
		struct bpf_prog_info info = {0};
		__u32 size = sizeof(info);
		_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &size) == 0 &&
		    (strcmp(info.name, "memcg_begin") == 0 || strcmp(info.name, "memcg_end") == 0))
			ns += info.run_time_ns;
	}
	return ns;
}

/* The difference between two noisy numbers, and the programs' own time, which is not noisy. */
static void print_costs(double without, double with, uint64_t events, uint64_t ns)
{
	double n = events ? (double)events : 1;

	printf("reclaim: %d MiB through 64 MiB: %.3f s CPU without, %.3f s with observation (%+.2f "
	       "%%)\n",
	       STREAM_MIB, without, with, (with - without) / without * 100);
	printf("reclaim: %" PRIu64
	       " reclaims, %.2f us of BPF each: %.2f %% of the CPU time (goal <= 1 %%)\n",
	       events, (double)ns / 1e3 / n, (double)ns / 1e9 / without * 100);
}

static void observing_costs_little(void **state)
{
	const struct reclaim_opts opts = {0};
	const char *dir = plant_cgroup("bench");
	_cleanup_free_ char *path = xasprintf("%s/stream", plant_dir());
	double without[ROUNDS], with[ROUNDS];
	int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	uint64_t events = 0, ns = 0;
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
		ns = program_ns();
		with[i] = stream(dir, path);
		ns = program_ns() - ns;
		events = count_events(reclaim);
		reclaim_close(reclaim);
	}
	print_costs(median(without, ROUNDS), median(with, ROUNDS), events, ns);
	(void)close(stats);
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
