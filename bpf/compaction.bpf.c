// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * How long tasks compact memory themselves because they asked for a large piece.
 *
 * The kernel marks the beginning of a direct compaction, but not its end; it may work on one zone after the other. So a wait is
 * recorded when its first zone is done, and recorded anew when a further one is: until the task's next mark it is one event. Their
 * number is vmstat's compact_stall, which counts those that were only deferred, too (7.2 leaves them out).
 */
#include "compat/page.h"
#include "compat/task.h"

#include "compaction.h"
#include "latency_rows.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct task_state {
	__u64 last_ns;	/* of the mark, or of the last zone's end; 0: no mark */
	__u64 begin_ns; /* of the zone it is in */
	__u64 sum_ns;	/* of the zones since the mark */
	__u64 cgroup;
	__u32 order;
	__u32 recorded; /* as which cause, +1; 0: not yet */
};

#include "task_state.h"

/* 5.18 put struct compact_control * before the others (abd4349ff9b8); the status is last. */
const volatile bool has_control = true;
bool active; /* set when all programs are attached */
struct compaction_counters counters;

/* A zone that begins within that time after the last sign belongs to it: the task may have lost the CPU in between. */
#define SAME_WAIT_NS 1000000000ULL

static __always_inline bool is_direct(const struct task_state *state, __u64 now)
{
	return state->last_ns && now - state->last_ns < SAME_WAIT_NS;
}

static __always_inline void count(__u64 cgroup, __u32 order, __u32 cause, __u64 ns, __u64 now)
{
	struct latency_value *row = latency_row(cgroup, order, cause);

	if (row)
		latency_count(row, ns, now);
	else
		__sync_fetch_and_add(&counters.lost, 1);
}

/* The wait since the mark, as what it is by now. */
static __always_inline void count_direct(struct task_state *state, __u32 cause, __u64 ns, __u64 now)
{
	if (state->recorded) {
		struct latency_value *row =
			latency_row(state->cgroup, state->order, state->recorded - 1);

		if (row)
			latency_uncount(row, state->sum_ns);
	} else {
		state->cgroup = latency_css_id(compat_memory_css());
	}
	state->sum_ns += ns;
	state->recorded = cause + 1;
	state->last_ns = now;
	count(state->cgroup, state->order, cause, state->sum_ns, now);
}

SEC("tp_btf/mm_compaction_try_to_compact_pages")
int BPF_PROG(compact_mark, int order)
{
	struct task_state *state = active ? find_task(true) : NULL;

	if (state) {
		state->last_ns = bpf_ktime_get_ns();
		state->begin_ns = 0;
		state->sum_ns = 0;
		state->order = (__u32)order;
		state->recorded = 0;
	} else if (active) {
		__sync_fetch_and_add(&counters.lost_tasks, 1);
	}
	return 0;
}

SEC("tp_btf/mm_compaction_deferred")
int compact_deferred(BPF_CTX)
{
	struct task_state *state = active ? find_task(false) : NULL;
	__u64 now = bpf_ktime_get_ns();

	if (state && is_direct(state, now) && !state->recorded)
		count_direct(state, COMPACTION_DEFERRED, 0, now);
	return 0;
}

SEC("tp_btf/mm_compaction_begin")
int compact_begin(BPF_CTX)
{
	struct task_state *state = active ? find_task(true) : NULL;

	if (state)
		state->begin_ns = bpf_ktime_get_ns();
	else if (active)
		__sync_fetch_and_add(&counters.lost_tasks, 1);
	return 0;
}

/* Two loads: the verifier wants the offset of each as a constant. */
static __always_inline int last_argument(const __u64 *ctx)
{
	int status;

	if (has_control) {
		status = (int)((const volatile __u64 *)ctx)[4];
		barrier();
	} else {
		status = (int)((const volatile __u64 *)ctx)[5];
		barrier();
	}
	return status;
}

SEC("tp_btf/mm_compaction_end")
int compact_end(__u64 *ctx)
{
	struct task_state *state = active ? find_task(false) : NULL;
	__u64 now = bpf_ktime_get_ns(), ns;
	int status;

	if (!state || !state->begin_ns)
		return 0;
	status = last_argument(ctx);
	ns = now - state->begin_ns;
	if (is_direct(state, state->begin_ns))
		count_direct(state,
			     status == (int)bpf_core_enum_value(enum compact_result,
								COMPACT_SUCCESS___any)
				     ? COMPACTION_SUCCESS
				     : COMPACTION_FAILURE,
			     ns, now);
	else
		count(latency_css_id(compat_memory_css()), 0,
		      is_kernel_thread() ? COMPACTION_KCOMPACTD : COMPACTION_MANUAL, ns, now);
	state->begin_ns = 0;
	return 0;
}
