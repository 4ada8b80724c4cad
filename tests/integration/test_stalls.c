/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stalls that are planted: a BPF program that runs for 100 ms without scheduling while another task waits for its CPU, or from a
 * timer with interrupts off. And none where none is: stress-ng on all CPUs for a minute. Needs root, and Debian's stress-ng.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "instruments/bpf_load.h"
#include "instruments/ksyms.h"
#include "instruments/stalls.h"
#include "support/bpf_seen.h"
#include "support/cpu_load.h"
#include "support/plant.h"

#include "spin.skel.h"

enum { PLANTED_MS = 100 };

static const char *const our_programs[] = {"on_tick", "on_clock", "find_wakeup", "find_switch",
					   NULL};
static struct root proc = ROOT_INIT;
static int last_cpu;
static bool
	emulated; /* both virtual CPUs take turns on one thread: ticks come late there as they please */

static struct stalls *open_it(const struct stalls_opts *opts)
{
	struct stalls *stalls = NULL;
	struct err err = {0};

	if (stalls_open(&proc, opts, &stalls, &err) < 0)
		fail_msg("stalls_open: %s", err.msg);
	return stalls;
}

static struct stalls_snapshot *read_it(struct stalls *stalls)
{
	struct stalls_snapshot *s = NULL;
	struct err err = {0};

	if (stalls_read(stalls, 0, &s, &err) < 0)
		fail_msg("stalls_read: %s", err.msg);
	return s;
}

static void print_event(const struct ksyms *symbols, const struct stalls_event *event)
{
	char name[KSYMS_NAME_MAX];

	print_message(
		"  %s %.1f ms cpu%u %s (%u):", event->kind == STALLS_IRQ_OFF ? "irq-off" : "stall",
		(double)event->duration_ns / 1e6, event->cpu, event->comm, event->pid);
	for (uint32_t i = 0; i < event->n_frames && i < 14; i++)
		print_message(" %s", ksyms_name(symbols, event->frames[i], name, sizeof(name)));
	print_message("\n");
}

/* --- planting --------------------------------------------------------------------------------------------------------- */

struct planted {
	struct test_spin_bpf *skel;
	int result[2];
};

static uint64_t spin(struct test_spin_bpf *skel, uint64_t turns)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	uint64_t begin_ns = clock_thread_cpu_ns();

	skel->bss->turns = turns;
	(void)bpf_prog_test_run_opts(bpf_program__fd(skel->progs.spin), &run);
	return clock_thread_cpu_ns() - begin_ns; /* without the wait for the CPU that follows */
}

/* What 1000 turns take. An emulated CPU's clock may stand still for one try. */
static uint64_t thousand_turns_ns(struct test_spin_bpf *skel)
{
	uint64_t best_ns = UINT64_MAX;

	for (int i = 0; i < 20 || best_ns == UINT64_MAX; i++) {
		uint64_t ns = spin(skel, 1000);

		best_ns = ns > 0 && ns < best_ns ? ns : best_ns;
	}
	return best_ns;
}

/* In a process of its own, on a CPU that another one wants: measures how long a turn takes, then stalls. Tells for how long. */
static void stall(void *arg)
{
	struct planted *planted = arg;
	uint64_t best_ns = thousand_turns_ns(planted->skel), ns;

	(void)usleep(20000);
	ns = spin(planted->skel, PLANTED_MS * NSEC_PER_MSEC * 1000 / best_ns);
	if (write(planted->result[1], &ns, sizeof(ns)) != sizeof(ns))
		_exit(1);
}

static struct test_spin_bpf *open_spin(void)
{
	BPF_OPEN_OPTS(opts);
	struct bpf_load told = bpf_load_begin();
	struct test_spin_bpf *skel = test_spin_bpf__open_opts(&opts);
	int r = skel ? test_spin_bpf__load(skel) : -1;

	(void)bpf_load_end(&told, 0, "", NULL);
	if (r < 0) {
		test_spin_bpf__destroy(skel);
		return NULL;
	}
	return skel;
}

