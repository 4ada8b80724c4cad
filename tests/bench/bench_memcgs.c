/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU that the walk of memory cgroups takes for 10,000 removed ones, and beside it, round by round, what reading memory.stat of as
 * many live ones would: the only thing that tells their pages from outside, and it does not know a removed one. Needs root.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "instruments/cgroupfs.h"
#include "instruments/memcgs.h"
#include "support/median.h"
#include "support/zombies.h"

enum { ZOMBIES = 10000, LIVE = 200, ROUNDS = 15 };
#define LIMIT_MS      20.0
#define LIMIT_CALL_MS 1.0

struct rounds {
	double walk[ROUNDS], load[ROUNDS], call[ROUNDS], stat[ROUNDS];
	size_t seen;
};

static void walk_once(const struct root *proc, struct rounds *r, size_t i)
{
	const struct memcgs_opts opts = {0};
	struct memcgs_snapshot *s = NULL;

	assert_int_equal(memcgs_read(proc, &opts, &s, NULL), 0);
	r->walk[i] = (double)s->walk_cpu_ns / 1e6;
	r->load[i] = (double)(s->cpu_ns - s->walk_cpu_ns) / 1e6;
	r->call[i] = (double)s->bpf_max_call_ns / 1e6;
	r->seen = s->dying;
	assert_true(s->dying >= ZOMBIES - ZOMBIES / 100);
	memcgs_snapshot_free(s);
}

static void stat_once(const struct cgroupfs *cg, const char *parent, struct rounds *r, size_t i)
{
	uint64_t begin = clock_thread_cpu_ns();

	for (int k = 0; k < LIVE; k++) {
		_cleanup_free_ char *path = xasprintf("%s/l%d", parent, k);
		struct cgroup_stat stat;

		assert_int_equal(cgroupfs_stat(cg, path, &stat, NULL, NULL), 0);
	}
	r->stat[i] = (double)(clock_thread_cpu_ns() - begin) / 1e6 / LIVE * ZOMBIES;
}

static void bench_memcgs(void **state)
{
	const char *dir = plant_cgroup_parent("bench"), *parent = plant_cgroup_path(dir);
	struct plant_file f = plant_zombies(dir, ZOMBIES);
	struct cgroupfs cg = CGROUPFS_INIT;
	struct root proc = ROOT_INIT;
	struct rounds r = {0};
	double walk, best, call;

	(void)state;
	assert_int_equal(root_open(&proc, "/proc", NULL), 0);
	assert_int_equal(cgroupfs_open(&cg, "/sys/fs/cgroup", NULL), 0);
	for (int k = 0; k < LIVE; k++) {
		_cleanup_free_ char *path = xasprintf("%s/l%d", dir, k);

		assert_int_equal(mkdir(path, 0755), 0);
	}
	for (size_t i = 0; i < ROUNDS; i++) {
		plant_keep_warm(&f);
		walk_once(&proc, &r, i);
		stat_once(&cg, parent, &r, i);
	}
	for (int k = 0; k < LIVE; k++) {
		_cleanup_free_ char *path = xasprintf("%s/l%d", dir, k);

		plant_cgroup_remove(path);
	}
	walk = median(r.walk, ROUNDS);
	best = r.walk[0]; /* sorted: neighbours in the caches only add to it */
	call = median(r.call, ROUNDS);
	printf("memcgs: %zu removed: walk %.1f ms CPU, at best %.1f (limit %.0f), longest call "
	       "%.2f ms; loading "
	       "the "
	       "program %.0f ms; memory.stat of as many live ones %.0f ms, %.1f times as much "
	       "(medians "
	       "of %d)\n",
	       r.seen, walk, best, LIMIT_MS, call, median(r.load, ROUNDS), median(r.stat, ROUNDS),
	       median(r.stat, ROUNDS) / walk, ROUNDS);
	assert_true(best <= LIMIT_MS);
	assert_true(call < LIMIT_CALL_MS);
	plant_drop(&f);
	plant_close(&f);
	cgroupfs_close(&cg);
	root_close(&proc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(bench_memcgs, plant_teardown),
	};

	return cmocka_run_group_tests_name("bench_memcgs", tests, NULL, NULL);
}
