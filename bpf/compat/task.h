/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Tasks, their CPUs' run queues, and timers. */
#ifndef MEMDIAG_BPF_COMPAT_TASK_H
#define MEMDIAG_BPF_COMPAT_TASK_H

#include "compat/cgroup.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct path {
	struct dentry *dentry;
};

struct fs_struct {
	struct path root;
};

struct sched_info {
	unsigned long pcount;
	unsigned long long run_delay;
	unsigned long long last_arrival;
	unsigned long long last_queued;
};

struct rq {
	__u64 clock;
};

struct cfs_rq {
	struct rq *rq;
};

/* For how long it was throttled: on the run queue's clock since 6.6 (677ea015f231), */
struct cfs_rq___self {
	__u64 throttled_clock_self_time;
};

/* on the load tracking's since 5.19 (64eaf50731ac), which differs where a CPU is slower than the fastest, */
struct cfs_rq___pelt {
	__u64 throttled_clock_pelt_time;
};

/* and on the tasks' clock before. Without bandwidth control none of them. */
struct cfs_rq___task {
	__u64 throttled_clock_task_time;
};

struct sched_entity {
	struct cfs_rq *cfs_rq;
};

struct thread_info {
	unsigned long flags;
};

struct timerqueue_node {
	__s64 expires;
};

struct hrtimer {
	struct timerqueue_node node;
	void *function;
};

/* 2026: the queue of timers is a list besides a tree. */
struct timerqueue_linked_node {
	__s64 expires;
};

struct hrtimer___linked {
	struct timerqueue_linked_node node;
};

struct task_struct {
	struct thread_info thread_info;
	int pid, tgid, prio;
	char comm[16];
	struct sched_entity se;
	struct sched_info sched_info;
	struct files_struct *files;
	struct fs_struct *fs;
	struct css_set *cgroups;
	unsigned int flags;
};

struct bpf_iter__task {
	struct task_struct *task;
};

#pragma clang attribute pop

/* Macros in sched.h: the same since 2.6.16. */
#define COMPAT_PF_KTHREAD 0x00200000u

/* sched/prio.h: a macro. */
#define COMPAT_MAX_RT_PRIO 100

/* A task's state in the memory controller; NULL when the kernel is built without. Works on cgroup v1 and v2. */
static __always_inline struct cgroup_subsys_state *compat_task_memory_css(struct task_struct *task)
{
	struct cgroup_subsys_state *css = NULL;
	struct css_set *set;
	__u64 at;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id___any))
		return NULL;
	set = BPF_CORE_READ(task, cgroups);
	at = (__u64)set + bpf_core_field_offset(struct css_set, subsys) +
	     8 * bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id___any);
	compat_read(css, at);
	return css;
}

static __always_inline struct cgroup_subsys_state *compat_memory_css(void)
{
	return compat_task_memory_css((void *)bpf_get_current_task());
}

/* The kernfs id of a task's memory cgroup: st_ino of its directory. 0: unknown. */
static __always_inline __u64 compat_task_memory_cgroup(struct task_struct *task)
{
	return BPF_CORE_READ(compat_task_memory_css(task), cgroup, kn, id);
}

/* CLOCK_MONOTONIC at which a timer is to expire. */
static __always_inline __u64 compat_hrtimer_expires(struct hrtimer *timer)
{
	struct hrtimer___linked *linked = (void *)timer;

	if (bpf_core_field_exists(linked->node.expires))
		return BPF_CORE_READ(linked, node.expires);
	return BPF_CORE_READ(timer, node.expires);
}

/* Nanoseconds that a run queue of a CPU and cgroup was throttled so far; 0 where the kernel does not tell. */
static __always_inline __u64 compat_throttled_clock(struct cfs_rq *cfs_rq)
{
	struct cfs_rq___self *self = (void *)cfs_rq;
	struct cfs_rq___pelt *pelt = (void *)cfs_rq;
	struct cfs_rq___task *task = (void *)cfs_rq;

	if (bpf_core_field_exists(self->throttled_clock_self_time))
		return self->throttled_clock_self_time;
	if (bpf_core_field_exists(pelt->throttled_clock_pelt_time))
		return pelt->throttled_clock_pelt_time;
	if (bpf_core_field_exists(task->throttled_clock_task_time))
		return task->throttled_clock_task_time;
	return 0;
}

#endif
