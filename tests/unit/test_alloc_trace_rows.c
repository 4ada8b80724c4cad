/* SPDX-License-Identifier: Apache-2.0 */
/* Sums by stack of allocations that outlived a window: what they are, what they weigh, how they are named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "instruments/alloc_trace_internal.h"

#define PAGE 4096u

static const char symbols[] = "1000 t alloc_pages_noprof\n"
			      "2000 t __alloc_frozen_pages_noprof\n"
			      "3000 t packet_set_ring\n"
			      "4000 t __vmalloc_node_range_noprof\n"
			      "5000 t pcpu_populate_chunk\n"
			      "6000 t kmalloc_order\n"
			      "7000 t sys_x\n"
			      "8000 t leak_it\t[driver]\n";

static uint64_t keys[] = {11, 12, 13, 14, 15};
static struct alloc_trace_stack values[] = {
	{4, 100, "ring", {0x2010, 0x1020, 0x3030, 0x7040}},
	{3, 200, "fork", {0x1001, 0x4002, 0x7003}},
	{3, 0, "", {0x1001, 0x5002, 0x7003}},
	{2, 300, "driver", {0x1001, 0x8002}},
	{2, 400, "big", {0x6001, 0x7003}},
};
static const struct alloc_trace_stacks stacks = {keys, values, ARRAY_SIZE(keys)};

static struct ksyms *load(void)
{
	FILE *f = fmemopen((void *)(uintptr_t)symbols, strlen(symbols), "r");
	struct ksyms *k = NULL;

	assert_non_null(f);
	assert_int_equal(ksyms_read(f, "kallsyms", &k, NULL, NULL), 0);
	(void)fclose(f);
	return k;
}

static struct alloc_trace_record record(uint64_t stack, uint32_t order, uint32_t class)
{
	return (struct alloc_trace_record){
		.stack = stack,
		.order = order,
		.class = class,
		.accounted = class == PAGE_CLASS_ACCOUNTED,
		.gfp = 0xcc0,
	};
}

static const struct alloc_trace_row *find(const struct alloc_trace_snapshot *s, uint64_t stack,
					  enum alloc_trace_kind kind)
{
	for (size_t i = 0; i < s->n_rows; i++)
		if (s->rows[i].stack_id == stack && s->rows[i].kind == kind)
			return &s->rows[i];
	fail_msg("no row of stack %llu, kind %d", (unsigned long long)stack, (int)kind);
	return NULL;
}

static struct alloc_trace_snapshot *sum(struct alloc_trace_record *records, size_t n,
					const struct ksyms *k, size_t max_rows)
{
	struct alloc_trace_snapshot *s = xcalloc(1, sizeof(*s));

	alloc_trace_sum(records, n, &stacks, k, max_rows, PAGE, s);
	return s;
}

/* Each stands for as many pages as were allocated between two of them, whatever its own size is. */
static void small_ones_are_scaled(void **state)
{
	struct alloc_trace_record records[] = {
		record(11, 0, PAGE_CLASS_PLAIN),    record(11, 3, PAGE_CLASS_COMPOUND),
		record(14, 4, PAGE_CLASS_COMPOUND), record(11, 0, PAGE_CLASS_ACCOUNTED),
		record(14, 8, PAGE_CLASS_PLAIN),
	};
	struct ksyms *k = load();
	struct alloc_trace_snapshot *s = sum(records, ARRAY_SIZE(records), k, 8);
	const struct alloc_trace_row *ring = find(s, 11, ALLOC_TRACE_OTHER),
				     *driver = find(s, 14, ALLOC_TRACE_OTHER);

	(void)state;
	assert_int_equal(ring->bytes, ALLOC_TRACE_RATIO * 3 * PAGE);
	assert_int_equal(ring->accounted_bytes, ALLOC_TRACE_RATIO * PAGE);
	assert_int_equal(ring->count, 3);
	assert_int_equal(ring->pid, 100);
	assert_string_equal(ring->comm, "ring");
	assert_int_equal(ring->gfp, 0xcc0);
	assert_int_equal(driver->bytes, (16 + 256) * PAGE);
	assert_int_equal(s->bytes[ALLOC_TRACE_OTHER], ring->bytes + driver->bytes);
	/* Largest first; the allocator's own functions are left out. */
	assert_ptr_equal(&s->rows[0], ring->bytes > driver->bytes ? ring : driver);
	assert_int_equal(ring->n_frames, 2);
	assert_string_equal(ring->frames[0], "packet_set_ring+0x30");
	assert_string_equal(ring->frames[1], "sys_x+0x40");
	assert_string_equal(driver->frames[0], "leak_it+0x2 [driver]");
	alloc_trace_snapshot_free(s);
	ksyms_free(k);
}

