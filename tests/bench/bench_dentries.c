/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of dentries: everything, one slab in 16, one block of pages in 16; over a million planted dentries. Same process,
 * rounds in turns, medians. Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "instruments/dentries.h"
#include "support/median.h"
#include "support/plant.h"

#define ROUNDS	   7
#define PLANTED	   1000000
#define LIMIT_CALL 1e6

struct way {
	const char *name;
	uint32_t every;
	bool blocks;
	double walk_ns[ROUNDS], off[ROUNDS], call_ns[ROUNDS];
};

static void plant_missing(const char *dir)
{
	_cleanup_close_ int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	char name[32];

	assert_true(fd >= 0);
	for (int i = 0; i < PLANTED; i++) {
		(void)snprintf(name, sizeof(name), "missing-%d", i);
		assert_int_equal(fstatat(fd, name, &st, 0), -1);
	}
}

static void measure(const struct root *proc, struct way *way, int round, uint64_t *ret_pfns,
		    uint64_t *ret_objects)
{
	const struct dentries_opts opts = {
		.top = 1, .sample_every = way->every, .sample_blocks = way->blocks};
	struct dentries_snapshot *s = NULL;
	struct err err = {0};
	double truth = PLANTED, said;

	if (dentries_read(proc, &opts, &s, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(s->n_directories, 1);
	said = (double)s->directories[0].dentries.entries;
	way->walk_ns[round] = (double)s->walk_cpu_ns;
	way->off[round] = (said > truth ? said - truth : truth - said) / truth * 100;
	way->call_ns[round] = (double)s->bpf_max_call_ns;
	*ret_pfns = s->pfns;
	if (way->every == 1)
		*ret_objects = s->objects;
	dentries_snapshot_free(s);
}

static void bench_dentries(void **state)
{
	struct way ways[] = {{.name = "everything", .every = 1},
			     {.name = "slabs, 1 in 16", .every = 16},
			     {.name = "blocks, 1 in 16", .every = 16, .blocks = true}};
	uint64_t pfns = 0, objects = 0;
	struct root proc = ROOT_INIT;
	double full, call;

	(void)state;
	assert_int_equal(root_open(&proc, "/proc", NULL), 0);
	plant_missing(plant_dir());
	for (int round = 0; round < ROUNDS; round++)
		for (size_t i = 0; i < ARRAY_SIZE(ways); i++)
			measure(&proc, &ways[i], round, &pfns, &objects);
	full = median(ways[0].walk_ns, ROUNDS);
	call = median(ways[0].call_ns, ROUNDS);
	printf("dentries: %llu objects in %llu page frames: %.1f ms, %.1f ns an object; longest "
	       "call %.3f ms\n",
	       (unsigned long long)objects, (unsigned long long)pfns, full / 1e6,
	       full / (double)objects, call / 1e6);
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		double ns = median(ways[i].walk_ns, ROUNDS);

		printf("dentries: %-16s %7.1f ms CPU, %5.1f ns a page frame, 1/%.1f of everything; "
		       "the planted million off by %.2f %%\n",
		       ways[i].name, ns / 1e6, ns / (double)pfns, full / ns,
		       median(ways[i].off, ROUNDS));
	}
	root_close(&proc);
	assert_true(call < LIMIT_CALL);
	assert_true(median(ways[1].walk_ns, ROUNDS) < full);
	assert_true(median(ways[2].walk_ns, ROUNDS) < median(ways[1].walk_ns, ROUNDS));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(bench_dentries, plant_teardown),
	};

	return cmocka_run_group_tests_name("bench_dentries", tests, NULL, NULL);
}
