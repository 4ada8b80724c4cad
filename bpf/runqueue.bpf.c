// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * How long tasks wait for a CPU, by cgroup, and who had it meanwhile.
 *
 * The kernel times every wait itself (sched_info). One hook, where a task gets the CPU, asks how much its delay grew: some 60 ns
 * with a lookup in task storage, where time stamps at wake-ups cost four times as much and more. Only waits above
 * RUNQUEUE_SLOW_NS are stored there; all others are added up from the tasks' own sums when somebody reads (count_tasks) and
 * when a task is freed. Each task remembers what of it was added, so sums only grow and follow a task from cgroup to cgroup.
 *
 * Memory for a task is taken where it is forked, or by the walk, never in sched_switch: there the run queue is locked, and an
 * allocation that wakes kswapd would lock it again.
 */
#include "compat/task.h"
#include "runqueue.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile bool has_storage = true;	  /* task storage for tracing programs */
const volatile __u64 holder_ns = 4000000; /* waits above this name who had the CPU */
bool counting; /* what the walk finds is added; else it was there before us */
struct runqueue_counters counters;

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct runqueue_task);
} storage SEC(".maps");

/* Where there is none: by pid. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RUNQUEUE_TASKS);
	__type(key, __u32);
	__type(value, struct runqueue_task);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * RUNQUEUE_ROWS);
	__type(key, struct runqueue_key);
	__type(value, struct runqueue_row);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, RUNQUEUE_CULPRITS);
	__type(key, struct runqueue_pair);
	__type(value, struct runqueue_culprit);
} culprits SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct runqueue_stints);
} stints SEC(".maps");

static const struct runqueue_row no_row;
static const struct runqueue_culprit no_culprit;

static __always_inline struct runqueue_task *find_task(struct task_struct *task)
{
	__u32 pid;

	if (has_storage)
		return bpf_task_storage_get(&storage, task, 0, 0);
	pid = task->pid;
	return bpf_map_lookup_elem(&tasks, &pid);
}

/* Finds or makes it. Not where a run queue is locked. */
static __always_inline struct runqueue_task *make_task(struct task_struct *task)
{
	struct runqueue_task none = {}, *state;
	__u32 pid;

	if (has_storage)
		return bpf_task_storage_get(&storage, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	pid = task->pid;
	state = bpf_map_lookup_elem(&tasks, &pid);
	if (state)
		return state;
	bpf_map_update_elem(&tasks, &pid, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&tasks, &pid);
}

static __always_inline struct runqueue_row *find_row(__u64 cgroup, __u64 cause)
{
	struct runqueue_key key = {.cgroup = cgroup, .cause = cause};
	struct runqueue_row *row = bpf_map_lookup_elem(&rows, &key);

	if (row)
		return row;
	bpf_map_update_elem(&rows, &key, &no_row, BPF_NOEXIST);
	return bpf_map_lookup_elem(&rows, &key);
}

/* --- slow waits ------------------------------------------------------------------------------------------------------- */

static __always_inline void store_wait(struct runqueue_row *row, __u64 ns)
{
	__u32 bucket = hist_bucket(ns);

	if (bucket >= HIST_BUCKETS)
		return;
	__sync_fetch_and_add(&row->slow.count, 1);
	__sync_fetch_and_add(&row->slow.sum_ns, ns);
	__sync_fetch_and_add(&row->slow.buckets[bucket], 1);
	/* Two CPUs at once can lose the smaller maximum, or for once keep it. */
	if (ns > row->slow.max_ns)
		row->slow.max_ns = ns;
	row->last_ns = bpf_ktime_get_ns();
}

/* prev is current, and had the CPU for so long until now. */
static __always_inline void remember_stint(struct task_struct *prev, __u64 now, __u64 ran_ns)
{
	__u32 zero = 0;
	struct runqueue_stints *all = bpf_map_lookup_elem(&stints, &zero);
	struct runqueue_stint *stint;

	if (!all)
		return;
	stint = &all->last[all->next++ & (RUNQUEUE_STINTS - 1)];
	stint->from_ns = now - ran_ns;
	stint->to_ns = now;
	stint->cgroup = compat_task_memory_cgroup(prev);
	stint->pid = prev->tgid;
	bpf_get_current_comm(stint->comm, sizeof(stint->comm));
}

/* For how long of the time since from_ns. */
static __always_inline __u64 overlap(const struct runqueue_stint *stint, __u64 from_ns)
{
	__u64 begin = stint->from_ns > from_ns ? stint->from_ns : from_ns;

	return stint->to_ns > begin ? stint->to_ns - begin : 0;
}

/* Of the long stints of this CPU the one that took most of the wait; NULL: none did. *held_ns: it and others of its cgroup. */
static __always_inline const struct runqueue_stint *longest_stint(__u64 from_ns, __u64 *held_ns)
{
	__u32 zero = 0, i;
	const struct runqueue_stints *all = bpf_map_lookup_elem(&stints, &zero);
	const struct runqueue_stint *longest = NULL;
	__u64 most_ns = 0;

	if (!all)
		return NULL;
	for (i = 0; i < RUNQUEUE_STINTS; i++) {
		if (overlap(&all->last[i], from_ns) > most_ns) {
			longest = &all->last[i];
			most_ns = overlap(longest, from_ns);
		}
	}
	if (!longest)
		return NULL;
	for (i = 0; i < RUNQUEUE_STINTS; i++)
		if (all->last[i].cgroup == longest->cgroup)
			*held_ns += overlap(&all->last[i], from_ns);
	return longest;
}

static __always_inline void store_culprit(struct task_struct *next, __u64 waiter, __u64 wait_ns,
					  __u64 now)
{
	__u64 held_ns = 0;
	const struct runqueue_stint *stint = longest_stint(now - wait_ns, &held_ns);
	struct runqueue_pair key = {.waiter = waiter, .holder = stint ? stint->cgroup : 0};
	struct runqueue_culprit *culprit = bpf_map_lookup_elem(&culprits, &key);

	if (!culprit) {
		bpf_map_update_elem(&culprits, &key, &no_culprit, BPF_NOEXIST);
		culprit = bpf_map_lookup_elem(&culprits, &key);
	}
	if (!culprit) {
		__sync_fetch_and_add(&counters.lost_culprits, 1);
		return;
	}
	__sync_fetch_and_add(&culprit->count, 1);
	__sync_fetch_and_add(&culprit->wait_ns, wait_ns);
	__sync_fetch_and_add(&culprit->held_ns, held_ns < wait_ns ? held_ns : wait_ns);
	culprit->last_ns = bpf_ktime_get_ns();
	culprit->waiter_pid = next->tgid;
	bpf_probe_read_kernel_str(culprit->waiter_comm, sizeof(culprit->waiter_comm), next->comm);
	if (stint) {
		culprit->holder_pid = stint->pid;
		__builtin_memcpy(culprit->holder_comm, stint->comm, sizeof(stint->comm));
	}
}

SEC("tp_btf/sched_switch")
int BPF_PROG(on_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	__u64 queued = next->sched_info.last_queued, now, total_ns, wait_ns, throttled_ns = 0,
	      clock;
	__u64 arrival = prev->sched_info.last_arrival; /* 0: the idle task */
	struct cfs_rq *cfs_rq;
	struct runqueue_task *state;
	struct runqueue_row *row;
	bool throttled;
	__u64 cgroup;

	if (!queued) /* the idle task */
		return 0;
	cfs_rq = next->se.cfs_rq; /* its CPU's, whatever class it is in */
	now = cfs_rq->rq->clock;
	if (arrival && now - arrival > RUNQUEUE_SLOW_NS)
		remember_stint(prev, now, now - arrival);
	wait_ns = now - queued; /* since it was queued on this CPU */
	total_ns = next->sched_info.run_delay + wait_ns;
	state = find_task(next);
	if (state) {
		clock = compat_throttled_clock(cfs_rq);
		wait_ns = total_ns - state->total_ns;
		if (state->cfs_rq == (__u64)cfs_rq)
			throttled_ns = clock - state->throttled_ns;
		state->total_ns = total_ns;
		state->cfs_rq = (__u64)cfs_rq;
		state->throttled_ns = clock;
	}
	if ((__s64)wait_ns <= RUNQUEUE_SLOW_NS)
		return 0;

	throttled = throttled_ns >= wait_ns / 2;
	cgroup = compat_task_memory_cgroup(next);
	row = find_row(cgroup, throttled ? RUNQUEUE_THROTTLED : RUNQUEUE_CONTENTION);
	if (!row) {
		__sync_fetch_and_add(&counters.lost_waits, 1);
		return 0;
	}
	store_wait(row, wait_ns);
	if (!state) {
		__sync_fetch_and_add(&counters.stateless, 1);
	} else {
		state->slow_count++;
		if (throttled)
			state->throttled_wait_ns += wait_ns;
	}
	if (!throttled && wait_ns > holder_ns)
		store_culprit(next, cgroup, wait_ns, now);
	return 0;
}

/* --- all waits -------------------------------------------------------------------------------------------------------- */

/* Adds what is new of a task to its cgroup. A wait that is just ending is for a moment in the one sum and not in the other. */
static __always_inline void account(struct task_struct *task, struct runqueue_task *state)
{
	__u64 fast = task->sched_info.pcount - state->slow_count - state->seen_fast;
	__u64 delay_ns =
		task->sched_info.run_delay - state->throttled_wait_ns - state->seen_delay_ns;
	struct runqueue_row *row;

	if ((__s64)fast < 0)
		fast = 0;
	if ((__s64)delay_ns < 0)
		delay_ns = 0;
	if (!fast && !delay_ns)
		return;
	state->seen_fast += fast;
	state->seen_delay_ns += delay_ns;
	row = find_row(compat_task_memory_cgroup(task), RUNQUEUE_CONTENTION);
	if (!row) {
		__sync_fetch_and_add(&counters.lost_waits, fast);
		return;
	}
	__sync_fetch_and_add(&row->fast_count, fast);
	__sync_fetch_and_add(&row->delay_ns, delay_ns);
	row->last_ns = bpf_ktime_get_ns();
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
	make_task(child);
	return 0;
}

/* The last use of a task_struct: it has been reaped and will not run again. */
SEC("tp_btf/sched_process_free")
int BPF_PROG(on_free, struct task_struct *task)
{
	struct runqueue_task *state = find_task(task);
	__u32 pid = task->pid;

	if (!state)
		return 0;
	account(task, state);
	if (!has_storage)
		bpf_map_delete_elem(&tasks, &pid);
	return 0;
}

SEC("iter/task")
int count_tasks(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct runqueue_task *state;

	if (!task)
		return 0;
	counters.tasks++;
	counters.delay_ns += task->sched_info.run_delay;
	counters.waits += task->sched_info.pcount;
	state = make_task(task);
	if (!state)
		return 0;
	counters.followed++;
	if (counting) {
		account(task, state);
		return 0;
	}
	/* What it waited before we came is not ours. */
	state->total_ns = task->sched_info.run_delay;
	state->seen_fast = task->sched_info.pcount;
	state->seen_delay_ns = task->sched_info.run_delay;
	return 0;
}
