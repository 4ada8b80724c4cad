/* SPDX-License-Identifier: Apache-2.0 */
/* The counting table and the readers of page frame ranges: no kernel needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "instruments/pages_internal.h"

/* Addresses as inodes of one slab cache have them. */
static uint64_t mapping_of(uint64_t i)
{
	return 0xffff888000000178ULL + i * 0x260;
}

static void test_counts_one_file(void **state)
{
	struct pages_table t;
	const struct pages_entry *e;

	(void)state;
	pages_table_init(&t, 10);
	assert_null(pages_table_find(&t, mapping_of(1)));
	assert_true(pages_table_add(&t, mapping_of(1), 3, 5, 2));
	assert_true(pages_table_add(&t, mapping_of(1), 3, 7, 0));
	assert_null(pages_table_find(&t, mapping_of(2)));
	e = pages_table_find(&t, mapping_of(1));
	assert_non_null(e);
	assert_int_equal(e->pages, 12);
	assert_int_equal(e->dirty, 2);
	assert_int_equal(e->first, 3);
	assert_int_equal(e->first_pages, 12);
	assert_int_equal(e->first_dirty, 2);
	assert_int_equal(e->flags, 0);
	assert_int_equal(t.n_shares, 0);
	pages_table_done(&t);
}

static const struct pages_share *share_of(const struct pages_table *t, uint64_t mapping,
					  uint32_t memcg)
{
	for (size_t i = 0; i < t->n_share_slots; i++)
		if (t->shares[i].mapping == mapping && t->shares[i].memcg == memcg)
			return &t->shares[i];
	return NULL;
}

static void test_further_memcgs_share(void **state)
{
	struct pages_table t;
	const struct pages_entry *e;
	const struct pages_share *s;

	(void)state;
	pages_table_init(&t, 10);
	assert_true(pages_table_add(&t, mapping_of(1), 1, 5, 5));
	assert_true(pages_table_add(&t, mapping_of(1), 2, 4, 1));
	assert_true(pages_table_add(&t, mapping_of(1), 1, 1, 0));
	assert_true(pages_table_add(&t, mapping_of(1), 2, 1, 1));
	assert_true(pages_table_add(&t, mapping_of(1), 0, 9, 0));
	e = pages_table_find(&t, mapping_of(1));
	assert_int_equal(e->pages, 20);
	assert_int_equal(e->dirty, 7);
	assert_int_equal(e->first_pages, 6);
	assert_int_equal(e->flags, PAGES_ENTRY_SHARED);
	s = share_of(&t, mapping_of(1), 2);
	assert_non_null(s);
	assert_int_equal(s->pages, 5);
	assert_int_equal(s->dirty, 2);
	assert_int_equal(share_of(&t, mapping_of(1), 0)->pages, 9);
	pages_table_done(&t);
}

static void test_grows(void **state)
{
	const uint64_t n = 100000;
	struct pages_table t;

	(void)state;
	pages_table_init(&t, n);
	for (int round = 0; round < 2; round++)
		for (uint64_t i = 0; i < n; i++) {
			assert_true(pages_table_add(&t, mapping_of(i), (uint32_t)(i % 7), 1, 0));
			if (i % 3 == 0)
				assert_true(pages_table_add(&t, mapping_of(i), 100, 2, 2));
		}
	assert_int_equal(t.n_entries, n);
	assert_int_equal(t.n_shares, (n + 2) / 3);
	for (uint64_t i = 0; i < n; i++) {
		const struct pages_entry *e = pages_table_find(&t, mapping_of(i));

		assert_non_null(e);
		assert_int_equal(e->mapping, mapping_of(i));
		assert_int_equal(e->first, i % 7);
		assert_int_equal(e->pages, i % 3 == 0 ? 6 : 2);
		assert_int_equal(e->dirty, i % 3 == 0 ? 4 : 0);
	}
	pages_table_done(&t);
}

static void test_ceiling(void **state)
{
	struct pages_table t;

	(void)state;
	pages_table_init(&t, 2);
	assert_true(pages_table_add(&t, mapping_of(1), 0, 1, 0));
	assert_true(pages_table_add(&t, mapping_of(2), 0, 1, 0));
	/* A third file finds no room; those that are known still count. */
	assert_false(pages_table_add(&t, mapping_of(3), 0, 1, 0));
	assert_true(pages_table_add(&t, mapping_of(1), 0, 1, 0));
	assert_null(pages_table_find(&t, mapping_of(3)));
	/* The same for further cgroups; what is refused is in no sum. */
	assert_true(pages_table_add(&t, mapping_of(1), 1, 1, 0));
	assert_true(pages_table_add(&t, mapping_of(1), 2, 1, 0));
	assert_false(pages_table_add(&t, mapping_of(1), 3, 1, 1));
	assert_int_equal(pages_table_find(&t, mapping_of(1))->pages, 4);
	assert_int_equal(pages_table_find(&t, mapping_of(1))->dirty, 0);
	pages_table_done(&t);
}