static void what_has_a_line_in_meminfo_is_not_blamed(void **state)
{
	static const struct {
		uint64_t stack;
		uint32_t class;
		enum alloc_trace_kind kind;
	} rows[] = {
		{11, PAGE_CLASS_SLAB, ALLOC_TRACE_SLAB},
		{11, PAGE_CLASS_KMALLOC, ALLOC_TRACE_SLAB},
		{11, PAGE_CLASS_TABLE, ALLOC_TRACE_TABLE},
		{11, PAGE_CLASS_ANON, ALLOC_TRACE_USER},
		{11, PAGE_CLASS_FILE, ALLOC_TRACE_USER},
		{11, PAGE_CLASS_HUGETLB, ALLOC_TRACE_USER},
		{11, PAGE_CLASS_OFFLINE, ALLOC_TRACE_BALLOON},
		{12, PAGE_CLASS_PLAIN, ALLOC_TRACE_VMALLOC},
		{12, PAGE_CLASS_ACCOUNTED, ALLOC_TRACE_VMALLOC},
		{13, PAGE_CLASS_PLAIN, ALLOC_TRACE_PERCPU},
		{15, PAGE_CLASS_COMPOUND, ALLOC_TRACE_SLAB}, /* before 6.14 */
		{12, PAGE_CLASS_TABLE, ALLOC_TRACE_TABLE}, /* the page knows better than the stack */
		{11, PAGE_CLASS_POOL, ALLOC_TRACE_OTHER},
	};
	struct ksyms *k = load();

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct alloc_trace_record r = record(rows[i].stack, 5, rows[i].class);
		struct alloc_trace_snapshot *s = sum(&r, 1, k, 8);

		assert_int_equal(find(s, rows[i].stack, rows[i].kind)->bytes, 32 * PAGE);
		assert_int_equal(s->bytes[rows[i].kind], 32 * PAGE);
		alloc_trace_snapshot_free(s);
	}
	ksyms_free(k);
}

static void what_is_free_by_now_is_counted_apart(void **state)
{
	struct alloc_trace_record records[] = {
		record(11, 0, PAGE_CLASS_FREE),	 record(11, 0, PAGE_CLASS_PCP),
		record(11, 6, PAGE_CLASSES),	 record(0, 4, PAGE_CLASS_PLAIN),
		record(99, 4, PAGE_CLASS_PLAIN), /* a stack that is not in the table */
	};
	struct alloc_trace_snapshot *s = sum(records, ARRAY_SIZE(records), NULL, 8);

	(void)state;
	assert_int_equal(s->gone_bytes, (2 * ALLOC_TRACE_RATIO + 64) * PAGE);
	assert_int_equal(s->n_rows, 2);
	assert_int_equal(find(s, 0, ALLOC_TRACE_OTHER)->n_frames, 0);
	assert_int_equal(find(s, 99, ALLOC_TRACE_OTHER)->n_frames, 0);
	alloc_trace_snapshot_free(s);
}

static void rows_have_a_ceiling(void **state)
{
	struct alloc_trace_record records[] = {
		record(11, 4, PAGE_CLASS_PLAIN), record(12, 5, PAGE_CLASS_PLAIN),
		record(13, 6, PAGE_CLASS_PLAIN), record(14, 4, PAGE_CLASS_SLAB)};
	struct alloc_trace_snapshot *s = sum(records, ARRAY_SIZE(records), NULL, 2);

	(void)state;
	assert_int_equal(s->n_rows, 3);
	assert_int_equal(s->rows_dropped, 1);
	assert_int_equal(s->rows[0].stack_id, 13);
	assert_int_equal(s->rows[1].stack_id, 12);
	assert_int_equal(s->bytes[ALLOC_TRACE_OTHER], (16 + 32 + 64) * PAGE);
	/* Without symbols they are addresses. */
	assert_string_equal(s->rows[0].frames[0], "0x1001");
	alloc_trace_snapshot_free(s);
	s = sum(NULL, 0, NULL, 2);
	assert_int_equal(s->n_rows, 0);
	alloc_trace_snapshot_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(small_ones_are_scaled),
		cmocka_unit_test(what_has_a_line_in_meminfo_is_not_blamed),
		cmocka_unit_test(what_is_free_by_now_is_counted_apart),
		cmocka_unit_test(rows_have_a_ceiling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
