// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Watches pages being allocated and freed, and remembers which stacks allocated those that are still there.
 *
 * Raw trace points: their arguments come as plain numbers, and they attach on every kernel. Both programs run on the allocator's
 * hot path, so what is not watched must leave in a few instructions. Allocations are chosen by counting pages, as heap profilers
 * do: of 64 MiB that grow at once the estimate is within 4 %. Choosing by the page's address, which needs nothing to be
 * remembered for the free, was off by up to 15 % where memory is fragmented. So that a free need not search, a byte for a hash of
 * the address says whether a page with that hash was ever chosen.
 */
#include "alloc_trace.h"
#include "compat/page.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* include/linux/gfp_types.h; both bits are what they were before 5.10. */
#define GFP_MOVABLE	0x08u /* processes' memory, page cache */
#define GFP_RECLAIMABLE 0x10u /* slab that can be reclaimed */

#define STRUCT_PAGE_MAX 128

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ALLOC_TRACE_LIVE);
	__type(key, __u64);
	__type(value, struct alloc_trace_live);
} live SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ALLOC_TRACE_STACKS);
	__type(key, __u64);
	__type(value, struct alloc_trace_stack);
} stacks SEC(".maps");

/* Room for the stack that is being read; the kernel does not run one of these programs within itself on a CPU (5.11). */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct alloc_trace_stack);
} scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct alloc_trace_counters);
} counters SEC(".maps");

__u32 active; /* set by user space when both are attached */

__u8 seen[ALLOC_TRACE_SEEN]; /* never unset within a window: one in four when 65,000 were chosen */

static __always_inline __u8 *seen_at(__u64 page)
{
	__u64 hash = (page >> 6) * 0x9e3779b97f4a7c15ULL >> (64 - ALLOC_TRACE_SEEN_BITS);

	return &seen[hash & (ALLOC_TRACE_SEEN - 1)];
}

/* Whether an allocation is watched: large ones, and each with which a CPU's next random number of pages is full. */
static __always_inline bool choose(struct alloc_trace_counters *c, __u32 order)
{
	if (order >= ALLOC_TRACE_ALL_ORDER)
		return true;
	c->left -= 1 << order;
	if (c->left > 0)
		return false;
	/* A quarter less or more: a pattern of allocations that repeats must not hide between two choices. */
	c->left += ALLOC_TRACE_RATIO * 3 / 4 + bpf_get_prandom_u32() % (ALLOC_TRACE_RATIO / 2 + 1);
	return true;
}

static __always_inline __u64 stack_hash(const struct alloc_trace_stack *s)
{
	__u64 hash = s->n;
	__u32 i;

	for (i = 0; i < ALLOC_TRACE_DEPTH; i++) {
		if (i >= s->n)
			break;
		hash = (hash ^ s->frames[i]) * 0x9e3779b97f4a7c15ULL;
		hash ^= hash >> 32;
	}
	return hash | 1;
}

/* The key of the stack that is running, which is kept from now on; 0: there is no room for it. */
static __always_inline __u64 stack_key(void *ctx, struct alloc_trace_counters *c)
{
	__u32 zero = 0;
	struct alloc_trace_stack *s = bpf_map_lookup_elem(&scratch, &zero);
	__u64 key;
	long n;

	if (!s)
		return 0;
	n = bpf_get_stack(ctx, s->frames, sizeof(s->frames), 0);
	s->n = n > 0 ? (__u32)n / 8 : 0;
	key = stack_hash(s);
	if (bpf_map_lookup_elem(&stacks, &key))
		return key;
	s->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(s->comm, sizeof(s->comm));
	if (bpf_map_update_elem(&stacks, &key, s, BPF_ANY) == 0)
		return key;
	c->stacks_dropped++;
	return 0;
}

/* struct page *page, unsigned int order, gfp_t gfp_flags, int migratetype */
SEC("raw_tp/mm_page_alloc")
int alloc_trace_alloc(__u64 *ctx)
{
	struct alloc_trace_live l;
	struct alloc_trace_counters *c;
	__u64 page = ctx[0];
	__u32 zero = 0;

	l.order = ctx[1];
	l.gfp = ctx[2];
	if (!active || l.gfp & (GFP_MOVABLE | GFP_RECLAIMABLE) || !page)
		return 0;
	c = bpf_map_lookup_elem(&counters, &zero);
	if (!c)
		return 0;
	c->allocations++;
	if (!choose(c, l.order))
		return 0;
	c->sampled++;
	l.stack = stack_key(ctx, c);
	if (bpf_map_update_elem(&live, &page, &l, BPF_ANY))
		c->live_dropped++;
	else
		*seen_at(page) = 1;
	return 0;
}

/* struct page *page, unsigned int order. Of all pages: mm_page_free_batched comes in addition, not instead. */
SEC("raw_tp/mm_page_free")
int alloc_trace_free(__u64 *ctx)
{
	__u64 page = ctx[0];

	if (active && *seen_at(page))
		bpf_map_delete_elem(&live, &page);
	return 0;
}

/* --- afterwards, attached to nothing ----------------------------------------------------------------------------------- */

__u32 n_looks;
struct alloc_trace_look looks[ALLOC_TRACE_LOOK];
char pair[2 * STRUCT_PAGE_MAX] __attribute__((aligned(8))); /* a struct page and the next */

__attribute__((noinline)) int look_one(__u32 i)
{
	struct alloc_trace_look *l = &looks[i & (ALLOC_TRACE_LOOK - 1)];
	const __u32 size = bpf_core_type_size(struct page);

	l->class = PAGE_CLASSES;
	l->accounted = 0;
	if (size > STRUCT_PAGE_MAX || bpf_probe_read_kernel(pair, 2 * size, (void *)l->page))
		return 0;
	if (compat_page_is_tail(pair))
		return 0;
	l->class = page_class(pair, l->page);
	l->accounted = l->class == PAGE_CLASS_ACCOUNTED;
	return 0;
}

SEC("raw_tp")
int alloc_trace_look(BPF_CTX)
{
	__u32 i;

	for (i = 0; i < ALLOC_TRACE_LOOK; i++) {
		if (i >= n_looks)
			break;
		look_one(i);
	}
	return 0;
}