/* One file that many cgroups have pages of must not end in one long chain of slots. */
static void test_many_memcgs_of_one_file(void **state)
{
	const uint32_t n = 50000;
	struct pages_table t;
	size_t run = 0, longest = 0;

	(void)state;
	pages_table_init(&t, n);
	for (uint32_t i = 0; i <= n; i++)
		assert_true(pages_table_add(&t, mapping_of(1), i, 1, 0));
	for (size_t i = 0; i < t.n_share_slots; i++) {
		run = t.shares[i].mapping ? run + 1 : 0;
		longest = run > longest ? run : longest;
	}
	assert_in_range(longest, 1, 500);
	pages_table_done(&t);
}

static void test_index(void **state)
{
	struct pages_index x = {NULL, NULL, 0, 0};

	(void)state;
	assert_null(pages_index_find(&x, 1));
	for (uint64_t i = 1; i <= 10000; i++)
		pages_index_add(&x, mapping_of(i), (uint32_t)i);
	for (uint64_t i = 1; i <= 10000; i++)
		assert_int_equal(*pages_index_find(&x, mapping_of(i)), i);
	assert_null(pages_index_find(&x, mapping_of(10001)));
	pages_index_done(&x);
}

static void test_iomem(void **state)
{
	static const char text[] = "00000000-00000fff : Reserved\n"
				   "00001000-0009fbff : System RAM\n"
				   "000f0000-000fffff : System ROM\n"
				   "00100000-bfffffff : System RAM\n"
				   "  01000000-01ffffff : Kernel code\n"
				   "100000000-63fffffff : System RAM\n"
				   "640000000-67fffffff : Persistent Memory\n"
				   "  640000000-67fffffff : dax0.0\n"
				   "    640000000-67fffffff : System RAM (kmem)\n";
	struct pages_range *v;

	(void)state;
	assert_int_equal(pages_ranges_iomem(text, 4096, &v), 3);
	assert_int_equal(v[0].start, 0); /* widened to a chunk of 64 */
	assert_int_equal(v[0].end, 0xc0);
	assert_int_equal(v[1].start, 0x100);
	assert_int_equal(v[1].end, 0xc0000);
	assert_int_equal(v[2].start, 0x100000); /* the device's memory follows directly */
	assert_int_equal(v[2].end, 0x680000);
	free(v);
	/* Addresses hidden. */
	assert_int_equal(pages_ranges_iomem("00000000-00000000 : System RAM\n", 4096, &v), 0);
	free(v);
	assert_int_equal(pages_ranges_iomem("", 4096, &v), 0);
	free(v);
	assert_int_equal(pages_ranges_iomem(NULL, 4096, &v), 0);
	free(v);
}

static void test_zoneinfo(void **state)
{
	static const char text[] = "Node 0, zone      DMA\n"
				   "  per-node stats\n"
				   "        spanned  4095\n"
				   "        present  3998\n"
				   "  node_unreclaimable:  0\n"
				   "  start_pfn:           1\n"
				   "Node 0, zone    DMA32\n"
				   "        spanned  1044480\n"
				   "  start_pfn:           4096\n"
				   "Node 0, zone  Movable\n"
				   "        spanned  0\n"
				   "Node 1, zone   Normal\n"
				   "        spanned  1000\n"
				   "  start_pfn:           2097152\n";
	struct pages_range *v;

	(void)state;
	assert_int_equal(pages_ranges_zoneinfo(text, &v), 2);
	assert_int_equal(v[0].start, 0);
	assert_int_equal(v[0].end, 1048576);
	assert_int_equal(v[1].start, 2097152);
	assert_int_equal(v[1].end, 2097152 + 1024);
	free(v);
	assert_int_equal(pages_ranges_zoneinfo("nothing here\n", &v), 0);
	free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts_one_file),
		cmocka_unit_test(test_further_memcgs_share),
		cmocka_unit_test(test_grows),
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_many_memcgs_of_one_file),
		cmocka_unit_test(test_index),
		cmocka_unit_test(test_iomem),
		cmocka_unit_test(test_zoneinfo),
	};

	return cmocka_run_group_tests_name("pages_table", tests, NULL, NULL);
}
