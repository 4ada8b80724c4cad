/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The run queue's waits against a second observer that takes time stamps at wake-ups, against /proc/schedstat where there is
 * one, and against cpu.stat; with planted holders of the CPU. Needs root.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "instruments/bpf_load.h"
#include "instruments/runqueue.h"
#include "support/bpf_seen.h"
#include "support/cpu_load.h"
#include "support/plant.h"

#include "runqlat.skel.h"

static const char *const our_programs[] = {"on_switch", "on_fork", "on_free", "count_tasks", NULL};
static int last_cpu; /* where loads are pinned */
static bool emulated;
/*
 * What lies between the two observers' time stamps is code; emulated, it takes some 20 us for each wait, which also carries
 * waits over the 1 ms of "slow".
 */
static double tolerance_percent = 1, tolerance_slow_percent = 1;

static struct runqueue *open_it(const struct runqueue_opts *opts)
{
	struct runqueue *rq = NULL;
	struct err err = {0};

	if (runqueue_open(opts, &rq, &err) < 0)
		fail_msg("runqueue_open: %s", err.msg);
	return rq;
}

static struct runqueue_snapshot *read_it(struct runqueue *rq)
{
	struct runqueue_snapshot *s = NULL;
	struct err err = {0};

	if (runqueue_read(rq, &s, &err) < 0)
		fail_msg("runqueue_read: %s", err.msg);
	return s;
}

static uint64_t cgroup_id(const char *dir)
{
	struct stat st;

	assert_int_equal(stat(dir, &st), 0);
	return st.st_ino;
}

static struct hist waits_of(const struct runqueue_snapshot *s, uint64_t id, uint32_t cause)
{
	struct hist none = {0};

	for (size_t i = 0; i < s->waits->n; i++)
		if (s->waits->rows[i].cgroup_id == id && s->waits->rows[i].cause == cause)
			return s->waits->rows[i].hist;
	return none;
}

/* --- against time stamps ---------------------------------------------------------------------------------------------- */

struct reference {
	uint64_t count, sum_ns, slow, slow_ns; /* as in runqlat.bpf.c */
};

static struct test_runqlat_bpf *open_reference(void)
{
	BPF_OPEN_OPTS(opts);
	struct test_runqlat_bpf *skel = test_runqlat_bpf__open_opts(&opts);

	assert_non_null(skel);
	assert_int_equal(test_runqlat_bpf__load(skel), 0);
	assert_int_equal(test_runqlat_bpf__attach(skel), 0);
	return skel;
}

static void pingpong(void *arg)
{
	(void)cpu_load_pingpong(last_cpu, *(unsigned int *)arg);
}

/* Many that live shortly, as a shell's commands do. */
static void short_lives(void *arg)
{
	(void)arg;
	for (int i = 0; i < 300; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			uint64_t end_ns = clock_mono_ns() + 3 * NSEC_PER_MSEC;

			while (clock_mono_ns() < end_ns)
				;
			_exit(0);
		}
		(void)waitpid(pid, NULL, 0);
	}
}

static void *spin_thread(void *arg)
{
	uint64_t end_ns = clock_mono_ns() + 2000 * NSEC_PER_MSEC;

	(void)arg;
	while (clock_mono_ns() < end_ns)
		;
	return NULL;
}

/* A process whose threads do the work. */
static void many_threads(void *arg)
{
	pthread_t threads[4];

	(void)arg;
	for (size_t i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, spin_thread, NULL) != 0)
			_exit(1);
	for (size_t i = 0; i < 4; i++)
		(void)pthread_join(threads[i], NULL);
}

/* Hogs that are moved about, some that sleep, a ping-pong, short lives; in the caller's cgroup. Waits for the word to go. */
static void mixed_load(void *arg)
{
	unsigned int times = 20000;
	pid_t loads[8];
	size_t n = 0;
	const struct cpu_load hog = {.cpu = -1, .length_ms = 2500};
	const struct cpu_load pinned = {.cpu = last_cpu, .length_ms = 2500};
	const struct cpu_load sleeper = {
		.cpu = -1, .busy_us = 300, .idle_us = 700, .length_ms = 2500};
	char c;

	if (read(*(int *)arg, &c, 1) != 1)
		_exit(1);
	loads[n++] = cpu_load_start(&hog);
	loads[n++] = cpu_load_start(&hog);
	loads[n++] = cpu_load_start(&pinned);
	loads[n++] = cpu_load_start(&sleeper);
	loads[n++] = cpu_load_start(&sleeper);
	loads[n++] = cpu_load_run(&pinned, pingpong, &times);
	loads[n++] = cpu_load_run(&pinned, short_lives, NULL);
	loads[n++] = cpu_load_run(&hog, many_threads, NULL);
	for (size_t i = 0; i < n; i++)
		if (cpu_load_wait(loads[i]) != 0)
			_exit(2);
}

