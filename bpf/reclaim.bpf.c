// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * How long tasks reclaim memory themselves, by memory cgroup and cause. kswapd fires none of these tracepoints.
 *
 * The tracepoints of memory cgroup reclaim name neither cgroup nor reason before 2026; both are told by looking at the
 * ancestors of current's cgroup: the one that is at its limit, or above memory.high. Where that leaves a doubt, the function
 * that called reclaim decides, if user space could name it.
 */
#include "compat/memcg.h"
#include "compat/task.h"
#include "latency_rows.h"
#include "reclaim.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile bool is_v1 = false; /* limits of memory and swap together exist */
const volatile __u64 outlier_ns = 1000000;
const volatile struct reclaim_symbol symbols[RECLAIM_SYMBOLS];
/* A limit counts as reached within this many pages: what other CPUs freed since the charge failed. */
const volatile __u64 slack_pages = 1024;

bool active; /* set when all programs are attached: no end without its begin */
struct reclaim_counters counters;

enum { PAIR_MEMCG, PAIR_GLOBAL, PAIR_NODE, PAIR_SOFT, PAIRS };

struct task_state {
	__u64 begin_ns[PAIRS]; /* 0: not in it */
	__u64 target;
	__u64 cause; /* of PAIR_MEMCG */
};

#include "task_state.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, RECLAIM_RING);
} outliers SEC(".maps");

/* --- the cause of a memory cgroup's reclaim --------------------------------------------------------------------------- */

struct verdict {
	__u64 margin;	   /* pages left at the tightest limit above */
	__u64 limit, high; /* ids of the cgroups; 0: none */
};

static __always_inline __u64 margin_of(const struct page_counter *counter)
{
	__u64 usage = BPF_CORE_READ(counter, usage.counter), max = BPF_CORE_READ(counter, max);

	return usage < max ? max - usage : 0;
}

/* Memory and, on v1, memory and swap together. */
static __always_inline __u64 memcg_margin(struct mem_cgroup *memcg)
{
	__u64 margin = margin_of(__builtin_preserve_access_index(&memcg->memory)), both;

	if (!is_v1)
		return margin;
	both = margin_of(__builtin_preserve_access_index(&memcg->memsw));
	return both < margin ? both : margin;
}

static __always_inline void look_up(struct cgroup_subsys_state *css, struct verdict *v)
{
	struct cgroup_subsys_state *tightest = NULL, *above = NULL;

	v->margin = ~0ULL;
	for (int i = 0; i < RECLAIM_LEVELS && css; i++) {
		/* The css is the first member. */
		struct mem_cgroup *memcg = (void *)css;
		__u64 margin = memcg_margin(memcg);

		if (margin < v->margin) {
			v->margin = margin;
			tightest = css;
		}
		if (!is_v1 && !above &&
		    (__u64)BPF_CORE_READ(memcg, memory.usage.counter) >
			    (__u64)BPF_CORE_READ(memcg, memory.high))
			above = css;
		css = BPF_CORE_READ(css, parent);
	}
	v->limit = latency_css_id(tightest);
	v->high = latency_css_id(above);
}

/* The cause that a function on the stack stands for; RECLAIM_CAUSES: none is known. */
static __always_inline __u32 cause_by_stack(void *ctx)
{
	__u64 frames[10] = {};
	__u32 cause = RECLAIM_CAUSES;

	if (!symbols[0].end || bpf_get_stack(ctx, frames, sizeof(frames), 0) < 0)
		return cause;
	for (int i = 0; i < 10 && cause == RECLAIM_CAUSES; i++) {
		for (int j = 0; j < RECLAIM_SYMBOLS; j++) {
			if (frames[i] >= symbols[j].begin && frames[i] < symbols[j].end)
				cause = (__u32)symbols[j].cause;
		}
	}
	return cause;
}

static __always_inline void classify(void *ctx, struct task_state *state)
{
	struct verdict v = {};
	__u32 cause;
	bool tight;

	look_up(compat_memory_css(), &v);
	tight = v.margin <= slack_pages;
	if (is_kernel_thread())
		cause = RECLAIM_ASYNC;
	else if (tight && !v.high)
		cause = RECLAIM_LIMIT;
	else {
		cause = cause_by_stack(ctx);
		if (cause == RECLAIM_CAUSES)
			cause = tight ? RECLAIM_LIMIT : v.high ? RECLAIM_HIGH : RECLAIM_PROACTIVE;
	}
	state->cause = cause;
	/* A limit that is not near is that of a cgroup which current charges for, but is not in. */
	state->target = cause == RECLAIM_LIMIT && tight ? v.limit
			: cause == RECLAIM_HIGH		? v.high
							: 0;
}

