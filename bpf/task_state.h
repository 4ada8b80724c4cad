/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a program remembers of a task between two tracepoints. Include it behind the definition of struct task_state, which is
 * zeroed when made.
 */
#ifndef MEMDIAG_BPF_TASK_STATE_H
#define MEMDIAG_BPF_TASK_STATE_H

#include "compat/task.h"

enum { TASK_STATES = 8192 }; /* at the same time, without task storage */

const volatile bool has_storage = true; /* task storage for tracing programs: 5.12 (a10787e6d58c) */

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} storage SEC(".maps");

/*
 * Where there is none: by thread. One that ends in between is displaced in time. Also where no storage can be made: since 7.0 or so
 * it comes from kmalloc_nolock(), which wants a compare-and-exchange of two words that some CPUs lack.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, TASK_STATES);
	__type(key, __u32);
	__type(value, struct task_state);
} tasks SEC(".maps");

/* Current's. NULL: it has none, or there is no memory for one. */
static __always_inline struct task_state *find_task(bool make)
{
	struct task_state none = {}, *state;
	__u32 tid;

	if (has_storage) {
		state = bpf_task_storage_get(&storage, bpf_get_current_task_btf(), 0,
					     make ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
		if (state)
			return state;
	}
	tid = (__u32)bpf_get_current_pid_tgid();
	state = bpf_map_lookup_elem(&tasks, &tid);
	if (state || !make)
		return state;
	bpf_map_update_elem(&tasks, &tid, &none, BPF_ANY);
	return bpf_map_lookup_elem(&tasks, &tid);
}

static __always_inline bool is_kernel_thread(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return BPF_CORE_READ(task, flags) & COMPAT_PF_KTHREAD;
}

#endif