static double percent_off(uint64_t a, uint64_t b)
{
	double diff = (double)a - (double)b;

	return b ? 100 * (diff < 0 ? -diff : diff) / (double)b : 100;
}

/* The kernel's own sum of all waits of all CPUs; -1: it shows none. */
static int64_t schedstat_ns(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/schedstat", "re");
	unsigned long long delay, sum = 0;
	char line[4096];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "cpu%*u %*u %*u %*u %*u %*u %*u %*u %llu", &delay) == 1)
			sum += delay;
	return f ? (int64_t)sum : -1;
}

static void check_node(const struct runqueue_snapshot *diff, int64_t before_ns, int64_t after_ns)
{
	uint64_t ours = 0;

	for (size_t i = 0; i < diff->waits->n; i++)
		ours += diff->waits->rows[i].hist.sum_ns;
	if (before_ns < 0) {
		print_message(
			"  the whole node: this kernel has no /proc/schedstat to compare with\n");
		return;
	}
	print_message("  the whole node: %.1f ms; /proc/schedstat %.1f ms\n", (double)ours / 1e6,
		      (double)(after_ns - before_ns) / 1e6);
	assert_true(percent_off(ours, (uint64_t)(after_ns - before_ns)) < 1);
}

static struct reference read_reference(const struct test_runqlat_bpf *skel, uint64_t id)
{
	struct reference ref = {0};

	(void)bpf_map_lookup_elem(bpf_map__fd(skel->maps.by_cgroup), &id, &ref);
	return ref;
}

static void compare(const struct runqueue_opts *opts)
{
	const char *cgroup = plant_cgroup(opts->by_pid ? "bypid" : "rq");
	uint64_t id = cgroup_id(cgroup), slow;
	struct test_runqlat_bpf *skel = open_reference();
	struct runqueue *rq = open_it(opts);
	struct runqueue_snapshot *before, *after, *diff;
	const struct cpu_load load = {.cgroups = {cgroup}, .cpu = -1};
	struct reference ref0, ref;
	int64_t node0_ns, node_ns;
	struct hist ours;
	pid_t child;
	int gate[2];

	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	child = cpu_load_run(&load, mixed_load, &gate[0]);
	(void)usleep(100000); /* it is in its cgroup then, and waits */
	node0_ns = schedstat_ns();
	before = read_it(rq);
	ref0 = read_reference(skel, id);
	assert_int_equal(write(gate[1], "", 1), 1);
	assert_int_equal(cpu_load_wait(child), 0);
	(void)usleep(300000); /* tasks are freed behind a grace period */
	ref = read_reference(skel, id);
	after = read_it(rq);
	node_ns = schedstat_ns();
	diff = runqueue_diff(before, after);
	ours = waits_of(diff, id, RUNQUEUE_CONTENTION);
	slow = ours.count - hist_count_le(&ours, 1000);
	ref.count -= ref0.count;
	ref.sum_ns -= ref0.sum_ns;
	ref.slow -= ref0.slow;
	print_message("  %s: %llu waits, %.3f ms in all, %llu above 1 ms; by time stamps %llu, "
		      "%.3f ms, %llu; off by %.3f %%, %.3f %%, %.3f %%; %llu not followed\n",
		      runqueue_method(rq), (unsigned long long)ours.count,
		      (double)ours.sum_ns / 1e6, (unsigned long long)slow,
		      (unsigned long long)ref.count, (double)ref.sum_ns / 1e6,
		      (unsigned long long)ref.slow, percent_off(ours.count, ref.count),
		      percent_off(ours.sum_ns, ref.sum_ns), percent_off(slow, ref.slow),
		      (unsigned long long)diff->stateless);
	runqueue_close(rq);
	test_runqlat_bpf__destroy(skel);
	check_node(diff, node0_ns, node_ns);
	assert_true(ref.sum_ns > 500 * NSEC_PER_MSEC && ref.slow > 100);
	assert_true(percent_off(ours.sum_ns, ref.sum_ns) < tolerance_percent);
	assert_true(percent_off(ours.count, ref.count) < 1);
	assert_true(percent_off(slow, ref.slow) < tolerance_slow_percent);
	assert_int_equal(diff->waits->lost, 0);
	assert_int_equal(diff->lost_holders, 0);
	runqueue_snapshot_free(before);
	runqueue_snapshot_free(after);
	runqueue_snapshot_free(diff);
	close(gate[0]);
	close(gate[1]);
}