/* Whether that function is among the first after the interrupt's own. */
static bool is_on_top(const struct ksyms *symbols, const struct stalls_event *event,
		      const char *function)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < event->n_frames; i++) {
		const char *name = ksyms_function(symbols, event->frames[i]);

		if (name &&
		    (strncmp(name, "asm_sysvec", 10) == 0 || strncmp(name, "el1h_64_irq", 11) == 0))
			at = i + 1;
	}
	for (uint32_t i = at; i < event->n_frames && i < at + 6; i++) {
		const char *name = ksyms_function(symbols, event->frames[i]);

		if (name && strstr(name, function))
			return true;
	}
	return false;
}

static void plant_and_find(const struct stalls_opts *opts)
{
	const char *cgroup = plant_cgroup(opts->by_clock ? "clock" : "stall");
	const struct cpu_load competitor = {.cpu = last_cpu, .length_ms = 1500};
	const struct cpu_load culprit = {
		.name = "planted-stall", .cgroups = {cgroup}, .cpu = last_cpu};
	struct planted planted = {.skel = open_spin()};
	const struct stalls_event *found = NULL;
	struct stalls *stalls;
	struct stalls_snapshot *s;
	struct ksyms *symbols = NULL;
	uint64_t real_ns = 0;
	struct stat st;
	size_t n = 0;
	pid_t pid, other;

	if (!planted.skel) {
		print_message("  skipped: no bpf_loop() to plant a stall with (before 5.17)\n");
		skip();
	}
	assert_int_equal(pipe2(planted.result, O_CLOEXEC), 0);
	assert_int_equal(stat(cgroup, &st), 0);
	stalls = open_it(opts);
	other = cpu_load_start(&competitor);
	pid = cpu_load_run(&culprit, stall, &planted);
	assert_int_equal(read(planted.result[0], &real_ns, sizeof(real_ns)), sizeof(real_ns));
	assert_int_equal(cpu_load_wait(pid), 0);
	assert_int_equal(cpu_load_wait(other), 0);
	s = read_it(stalls);
	(void)ksyms_load(&proc, &symbols, NULL);
	for (size_t i = 0; i < s->n_events; i++) {
		print_event(symbols, &s->events[i]);
		if (s->events[i].cgroup != st.st_ino || s->events[i].kind != STALLS_NO_SCHED)
			continue;
		if (!found || s->events[i].duration_ns > found->duration_ns)
			found = &s->events[i];
		n++;
	}
	print_message("  %s: planted %.1f ms; %llu ticks looked at\n", stalls_method(stalls),
		      (double)real_ns / 1e6, (unsigned long long)s->ticks);
	stalls_close(stalls);
	assert_true(n >= 1);
	if (!emulated) /* there already the measuring beforehand may be slow enough to be one */
		assert_int_equal(n, 1);
	assert_string_equal(found->comm, "planted-stall");
	assert_int_equal(found->pid, pid);
	assert_int_equal(found->cpu, last_cpu);
	/* The loop's program, or what it calls: the tick may come in either. */
	assert_true(is_on_top(symbols, found, "_spin"));
	if (!emulated) {
		/* What was planted depends on the CPU's speed then; what was seen must be that, to a tick or two. */
		assert_true(real_ns >= 70 * NSEC_PER_MSEC && real_ns <= 140 * NSEC_PER_MSEC);
		assert_true(found->duration_ns + 10 * NSEC_PER_MSEC >= real_ns &&
			    found->duration_ns <= real_ns + 12 * NSEC_PER_MSEC);
	}
	ksyms_free(symbols);
	stalls_snapshot_free(s);
	test_spin_bpf__destroy(planted.skel);
	close(planted.result[0]);
	close(planted.result[1]);
}

static void test_finds_a_planted_stall(void **state)
{
	const struct stalls_opts opts = {0};

	(void)state;
	plant_and_find(&opts);
}

static void test_finds_it_by_clock(void **state)
{
	const struct stalls_opts opts = {.by_clock = true};

	(void)state;
	plant_and_find(&opts);
}

/* --- interrupts off --------------------------------------------------------------------------------------------------- */

enum { IRQ_OFF_MS = 30 };

