// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * For tests and benchmarks alone: run queue waits by time stamps, the way other tools do it. A hash by pid is written where a
 * task wakes up or is preempted, and read where it gets the CPU. It shares nothing with how the product does it.
 */
#include "compat/task.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct task_struct___state { /* since 5.14; `state` before */
	unsigned int __state;
} __attribute__((preserve_access_index));

struct task_struct___old {
	long state;
} __attribute__((preserve_access_index));

struct waits {
	__u64 count, sum_ns, slow, slow_ns;
};

static const struct waits no_waits;
const volatile __u64 slow_ns = 1000000;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, __u64);
} since SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct waits);
} by_cgroup SEC(".maps");

static __always_inline int begin(struct task_struct *task)
{
	__u32 pid = task->pid;
	__u64 now = bpf_ktime_get_ns();

	if (pid)
		bpf_map_update_elem(&since, &pid, &now, 0);
	return 0;
}

static __always_inline bool is_running(struct task_struct *task)
{
	struct task_struct___state *state = (void *)task;
	struct task_struct___old *old = (void *)task;

	if (bpf_core_field_exists(state->__state))
		return state->__state == 0;
	return old->state == 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_ref_wakeup, struct task_struct *task)
{
	return begin(task);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_ref_new, struct task_struct *task)
{
	return begin(task);
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_ref_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u32 pid = next->pid;
	struct waits *waits;
	__u64 *from, cgroup, ns;

	if (preempt || is_running(prev))
		begin(prev);
	from = bpf_map_lookup_elem(&since, &pid);
	if (!from)
		return 0;
	ns = bpf_ktime_get_ns() - *from;
	bpf_map_delete_elem(&since, &pid);
	if ((__s64)ns < 0)
		return 0;
	cgroup = compat_task_memory_cgroup(next);
	waits = bpf_map_lookup_elem(&by_cgroup, &cgroup);
	if (!waits) {
		bpf_map_update_elem(&by_cgroup, &cgroup, &no_waits, BPF_NOEXIST);
		waits = bpf_map_lookup_elem(&by_cgroup, &cgroup);
		if (!waits)
			return 0;
	}
	__sync_fetch_and_add(&waits->count, 1);
	__sync_fetch_and_add(&waits->sum_ns, ns);
	if (ns > slow_ns) {
		__sync_fetch_and_add(&waits->slow, 1);
		__sync_fetch_and_add(&waits->slow_ns, ns);
	}
	return 0;
}

/* What any program costs there. */
SEC("?tp_btf/sched_switch")
int BPF_PROG(on_ref_nothing)
{
	return 0;
}
