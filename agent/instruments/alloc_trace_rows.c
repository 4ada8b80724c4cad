/* SPDX-License-Identifier: Apache-2.0 */
/* What allocations that outlived the window are, and how much each stack has of them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "instruments/alloc_trace_internal.h"

#define KIND_GONE UINT32_MAX

/* What the beginning of a function's name says about the memory. */
struct prefix {
	const char *text;
	enum alloc_trace_kind kind;
};

/* Memory that has a line of its own in meminfo, but no mark in struct page (slab's large blocks before 6.14). */
static const struct prefix kinds[] = {
	{"__vmalloc", ALLOC_TRACE_VMALLOC},	     {"vm_area_alloc_pages", ALLOC_TRACE_VMALLOC},
	{"alloc_thread_stack", ALLOC_TRACE_VMALLOC}, {"pcpu_", ALLOC_TRACE_PERCPU},
	{"__kmalloc_large", ALLOC_TRACE_SLAB},	     {"___kmalloc_large", ALLOC_TRACE_SLAB},
	{"kmalloc_large", ALLOC_TRACE_SLAB},	     {"kmalloc_order", ALLOC_TRACE_SLAB},
};

/* The allocator's own functions and the way into the trace event: the same in every stack. */
static const char *const entrance[] = {
	"bpf_",
	"__bpf_",
	"__traceiter_",
	"alloc_pages",
	"__alloc_pages",
	"alloc_frozen_",
	"__alloc_frozen",
	"___alloc_frozen",
	"get_free_pages",
	"__get_free_pages",
	"alloc_page",
	"__alloc_page",
	"get_zeroed_page",
	"get_free_pages_exact",
	"alloc_page_interleave",
};