static void test_same_as_time_stamps(void **state)
{
	const struct runqueue_opts opts = {0};

	(void)state;
	compare(&opts);
}

static void test_same_without_task_storage(void **state)
{
	const struct runqueue_opts opts = {.by_pid = true};

	(void)state;
	compare(&opts);
}

/* --- whose doing it is ------------------------------------------------------------------------------------------------ */

static void test_names_the_holder(void **state)
{
	const struct runqueue_opts opts = {0};
	const char *waiting = plant_cgroup("waiter"), *holding = plant_cgroup("holder");
	const struct cpu_load victim = {.name = "planted-victim",
					.cgroups = {waiting},
					.cpu = last_cpu,
					.busy_us = 100,
					.idle_us = 1000,
					.length_ms = 2000};
	const struct cpu_load culprit = {.name = "planted-holder",
					 .cgroups = {holding},
					 .cpu = last_cpu,
					 .fifo_priority = 5,
					 .busy_us = 40000,
					 .idle_us = 60000};
	struct runqueue *rq = open_it(&opts);
	const struct runqueue_holder *found = NULL;
	struct runqueue_snapshot *before = read_it(rq), *after, *diff;
	uint64_t waited_ns = 0;
	struct hist hist;
	pid_t holder;

	(void)state;
	holder = cpu_load_start(&culprit);
	assert_int_equal(cpu_load_wait(cpu_load_start(&victim)), 0);
	cpu_load_stop(holder);
	after = read_it(rq);
	diff = runqueue_diff(before, after);
	for (size_t i = 0; i < diff->n_holders; i++) {
		const struct runqueue_holder *h = &diff->holders[i];

		if (h->waiter_id != cgroup_id(waiting))
			continue;
		print_message("  cgroup %llu: %llu waits, %.1f ms, of these held %.1f\n",
			      (unsigned long long)h->holder_id, (unsigned long long)h->count,
			      (double)h->wait_ns / 1e6, (double)h->held_ns / 1e6);
		waited_ns += h->wait_ns;
		if (h->holder_id == cgroup_id(holding))
			found = h;
	}
	assert_non_null(found);
	hist = waits_of(diff, cgroup_id(waiting), RUNQUEUE_CONTENTION);
	print_message("  %llu waits, %.1f ms, for %s (pid %u), which held the CPU for %.1f ms of "
		      "that; victim %s; longest %.1f ms\n",
		      (unsigned long long)found->count, (double)found->wait_ns / 1e6,
		      found->holder_comm, found->holder_pid, (double)found->held_ns / 1e6,
		      found->waiter_comm, (double)hist.max_ns / 1e6);
	assert_string_equal(found->holder_comm, "planted-holder");
	assert_string_equal(found->waiter_comm, "planted-victim");
	assert_int_equal(found->holder_pid, holder);
	assert_true(found->count >= (emulated ? 3 : 10));
	/* It is to blame for most of the long waits and of their time; others may be at work on that CPU too. */
	assert_true(found->wait_ns >= waited_ns / 3 * 2);
	assert_true(found->held_ns >= found->wait_ns / 3 * 2);
	assert_true(hist.max_ns >= 35 * NSEC_PER_MSEC);
	if (!emulated)
		assert_true(hist.max_ns <= 80 * NSEC_PER_MSEC);
	runqueue_snapshot_free(before);
	runqueue_snapshot_free(after);
	runqueue_snapshot_free(diff);
	runqueue_close(rq);
}

/* --- CPU quota -------------------------------------------------------------------------------------------------------- */

