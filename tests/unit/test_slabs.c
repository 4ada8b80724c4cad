/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/slabinfo's parser, and what the walk of dentries counts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "instruments/dentries_table.h"
#include "instruments/slabs.h"

#define HEAD                                                                        \
	"slabinfo - version: 2.1\n"                                                 \
	"# name            <active_objs> <num_objs> <objsize> <objperslab> "        \
	"<pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata " \
	"<active_slabs> <num_slabs> <sharedavail>\n"
#define TUNABLES " : tunables    0    0    0 : slabdata "

static void caches_are_read(void **state)
{
	struct slabs_snapshot *s =
		slabs_parse(HEAD "dentry 181251 181260 192 21 1" TUNABLES "8631 8632 0\n"
				 "ext4_inode_cache  135870 135870   1128   14    4" TUNABLES
				 "  9705   9705      0\n"
				 "name with blanks  1 2 3 4 5" TUNABLES "6 7 8\n"
				 "kmalloc-8 0 0 8 512 1" TUNABLES "0 0 0\n",
			    4096);
	const struct slab_cache *c;

	(void)state;
	assert_int_equal(s->n, 4);
	assert_int_equal(s->notes.n, 0);
	assert_string_equal(s->caches[0].name, "ext4_inode_cache");
	assert_int_equal(s->caches[0].bytes, 9705 * 4 * 4096);
	assert_string_equal(s->caches[1].name, "dentry");
	assert_int_equal(s->caches[1].bytes, 8632 * 4096);
	assert_int_equal(s->caches[1].active, 181251);
	assert_int_equal(s->caches[1].objects, 181260);
	assert_int_equal(s->caches[1].object_size, 192);
	assert_int_equal(s->caches[1].reclaim, SLAB_RECLAIM_UNKNOWN);
	c = slabs_find(s, "name with blanks");
	assert_non_null(c);
	assert_int_equal(c->bytes, 7 * 5 * 4096);
	assert_null(slabs_find(s, "dent"));
	assert_int_equal(s->bytes, (9705 * 4 + 8632 + 7 * 5) * 4096);
	slabs_snapshot_free(s);
}

/* What is wrong is named, and the rest used. */
static void faulty_lines_are_named(void **state)
{
	static const struct {
		const char *line, *note;
	} cases[] = {
		{"dentry 1 2 3 4 x" TUNABLES "6 7 8\n", "slabinfo: dentry 1 2 3 4 x"},
		{"dentry 1 2 3 4" TUNABLES "6 7 8\n", "no line of a cache"},
		{"dentry 1 2 3 4 5" TUNABLES "6 7\n", "no line of a cache"},
		{"dentry 1 2 3 4 5" TUNABLES "6 7 8 9\n", "no line of a cache"},
		{"dentry 1 2 3 4 -5" TUNABLES "6 7 8\n", "no line of a cache"},
		{"dentry 1 2 3 4 5 : tunables 0 0 0\n", "no line of a cache"},
		{"1 2 3 4 5" TUNABLES "6 7 8\n", "no line of a cache"},
		{"   1 2 3 4 5" TUNABLES "6 7 8\n", "no line of a cache"},
		{"dentry 1 2 3 4 5" TUNABLES "6 99999999999999999999 8\n", "too large"},
		{"dentry 1 2 3 4 9007199254740992" TUNABLES "6 9007199254740992 8\n", "too large"},
		{"dentry 1 2 3 4 5" TUNABLES "6 7 8", "no line of a cache"}, /* it may be cut */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text =
			xasprintf(HEAD "good 1 1 64 64 1" TUNABLES "1 1 0\n%s", cases[i].line);
		struct slabs_snapshot *s = slabs_parse(text, 4096);

		if (s->notes.n != 1 || !strstr(s->notes.lines[0], cases[i].note))
			fail_msg("%s: %zu notes, the first: %s", cases[i].line, s->notes.n,
				 s->notes.lines[0]);
		assert_int_equal(s->n, 1);
		assert_string_equal(s->caches[0].name, "good");
		slabs_snapshot_free(s);
	}
}

static void one_name_is_one_cache(void **state)
{
	struct slabs_snapshot *s = slabs_parse("a 1 2 8 4 1" TUNABLES "1 1 0\n"
					       "b 1 2 8 4 1" TUNABLES "1 2 0\n"
					       "a 3 4 8 4 1" TUNABLES "2 2 0\n",
					       4096);

	(void)state;
	assert_int_equal(s->n, 2);
	assert_string_equal(s->caches[0].name, "a");
	assert_int_equal(s->caches[0].bytes, 3 * 4096);
	assert_int_equal(s->caches[0].active, 4);
	assert_int_equal(s->caches[0].objects, 6);
	slabs_snapshot_free(s);
}

static void caches_beyond_the_ceiling_are_counted(void **state)
{
	struct buf text = BUF_INIT((size_t)1 << 22);
	struct slabs_snapshot *s;

	(void)state;
	for (int i = 0; i < SLABS_MAX + 5; i++)
		assert_int_equal(buf_printf(&text, "c%d 1 1 8 1 1" TUNABLES "1 1 0\n", i), 0);
	s = slabs_parse(text.data, 4096);
	assert_int_equal(s->n, SLABS_MAX);
	assert_int_equal(s->dropped, 5);
	assert_int_equal(s->bytes, (SLABS_MAX + 5) * 4096);
	slabs_snapshot_free(s);
	buf_done(&text);
}