/* Is in the kernel nearly all the time: a late tick that finds user space is a stolen CPU. */
static void read_zeros(void *arg)
{
	size_t size = 8 << 20;
	char *buffer = xmalloc(size);
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	(void)arg;
	for (;;)
		if (read(fd, buffer, size) <= 0)
			_exit(1);
}

/* A timer of that CPU, which runs with interrupts off. */
static struct bpf_link *attach_timer(struct test_spin_bpf *skel, int cpu)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.size = sizeof(attr),
		.sample_period = 300 * NSEC_PER_MSEC,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	struct bpf_link *link = fd < 0 ? NULL
				       : bpf_program__attach_perf_event(skel->progs.spin_irq, fd);

	if (!link)
		fail_msg("cannot attach to a timer: %s", strerror(errno));
	return link; /* has the descriptor */
}

static void test_finds_interrupts_off(void **state)
{
	const struct stalls_opts opts = {0};
	const struct cpu_load reader = {.name = "reader", .cpu = last_cpu};
	struct test_spin_bpf *skel = open_spin();
	const struct stalls_event *found = NULL;
	struct bpf_link *timer;
	struct stalls *stalls;
	struct stalls_snapshot *s;
	struct ksyms *symbols = NULL;
	uint64_t ns;
	pid_t pid;

	(void)state;
	if (!skel) {
		print_message(
			"  skipped: no bpf_loop() to keep interrupts off with (before 5.17)\n");
		skip();
	}
	ns = thousand_turns_ns(skel);
	stalls = open_it(&opts);
	pid = cpu_load_run(&reader, read_zeros, NULL);
	skel->bss->turns = IRQ_OFF_MS * NSEC_PER_MSEC * 1000 / ns;
	skel->bss->irqs_left = 1;
	timer = attach_timer(skel, last_cpu);
	for (int i = 0; i < 100 && !skel->bss->irq_ns; i++)
		(void)usleep(50000);
	(void)usleep(50000);
	bpf_link__destroy(timer);
	cpu_load_stop(pid);
	s = read_it(stalls);
	(void)ksyms_load(&proc, &symbols, NULL);
	ns = skel->bss->irq_ns;
	for (size_t i = 0; i < s->n_events; i++) {
		print_event(symbols, &s->events[i]);
		if (s->events[i].kind == STALLS_IRQ_OFF && s->events[i].cpu == (uint32_t)last_cpu &&
		    (!found || s->events[i].duration_ns > found->duration_ns))
			found = &s->events[i];
	}
	print_message("  interrupts were off for %.1f ms\n", (double)ns / 1e6);
	ksyms_free(symbols);
	stalls_close(stalls);
	test_spin_bpf__destroy(skel);
	assert_non_null(found);
	assert_string_equal(found->comm, "reader");
	/* The tick that came late was due up to 4 ms after interrupts went off (100 Hz: 10 ms). */
	if (!emulated)
		assert_true(found->duration_ns + 10 * NSEC_PER_MSEC >= ns &&
			    found->duration_ns <= ns + 5 * NSEC_PER_MSEC);
	stalls_snapshot_free(s);
}

/* --- nothing where there is nothing ----------------------------------------------------------------------------------- */

enum { QUIET_MS = 60000, QUIET_MS_EMULATED = 5000 };

/* What everybody makes CPUs busy with; it ends by itself after QUIET_MS. Becomes it. */
static void stress(void *arg)
{
	char workers[16], timeout[16];

	(void)arg;
	(void)snprintf(workers, sizeof(workers), "%ld", 2 * sysconf(_SC_NPROCESSORS_ONLN));
	(void)snprintf(timeout, sizeof(timeout), "%ds", QUIET_MS / 1000);
	(void)execlp("stress-ng", "stress-ng", "--quiet", "--cpu", workers, "--timeout", timeout,
		     NULL);
	(void)fprintf(stderr, "stress-ng: %s (hack/install-deps.sh test installs it)\n",
		      strerror(errno));
	_exit(127);
}