/* A cgroup of the cpu controller with a tenth of a CPU; NULL: this machine has no cpu controller to use. */
static char *plant_quota(const char *memory_cgroup, bool *ret_v2)
{
	static const char *const v1[] = {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"};
	char *dir = NULL;
	int fd;

	*ret_v2 = access("/sys/fs/cgroup/cgroup.controllers", F_OK) == 0;
	if (*ret_v2) {
		fd = open("/sys/fs/cgroup/cgroup.subtree_control", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "+cpu", 4) != 4)
			return NULL;
		close(fd);
		dir = xstrdup(memory_cgroup);
	}
	for (size_t i = 0; i < 2 && !dir; i++)
		if (access(v1[i], F_OK) == 0)
			dir = xasprintf("%s/memdiag-test-%d", v1[i], getpid());
	if (!dir || (mkdir(dir, 0755) < 0 && errno != EEXIST)) {
		free(dir);
		return NULL;
	}
	return dir;
}

static void write_file(const char *dir, const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail_msg("write %s: %s", path, strerror(errno));
}

static uint64_t throttled_ns(const char *dir, bool v2)
{
	_cleanup_free_ char *path = xasprintf("%s/cpu.stat", dir);
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	unsigned long long value;
	char key[64];

	assert_non_null(f);
	while (fscanf(f, "%63s %llu", key, &value) == 2)
		if (strcmp(key, v2 ? "throttled_usec" : "throttled_time") == 0)
			return value * (v2 ? 1000 : 1);
	fail_msg("%s has no throttled time", path);
	return 0;
}

static void test_throttling_is_apart(void **state)
{
	const struct runqueue_opts opts = {0};
	const char *memory = plant_cgroup("quota");
	bool v2;
	_cleanup_free_ char *cpu = plant_quota(memory, &v2);
	struct cpu_load hog = {.cgroups = {memory, cpu}, .cpu = last_cpu, .length_ms = 2000};
	struct hist throttled, contended;
	struct runqueue_snapshot *s;
	struct runqueue *rq;
	uint64_t kernel_ns;

	(void)state;
	if (!cpu) {
		print_message("  skipped: no cpu controller to set a quota with\n");
		skip();
	}
	if (v2) {
		write_file(cpu, "cpu.max", "10000 100000");
	} else {
		write_file(cpu, "cpu.cfs_period_us", "100000");
		write_file(cpu, "cpu.cfs_quota_us", "10000");
	}
	rq = open_it(&opts);
	assert_int_equal(cpu_load_wait(cpu_load_start(&hog)), 0);
	kernel_ns = throttled_ns(cpu, v2);
	(void)usleep(100000);
	s = read_it(rq);
	throttled = waits_of(s, cgroup_id(memory), RUNQUEUE_THROTTLED);
	contended = waits_of(s, cgroup_id(memory), RUNQUEUE_CONTENTION);
	print_message("  throttled: %llu waits, %.1f ms (cpu.stat: %.1f ms); contention: %.1f ms\n",
		      (unsigned long long)throttled.count, (double)throttled.sum_ns / 1e6,
		      (double)kernel_ns / 1e6, (double)contended.sum_ns / 1e6);
	assert_true(kernel_ns > 1000 * NSEC_PER_MSEC);
	/* Such a wait ends with one for the CPU, which others may have; in an emulated machine there is nobody else. */
	assert_true(throttled.sum_ns >= kernel_ns / 10 * 9 &&
		    throttled.sum_ns <= kernel_ns / 2 * 3);
	if (emulated)
		assert_true(percent_off(throttled.sum_ns, kernel_ns) < 10);
	assert_true(contended.sum_ns < throttled.sum_ns);
	for (size_t i = 0; i < s->n_holders; i++) /* nobody is blamed for it */
		assert_false(s->holders[i].waiter_id == cgroup_id(memory) &&
			     s->holders[i].wait_ns > throttled.sum_ns / 2);
	runqueue_snapshot_free(s);
	runqueue_close(rq);
	if (!v2)
		plant_cgroup_remove(cpu);
}

/* --- coming and going ------------------------------------------------------------------------------------------------- */

