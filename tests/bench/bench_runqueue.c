/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What observing run queues and stalls costs where it costs most: two processes that pass a byte back and forth on one CPU, as
 * `perf bench sched pipe` does, which is a context switch for each system call. CPU time for each pass with nothing attached, with
 * ours, and with time stamps at wake-ups, the usual way. Interleaved, in a new order each round. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "instruments/bpf_load.h"
#include "instruments/runqueue.h"
#include "instruments/stalls.h"
#include "support/cpu_load.h"
#include "support/median.h"

#include "runqlat.skel.h"

enum { ROUNDS = 41, TIMES = 30000 };
#define GOAL_PERCENT 1.0

enum mode { NOTHING, EMPTY, RUN_QUEUE, STALLS, BOTH, BY_PID, TIME_STAMPS, MODES };

static const char *const names[MODES] = {
	[NOTHING] = "nothing",
	[EMPTY] = "a program that does nothing",
	[RUN_QUEUE] = "runqueue",
	[STALLS] = "stalls",
	[BOTH] = "runqueue and stalls",
	[BY_PID] = "runqueue without task storage",
	[TIME_STAMPS] = "time stamps at wake-ups (runqlat's way)",
};

struct attached {
	struct runqueue *rq;
	struct stalls *stalls;
	struct test_runqlat_bpf *skel;
};

static struct test_runqlat_bpf *attach_other(bool empty)
{
	BPF_OPEN_OPTS(open_opts);
	struct test_runqlat_bpf *skel = test_runqlat_bpf__open_opts(&open_opts);

	if (!skel)
		fail_msg("cannot open the other one");
	bpf_program__set_autoload(skel->progs.on_ref_nothing, empty);
	bpf_program__set_autoload(skel->progs.on_ref_wakeup, !empty);
	bpf_program__set_autoload(skel->progs.on_ref_new, !empty);
	bpf_program__set_autoload(skel->progs.on_ref_switch, !empty);
	if (test_runqlat_bpf__load(skel) || test_runqlat_bpf__attach(skel))
		fail_msg("cannot load the other one");
	return skel;
}

static struct attached attach(enum mode mode, const struct root *proc)
{
	const struct runqueue_opts opts = {.by_pid = mode == BY_PID};
	const struct stalls_opts stall_opts = {0};
	struct attached at = {0};
	struct err err = {0};

	if ((mode == RUN_QUEUE || mode == BOTH || mode == BY_PID) &&
	    runqueue_open(&opts, &at.rq, &err) < 0)
		fail_msg("%s", err.msg);
	if ((mode == STALLS || mode == BOTH) &&
	    stalls_open(proc, &stall_opts, &at.stalls, &err) < 0)
		fail_msg("%s", err.msg);
	if (mode == TIME_STAMPS || mode == EMPTY)
		at.skel = attach_other(mode == EMPTY);
	return at;
}

static void detach(struct attached *at)
{
	runqueue_close(at->rq);
	stalls_close(at->stalls);
	test_runqlat_bpf__destroy(at->skel);
}

/* A fixed shuffle, another one each round. */
static void shuffle(enum mode *order, uint64_t *seed)
{
	for (int i = MODES - 1; i > 0; i--) {
		enum mode old = order[i];
		int k;

		*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
		k = (int)((*seed >> 33) % (uint64_t)(i + 1));
		order[i] = order[k];
		order[k] = old;
	}
}

int main(void)
{
	static double ns[MODES][ROUNDS], ratio[ROUNDS], plain[ROUNDS];
	int cpu = (int)sysconf(_SC_NPROCESSORS_ONLN) - 1;
	enum mode order[MODES] = {NOTHING, EMPTY, RUN_QUEUE, STALLS, BOTH, BY_PID, TIME_STAMPS};
	_cleanup_root_ struct root proc = ROOT_INIT;
	double percents[MODES], own, theirs;
	uint64_t seed = 1;

	if (root_open(&proc, "/proc", NULL) < 0)
		return 1;
	(void)cpu_load_pingpong(cpu, TIMES); /* warm */
	for (int round = 0; round < ROUNDS; round++) {
		shuffle(order, &seed);
		for (int i = 0; i < MODES; i++) {
			struct attached at = attach(order[i], &proc);

			ns[order[i]][round] = (double)cpu_load_pingpong(cpu, TIMES) / TIMES;
			detach(&at);
		}
	}
	printf("bench_runqueue: %d rounds of %d round trips on CPU %d, CPU time of both "
	       "processes\n",
	       ROUNDS, TIMES, cpu);
	for (int mode = 0; mode < MODES; mode++) {
		for (int round = 0; round < ROUNDS; round++) {
			ratio[round] = ns[mode][round] / ns[NOTHING][round];
			plain[round] = ns[mode][round];
		}
		percents[mode] = 100 * (median(ratio, ROUNDS) - 1);
		printf("  %-42s %7.0f ns  %+5.1f %% (paired median; quartiles %+.1f, %+.1f)\n",
		       names[mode], median(plain, ROUNDS), percents[mode],
		       100 * (ratio[ROUNDS / 4] - 1), 100 * (ratio[ROUNDS * 3 / 4] - 1));
	}
	own = percents[RUN_QUEUE] - percents[EMPTY];
	theirs = percents[TIME_STAMPS] - percents[EMPTY];
	printf("  goal: runqueue <= %.0f %%: %s; stalls <= %.0f %%: %s; beyond a program that does "
	       "nothing, runqueue at most a quarter of time stamps: %s (%.1f and %.1f)\n",
	       GOAL_PERCENT, percents[RUN_QUEUE] <= GOAL_PERCENT ? "met" : "not met", GOAL_PERCENT,
	       percents[STALLS] <= GOAL_PERCENT ? "met" : "not met",
	       own <= theirs / 4 ? "met" : "NOT MET", own, theirs);
	/* The share of a switch depends on the machine and on who else uses it; how the two compare does not. */
	return own <= theirs / 4 ? 0 : 1;
}