static void nothing_is_no_cache(void **state)
{
	struct slabs_snapshot *s = slabs_parse("", 4096);

	(void)state;
	assert_int_equal(s->n, 0);
	slabs_snapshot_free(s);
	s = slabs_parse(NULL, 4096);
	assert_int_equal(s->n, 0);
	slabs_snapshot_free(s);
}

/* --- dentries by directory ---------------------------------------------------------------------------------------------- */

static void directories_add_up(void **state)
{
	struct dentries_dirs d = {.max = 100};

	(void)state;
	dentries_dirs_add(&d, 0xa0, 1, 0, 1, 5, 2, 0);
	dentries_dirs_add(&d, 0xb0, 1, 0, 1, 20, 0, 64);
	dentries_dirs_add(&d, 0xa0, 1, 0, 2, 30, 30, 0);
	dentries_dirs_sort(&d);
	assert_int_equal(d.n, 2);
	assert_int_equal(d.v[0].dentry, 0xa0);
	assert_int_equal(d.v[0].count.n, 35);
	assert_int_equal(d.v[0].count.negative, 32);
	assert_int_equal(d.v[1].count.n, 20);
	assert_int_equal(d.v[1].count.names, 64);
	assert_int_equal(d.added, 2);
	dentries_dirs_done(&d);
}

static void the_majority_is_named(void **state)
{
	struct dentries_dirs d = {.max = 100};

	(void)state;
	for (uint64_t i = 0; i < 90; i++)
		dentries_dirs_add(&d, 0xa0, 1, i % 9 == 0 ? 3 : 7, i, 10, 0, 0);
	for (uint64_t i = 0; i < 90; i++)
		dentries_dirs_add(&d, 0xb0, 1, (uint32_t)(i % 3), i, 10, 0, 0);
	assert_int_equal(dentries_dir_group(&d.v[0]), 7);
	assert_int_equal(dentries_dir_group(&d.v[1]), UINT32_MAX);
	dentries_dirs_done(&d);
}

/* At the ceiling the small ones go; what they had is counted, and the large ones keep what they have. */
static void small_directories_are_forgotten(void **state)
{
	struct dentries_dirs d = {.max = 64};
	uint64_t kept = 0;

	(void)state;
	dentries_dirs_add(&d, 8, 1, 0, 1, 1000, 0, 0);
	for (uint64_t i = 2; i < 10000; i++) {
		dentries_dirs_add(&d, i * 8, 1, 0, i, 1 + i % 3, 0, 0);
		assert_true(d.n <= 64);
	}
	dentries_dirs_add(&d, 8, 1, 0, 1, 1000, 0, 0);
	dentries_dirs_sort(&d);
	assert_int_equal(d.v[0].dentry, 8);
	assert_int_equal(d.v[0].count.n, 2000);
	for (size_t i = 0; i < d.n; i++)
		kept += d.v[i].count.n;
	/* i % 3 is 0, 1 and 2 equally often from 2 to 9997, and then once more 2 and 0. */
	assert_int_equal(kept + d.pruned_entries, 2000 + 9998 * 2 + (2 - 1) + (0 - 1));
	dentries_dirs_done(&d);
}

static uint32_t random_state = 12345;

static uint32_t random_u32(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 17;
	random_state ^= random_state << 5;
	return random_state;
}

/* Of 1000 samples of a known whole, about 950 must be within their own error. */
static void the_error_is_what_it_says(void **state)
{
	enum { UNITS = 2000, SAMPLES = 1000, EVERY = 8 };
	static uint32_t in_unit[UNITS];
	uint64_t truth = 0, sum = 0;
	int within = 0;

	(void)state;
	for (size_t i = 0; i < UNITS; i++) {
		in_unit[i] = random_u32() % 22;
		truth += in_unit[i];
	}
	for (int k = 0; k < SAMPLES; k++) {
		struct dentries_count c = {0};
		uint64_t said, error;

		for (size_t i = 0; i < UNITS; i++) {
			if (random_u32() % EVERY == 0)
				dentries_count_add(&c, i, in_unit[i], 0, 0);
		}
		said = dentries_scaled(c.n, EVERY);
		error = dentries_error(&c, EVERY);
		sum += said;
		within += (said > truth ? said - truth : truth - said) <= error;
	}
	assert_in_range(within, 925, 975);
	assert_in_range(sum / SAMPLES, truth * 99 / 100, truth * 101 / 100);
}

static void everything_has_no_error(void **state)
{
	struct dentries_count c = {0};

	(void)state;
	dentries_count_add(&c, 0, 10, 3, 0);
	dentries_count_add(&c, 0, 10, 3, 0);
	assert_int_equal(dentries_error(&c, 1), 0);
	assert_int_equal(dentries_scaled(c.n, 1), 20);
	/* One unit of 20: 1.96 * sqrt(4 * 3 * 400) */
	assert_int_equal(dentries_error(&c, 4), 136);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(caches_are_read),
		cmocka_unit_test(faulty_lines_are_named),
		cmocka_unit_test(one_name_is_one_cache),
		cmocka_unit_test(caches_beyond_the_ceiling_are_counted),
		cmocka_unit_test(nothing_is_no_cache),
		cmocka_unit_test(directories_add_up),
		cmocka_unit_test(the_majority_is_named),
		cmocka_unit_test(small_directories_are_forgotten),
		cmocka_unit_test(the_error_is_what_it_says),
		cmocka_unit_test(everything_has_no_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