static void test_only_grows(void **state)
{
	const struct runqueue_opts opts = {0};
	struct runqueue *rq = open_it(&opts);
	struct runqueue_snapshot *old = read_it(rq);
	const struct cpu_load load = {.cpu = -1, .busy_us = 500, .idle_us = 500, .length_ms = 1500};
	uint64_t end_ns = clock_mono_ns() + 2 * NSEC_PER_SEC;
	size_t reads = 0;

	(void)state;
	for (int i = 0; i < 6; i++)
		(void)cpu_load_start(&load);
	while (clock_mono_ns() < end_ns) {
		struct runqueue_snapshot *now = read_it(rq);

		for (size_t i = 0; i < old->waits->n; i++) {
			const struct latency_row *row = &old->waits->rows[i];
			struct hist hist = waits_of(now, row->cgroup_id, row->cause);

			assert_true(hist.count >= row->hist.count);
			assert_true(hist.sum_ns >= row->hist.sum_ns);
			for (size_t k = 0; k < HIST_BUCKETS; k++)
				assert_true(hist.buckets[k] >= row->hist.buckets[k]);
		}
		runqueue_snapshot_free(old);
		old = now;
		reads++;
	}
	print_message("  %zu snapshots, every counter grew or stayed; %llu tasks\n", reads,
		      (unsigned long long)old->tasks);
	assert_true(reads > 2);
	runqueue_snapshot_free(old);
	runqueue_close(rq);
}

static unsigned int init_threads(void)
{
	DIR *dir = opendir("/proc/1/task");
	unsigned int n = 0;

	while (dir && readdir(dir))
		n++;
	if (dir)
		(void)closedir(dir);
	return n;
}

static void *sleep_thread(void *arg)
{
	char c;

	(void)!read(*(int *)arg, &c, 1);
	return NULL;
}

/* Also threads that were there before, of every process. */
static void test_sees_every_thread(void **state)
{
	const struct runqueue_opts opts = {0};
	unsigned int running, all = 0;
	_cleanup_fclose_ FILE *f = NULL;
	pthread_t threads[50];
	struct runqueue_snapshot *s;
	struct runqueue *rq;
	int gate[2];

	(void)state;
	assert_int_equal(pipe2(gate, O_CLOEXEC), 0);
	for (size_t i = 0; i < 50; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, sleep_thread, &gate[0]), 0);
	rq = open_it(&opts);
	s = read_it(rq);
	f = fopen("/proc/loadavg", "re");
	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*f %*f %*f %u/%u", &running, &all), 2);
	print_message("  %llu tasks seen, %u by /proc/loadavg\n", (unsigned long long)s->tasks,
		      all);
	/* Others come and go meanwhile; a sandbox may hide its own init from BPF, threads and all. */
	assert_true(s->tasks + 10 + init_threads() >= all && s->tasks <= all + 10);
	runqueue_snapshot_free(s);
	runqueue_close(rq);
	close(gate[1]);
	for (size_t i = 0; i < 50; i++)
		(void)pthread_join(threads[i], NULL);
	close(gate[0]);
}

static void *open_plain(void)
{
	const struct runqueue_opts opts = {0};
	struct runqueue *opened = NULL;

	return runqueue_open(&opts, &opened, NULL) < 0 ? NULL : opened;
}

static void close_plain(void *opened)
{
	runqueue_close(opened);
}

static void test_leaves_nothing(void **state)
{
	(void)state;
	bpf_seen_leaves_nothing(our_programs, 4, open_plain, close_plain);
}

static int clean(void **state)
{
	(void)state;
	cpu_load_clean();
	plant_clean();
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_same_as_time_stamps, clean),
		cmocka_unit_test_teardown(test_same_without_task_storage, clean),
		cmocka_unit_test_teardown(test_names_the_holder, clean),
		cmocka_unit_test_teardown(test_throttling_is_apart, clean),
		cmocka_unit_test_teardown(test_only_grows, clean),
		cmocka_unit_test_teardown(test_sees_every_thread, clean),
		cmocka_unit_test_teardown(test_leaves_nothing, clean),
	};

	emulated = getenv("MEMDIAG_TEST_EMULATED") != NULL;
	if (emulated) {
		tolerance_percent = 6;
		tolerance_slow_percent = 20;
	}
	if (argc > 1) /* a test's name, with * */
		cmocka_set_test_filter(argv[1]);
	last_cpu = (int)sysconf(_SC_NPROCESSORS_ONLN) - 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