static bool begins(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* What a record stands for: itself, or as many pages as were allocated for each that was chosen. */
static uint64_t weight(const struct alloc_trace_record *r, uint64_t page_size)
{
	if (r->order < ALLOC_TRACE_ALL_ORDER)
		return page_size * ALLOC_TRACE_RATIO;
	return page_size << (r->order & 31);
}

/* --- what it is ----------------------------------------------------------------------------------------------------------- */

static uint32_t kind_of_stack(const struct alloc_trace_stack *stack, const struct ksyms *k)
{
	for (size_t f = 0; stack && f < stack->n && f < ALLOC_TRACE_DEPTH; f++) {
		const char *function = ksyms_function(k, stack->frames[f]);

		for (size_t i = 0; function && i < ARRAY_SIZE(kinds); i++)
			if (begins(function, kinds[i].text))
				return kinds[i].kind;
	}
	return ALLOC_TRACE_OTHER;
}

/* What the page itself says. ALLOC_TRACE_OTHER: it says nothing, the stack may. */
static uint32_t kind_of_class(uint32_t class)
{
	switch ((enum page_class) class) {
	case PAGE_CLASS_FREE:
	case PAGE_CLASS_PCP:
	case PAGE_CLASSES: /* unreadable, or inside of another block by now */
		return KIND_GONE;
	case PAGE_CLASS_SLAB:
	case PAGE_CLASS_KMALLOC:
		return ALLOC_TRACE_SLAB;
	case PAGE_CLASS_TABLE:
		return ALLOC_TRACE_TABLE;
	case PAGE_CLASS_ANON:
	case PAGE_CLASS_FILE:
	case PAGE_CLASS_HUGETLB:
	case PAGE_CLASS_COMPRESSED:
		return ALLOC_TRACE_USER;
	case PAGE_CLASS_OFFLINE:
		return ALLOC_TRACE_BALLOON;
	case PAGE_CLASS_RESERVED:
	case PAGE_CLASS_POOL:
	case PAGE_CLASS_ACCOUNTED:
	case PAGE_CLASS_COMPOUND:
	case PAGE_CLASS_PLAIN:
	case PAGE_CLASS_TAIL:
		break;
	}
	return ALLOC_TRACE_OTHER;
}

static const struct alloc_trace_stack *find_stack(const struct alloc_trace_stacks *stacks,
						  uint64_t key)
{
	for (size_t i = 0; key && i < stacks->n; i++)
		if (stacks->keys[i] == key)
			return &stacks->values[i];
	return NULL;
}

/* --- rows ----------------------------------------------------------------------------------------------------------------- */

static int by_stack(const void *pa, const void *pb)
{
	const struct alloc_trace_record *a = pa, *b = pb;

	return (a->stack > b->stack) - (a->stack < b->stack);
}

static int by_bytes(const void *pa, const void *pb)
{
	const struct alloc_trace_row *a = pa, *b = pb;

	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return (a->stack_id > b->stack_id) - (a->stack_id < b->stack_id);
}

static bool is_entrance(const char *function)
{
	for (size_t i = 0; function && i < ARRAY_SIZE(entrance); i++)
		if (begins(function, entrance[i]))
			return true;
	return false;
}

static void name_frames(struct alloc_trace_row *row, const struct alloc_trace_stack *stack,
			const struct ksyms *k)
{
	size_t n = stack->n < ALLOC_TRACE_DEPTH ? stack->n : ALLOC_TRACE_DEPTH, first = 0;
	char name[KSYMS_NAME_MAX];

	while (first < n && is_entrance(ksyms_function(k, stack->frames[first])))
		first++;
	row->frames = xcalloc(n - first + 1, sizeof(*row->frames));
	for (size_t i = first; i < n; i++)
		row->frames[row->n_frames++] =
			xstrdup(ksyms_name(k, stack->frames[i], name, sizeof(name)));
}

/* Adds one stack's records to a row for each kind. */
static void sum_stack(const struct alloc_trace_record *records, size_t n,
		      const struct alloc_trace_stack *stack, uint64_t page_size,
		      struct alloc_trace_row rows[ALLOC_TRACE_N])
{
	memset(rows, 0, ALLOC_TRACE_N * sizeof(*rows));
	for (size_t i = 0; i < n; i++) {
		const struct alloc_trace_record *r = &records[i];
		struct alloc_trace_row *row;
		uint64_t bytes = weight(r, page_size);

		if (r->kind == KIND_GONE)
			continue;
		row = &rows[r->kind];
		row->stack_id = r->stack;
		row->kind = r->kind;
		row->bytes += bytes;
		row->accounted_bytes += r->accounted ? bytes : 0;
		row->count++;
		row->gfp = r->gfp;
		if (stack) {
			row->pid = stack->pid;
			memcpy(row->comm, stack->comm, sizeof(row->comm));
			row->comm[sizeof(row->comm) - 1] = '\0';
		}
	}
}

static void classify(struct alloc_trace_record *records, size_t n, uint32_t of_stack,
		     uint64_t page_size, struct alloc_trace_snapshot *s)
{
	for (size_t i = 0; i < n; i++) {
		struct alloc_trace_record *r = &records[i];

		r->kind = kind_of_class(r->class);
		if (r->kind == KIND_GONE)
			s->gone_bytes += weight(r, page_size);
		else if (r->kind == ALLOC_TRACE_OTHER)
			r->kind = of_stack;
	}
}

/* Keeps the largest of each kind and gives them names. rows are descending by bytes. */
static void keep(struct alloc_trace_row *rows, size_t n, const struct alloc_trace_stacks *stacks,
		 const struct ksyms *k, size_t max_rows, struct alloc_trace_snapshot *s)
{
	size_t kept[ALLOC_TRACE_N] = {0};

	s->rows = xcalloc(n + 1, sizeof(*s->rows));
	for (size_t i = 0; i < n; i++) {
		const struct alloc_trace_stack *stack = find_stack(stacks, rows[i].stack_id);

		if (kept[rows[i].kind]++ >= max_rows) {
			s->rows_dropped++;
			continue;
		}
		if (stack)
			name_frames(&rows[i], stack, k);
		s->rows[s->n_rows++] = rows[i];
	}
}

void alloc_trace_sum(struct alloc_trace_record *records, size_t n,
		     const struct alloc_trace_stacks *stacks, const struct ksyms *k,
		     size_t max_rows, uint64_t page_size, struct alloc_trace_snapshot *s)
{
	struct alloc_trace_row *all = NULL;
	size_t n_all = 0;

	if (n > 1)
		qsort(records, n, sizeof(*records), by_stack);
	for (size_t i = 0, end; i < n; i = end) {
		const struct alloc_trace_stack *stack = find_stack(stacks, records[i].stack);
		struct alloc_trace_row rows[ALLOC_TRACE_N];

		for (end = i + 1; end < n && records[end].stack == records[i].stack; end++)
			;
		classify(records + i, end - i, kind_of_stack(stack, k), page_size, s);
		sum_stack(records + i, end - i, stack, page_size, rows);
		all = xreallocarray(all, n_all + ALLOC_TRACE_N, sizeof(*all));
		for (size_t kind = 0; kind < ALLOC_TRACE_N; kind++) {
			s->bytes[kind] += rows[kind].bytes;
			if (rows[kind].count > 0)
				all[n_all++] = rows[kind];
		}
	}
	if (n_all > 1)
		qsort(all, n_all, sizeof(*all), by_bytes);
	keep(all, n_all, stacks, k, max_rows, s);
	free(all);
}