/* More work than CPUs, and some that sleep and want a CPU back. There is no stress-ng in the emulated machines. */
static size_t start_load(pid_t *pids)
{
	const uint64_t length_ms = emulated ? QUIET_MS_EMULATED : QUIET_MS;
	const struct cpu_load hog = {.cpu = -1, .length_ms = length_ms};
	const struct cpu_load plain = {.cpu = -1};
	const struct cpu_load sleeper = {
		.cpu = -1, .busy_us = 2000, .idle_us = 500, .length_ms = length_ms};
	long hogs = 2 * sysconf(_SC_NPROCESSORS_ONLN);
	size_t n = 0;

	if (!emulated)
		pids[n++] = cpu_load_run(&plain, stress, NULL);
	for (long i = 0; emulated && i < hogs && n < 60; i++)
		pids[n++] = cpu_load_start(&hog);
	for (int i = 0; i < 4; i++)
		pids[n++] = cpu_load_start(&sleeper);
	return n;
}

/* Whether the interrupt came from user space: nothing of the kernel's is behind its entry. */
static bool from_user_space(const struct ksyms *symbols, const struct stalls_event *event)
{
	const char *name = event->n_frames == 0 || event->n_frames == STALLS_FRAMES
				   ? NULL
				   : ksyms_function(symbols, event->frames[event->n_frames - 1]);

	return name &&
	       (strncmp(name, "asm_sysvec", 10) == 0 || strncmp(name, "el0t_64_irq", 11) == 0);
}

static void test_no_false_stalls(void **state)
{
	const struct stalls_opts opts = {0};
	const uint64_t length_ms = emulated ? QUIET_MS_EMULATED : QUIET_MS;
	struct stalls *stalls = open_it(&opts);
	uint64_t begin_ns = clock_mono_ns();
	struct ksyms *symbols = NULL;
	pid_t pids[64];
	struct stalls_snapshot *s;
	size_t n, false_ones = 0, blamed = 0;

	(void)state;
	n = start_load(pids);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(cpu_load_wait(pids[i]), 0);
	assert_true(clock_mono_ns() - begin_ns >= length_ms * NSEC_PER_MSEC);
	s = read_it(stalls);
	(void)ksyms_load(&proc, &symbols, NULL);
	for (size_t i = 0; i < s->n_events; i++) {
		print_event(symbols, &s->events[i]);
		false_ones += s->events[i].kind == STALLS_NO_SCHED;
		blamed += s->events[i].kind == STALLS_IRQ_OFF &&
			  from_user_space(symbols, &s->events[i]);
	}
	print_message(
		"  %llu ticks, %zu stalls, %llu late ticks from user space (%.1f ms stolen)\n",
		(unsigned long long)s->ticks, false_ones, (unsigned long long)s->stolen,
		(double)s->stolen_ns / 1e6);
	assert_true(s->ticks > length_ms / 10);
	assert_int_equal(blamed, 0);
	if (!emulated)
		assert_int_equal(false_ones, 0);
	ksyms_free(symbols);
	stalls_snapshot_free(s);
	stalls_close(stalls);
}

static void *open_plain(void)
{
	const struct stalls_opts opts = {0};
	struct stalls *opened = NULL;

	return stalls_open(&proc, &opts, &opened, NULL) < 0 ? NULL : opened;
}

static void close_plain(void *opened)
{
	stalls_close(opened);
}

static void test_leaves_nothing(void **state)
{
	(void)state;
	bpf_seen_leaves_nothing(our_programs, 1, open_plain, close_plain);
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
		cmocka_unit_test_teardown(test_finds_a_planted_stall, clean),
		cmocka_unit_test_teardown(test_finds_it_by_clock, clean),
		cmocka_unit_test_teardown(test_finds_interrupts_off, clean),
		cmocka_unit_test_teardown(test_no_false_stalls, clean),
		cmocka_unit_test_teardown(test_leaves_nothing, clean),
	};
	struct err err = {0};
	int failed;

	emulated = getenv("MEMDIAG_TEST_EMULATED") != NULL;
	if (argc > 1) /* a test's name, with * */
		cmocka_set_test_filter(argv[1]);
	last_cpu = (int)sysconf(_SC_NPROCESSORS_ONLN) - 1;
	if (root_open(&proc, "/proc", &err) < 0) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	root_close(&proc);
	return failed;
}