/* --- recording -------------------------------------------------------------------------------------------------------- */

/*
 * The fuller the ring, the longer it must have lasted: the longest of a window find room, whenever they come. A quarter full:
 * 4 times as long, half: 16, three quarters: 64.
 */
static __always_inline bool is_outlier(__u64 ns)
{
	__u64 used;

	if (ns < outlier_ns)
		return false;
	used = bpf_ringbuf_query(&outliers, BPF_RB_AVAIL_DATA);
	return ns >= outlier_ns << (used * 4 / RECLAIM_RING & 3) * 2;
}

static __always_inline void keep_outlier(void *ctx, const struct latency_key *key, __u64 ns,
					 __u64 now)
{
	struct reclaim_event *event = NULL;
	long n;

	if (is_outlier(ns))
		event = bpf_ringbuf_reserve(&outliers, sizeof(*event), 0);
	if (!event) {
		__sync_fetch_and_add(&counters.outliers_unkept, 1);
		return;
	}
	event->end_ns = now;
	event->duration_ns = ns;
	event->cgroup = key->cgroup;
	event->target = key->target;
	event->cause = key->cause;
	event->pid = bpf_get_current_pid_tgid() >> 32;
	event->unused = 0;
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	n = bpf_get_stack(ctx, event->frames, sizeof(event->frames), 0);
	event->n_frames = n > 0 ? (__u32)n / 8 : 0;
	/* Nobody sleeps on it: it is read with the snapshots. */
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

static __always_inline void record(void *ctx, __u64 begin_ns, __u32 cause, __u64 target)
{
	__u64 now = bpf_ktime_get_ns(), ns = now - begin_ns;
	struct latency_key key = {
		.cgroup = latency_css_id(compat_memory_css()), .target = target, .cause = cause};
	struct latency_value *row = latency_row(key.cgroup, key.target, key.cause);

	if (row)
		latency_count(row, ns, now);
	else
		__sync_fetch_and_add(&counters.lost, 1);
	if (ns >= outlier_ns)
		keep_outlier(ctx, &key, ns, now);
}

static __always_inline struct task_state *begin(__u32 pair)
{
	struct task_state *state;

	if (!active)
		return NULL;
	state = find_task(true);
	if (state)
		state->begin_ns[pair] = bpf_ktime_get_ns();
	else
		__sync_fetch_and_add(&counters.lost_tasks, 1);
	return state;
}

/* Returns when it began; 0: not seen. */
static __always_inline __u64 end(__u32 pair, struct task_state **ret)
{
	struct task_state *state = active ? find_task(false) : NULL;
	__u64 begin_ns = 0;

	if (state) {
		begin_ns = state->begin_ns[pair];
		state->begin_ns[pair] = 0;
	}
	*ret = state;
	return begin_ns;
}

/* Of causes that the tracepoint alone tells. */
static __always_inline int end_plain(void *ctx, __u32 pair, __u32 cause)
{
	struct task_state *state;
	__u64 begin_ns = end(pair, &state);

	if (begin_ns)
		record(ctx, begin_ns, cause, 0);
	return 0;
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_begin")
int memcg_begin(BPF_CTX)
{
	struct task_state *state = begin(PAIR_MEMCG);

	if (state)
		classify(ctx, state);
	return 0;
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_end")
int memcg_end(BPF_CTX)
{
	struct task_state *state;
	__u64 begin_ns = end(PAIR_MEMCG, &state);

	if (begin_ns && state)
		record(ctx, begin_ns, (__u32)state->cause, state->target);
	return 0;
}

SEC("tp_btf/mm_vmscan_direct_reclaim_begin")
int global_begin(BPF_CTX)
{
	begin(PAIR_GLOBAL);
	return 0;
}

SEC("tp_btf/mm_vmscan_direct_reclaim_end")
int global_end(BPF_CTX)
{
	return end_plain(ctx, PAIR_GLOBAL, RECLAIM_GLOBAL);
}

SEC("tp_btf/mm_vmscan_node_reclaim_begin")
int node_begin(BPF_CTX)
{
	begin(PAIR_NODE);
	return 0;
}

SEC("tp_btf/mm_vmscan_node_reclaim_end")
int node_end(BPF_CTX)
{
	return end_plain(ctx, PAIR_NODE, RECLAIM_NODE);
}

SEC("tp_btf/mm_vmscan_memcg_softlimit_reclaim_begin")
int soft_begin(BPF_CTX)
{
	begin(PAIR_SOFT);
	return 0;
}

SEC("tp_btf/mm_vmscan_memcg_softlimit_reclaim_end")
int soft_end(BPF_CTX)
{
	return end_plain(ctx, PAIR_SOFT, RECLAIM_SOFT);
}
