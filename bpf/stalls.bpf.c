// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Who keeps a CPU from others inside the kernel. The scheduler's own tick looks: it finds the flag that asks the task to give
 * up the CPU, and when the same task in the same stint still has it ticks later, that is a stall. No interrupt is added; a tick
 * takes 0.3 us more. A tick that comes late tells that interrupts were off (or the virtual CPU was away).
 *
 * Which bit the flag is differs and is in no type information: user space finds it out first, with the two programs at the end.
 */
#include "compat/task.h"
#include "stalls.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile __u64 tick_function; /* of the timer that is the tick */
const volatile __u64 user_entry,
	user_entry_end; /* the function by which the tick interrupts user space */
const volatile __u64 no_sched_ns = 10000000; /* from here on it is a stall */
const volatile __u64 irq_off_ns = 5000000;
__u64 resched_mask;
struct stalls_counters counters;

enum { LATE_NS = 1000000 }; /* a tick that late did not see what was in between */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stalls_cpu);
} cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, STALLS_RING);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, STALLS_ROWS);
	__type(key, struct stalls_key);
	__type(value, struct hist);
} rows SEC(".maps");

static const struct hist no_row;

static __always_inline void store(const struct stalls_event *event)
{
	struct stalls_key key = {.cgroup = event->cgroup, .kind = event->kind};
	struct hist *row = bpf_map_lookup_elem(&rows, &key);
	__u32 bucket = hist_bucket(event->duration_ns);

	if (!row) {
		bpf_map_update_elem(&rows, &key, &no_row, BPF_NOEXIST);
		row = bpf_map_lookup_elem(&rows, &key);
	}
	if (!row || bucket >= HIST_BUCKETS) {
		__sync_fetch_and_add(&counters.lost_rows, 1);
		return;
	}
	__sync_fetch_and_add(&row->count, 1);
	__sync_fetch_and_add(&row->sum_ns, event->duration_ns);
	__sync_fetch_and_add(&row->buckets[bucket], 1);
	if (event->duration_ns > row->max_ns)
		row->max_ns = event->duration_ns;
}

/* Tells user space and the table. */
static __always_inline void emit(struct stalls_event *event)
{
	store(event);
	if (bpf_ringbuf_output(&ring, event, sizeof(*event), 0))
		__sync_fetch_and_add(&counters.lost_events, 1);
}

/* Who is on this CPU now, and where. */
static __always_inline void describe(void *ctx, struct stalls_event *event, __u32 kind)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	long size;

	event->kind = kind;
	event->cpu = bpf_get_smp_processor_id();
	event->pid = BPF_CORE_READ(task, pid);
	event->tgid = BPF_CORE_READ(task, tgid);
	event->cgroup = compat_task_memory_cgroup(task);
	bpf_get_current_comm(event->comm, sizeof(event->comm));
	size = bpf_get_stack(ctx, event->frames, sizeof(event->frames), 0);
	event->n_frames = size > 0 ? (__u32)size >> 3 : 0;
}

/* The stall that the ticks followed on this CPU, if it was one, is over. */
static __always_inline void finish(struct stalls_cpu *cpu)
{
	__u64 seen_ns = cpu->last_ns - cpu->since_ns - cpu->late_ns;

	if (cpu->since_ns && cpu->fired && cpu->ticks) {
		/* It began before the first tick that saw it and ended after the last, half a tick each on average. */
		cpu->event.duration_ns = seen_ns + seen_ns / cpu->ticks;
		cpu->event.end_ns = cpu->last_ns;
		emit(&cpu->event);
	}
	cpu->since_ns = 0;
	cpu->fired = 0;
}

static __always_inline void report_late(void *ctx, struct stalls_cpu *cpu, __u64 now, __u64 late_ns)
{
	struct stalls_event *event = &cpu->event;
	__u64 outermost = 0;
	__u32 n;

	if (cpu->fired) /* it holds the stall that goes on */
		return;
	describe(ctx, event, STALLS_IRQ_OFF);
	n = event->n_frames;
	if (n > 0 && n <= STALLS_FRAMES)
		outermost = event->frames[(n - 1) & (STALLS_FRAMES - 1)];
	if (outermost >= user_entry && outermost < user_entry_end) {
		__sync_fetch_and_add(&counters.stolen, 1);
		__sync_fetch_and_add(&counters.stolen_ns, late_ns);
		return;
	}
	event->duration_ns = late_ns;
	event->end_ns = now;
	emit(event);
}

static __always_inline void look(void *ctx, __u64 now, __s64 late_ns)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 pid = BPF_CORE_READ(task, pid), zero = 0;
	struct stalls_cpu *cpu = bpf_map_lookup_elem(&cpus, &zero);
	__u64 arrival;

	if (!cpu)
		return;
	counters.ticks++;
	if (!pid) { /* idle */
		finish(cpu);
		return;
	}
	if (late_ns > (__s64)irq_off_ns)
		report_late(ctx, cpu, now, late_ns);
	if (!(BPF_CORE_READ(task, thread_info.flags) & resched_mask)) {
		finish(cpu);
		return;
	}
	arrival = BPF_CORE_READ(task, sched_info.last_arrival);
	if (!cpu->since_ns || cpu->pid != pid || cpu->arrival != arrival) {
		finish(cpu);
		cpu->since_ns = now;
		cpu->last_ns = now;
		cpu->late_ns = 0;
		cpu->ticks = 0;
		cpu->pid = pid;
		cpu->arrival = arrival;
		return;
	}
	cpu->ticks++;
	cpu->last_ns = now;
	if (late_ns > LATE_NS)
		cpu->late_ns += late_ns;
	if (!cpu->fired && now - cpu->since_ns - cpu->late_ns >= no_sched_ns) {
		cpu->fired = 1;
		describe(ctx, &cpu->event, STALLS_NO_SCHED);
	}
}

SEC("tp_btf/hrtimer_expire_entry")
int BPF_PROG(on_tick, struct hrtimer *timer)
{
	__u64 now;

	if ((__u64)timer->function != tick_function)
		return 0;
	now = bpf_ktime_get_ns();
	look(ctx, now, now - compat_hrtimer_expires(timer));
	return 0;
}

/* Where the tick is no high resolution timer: a clock event of perf. It cannot tell how late it is. */
SEC("perf_event")
int on_clock(void *ctx)
{
	look(ctx, bpf_ktime_get_ns(), 0);
	return 0;
}

/* --- which bit -------------------------------------------------------------------------------------------------------- */

__u32 find_tgid; /* the process that moves itself from CPU to CPU */
__u64 find_and, find_or, find_n;

/*
 * For each move it wakes the stopper, the highest priority of all, on its own CPU: it is itself asked to give that up. The flags
 * that are set each time, and never when it has given up, are that one.
 */
SEC("tp_btf/sched_wakeup")
int BPF_PROG(find_wakeup, struct task_struct *woken)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	if (bpf_get_current_pid_tgid() >> 32 != find_tgid || woken->prio >= COMPAT_MAX_RT_PRIO)
		return 0;
	find_and &= BPF_CORE_READ(task, thread_info.flags);
	find_n++;
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(find_switch, bool preempt, struct task_struct *prev)
{
	if ((__u32)prev->tgid == find_tgid)
		find_or |= BPF_CORE_READ(prev, thread_info.flags);
	return 0;
}
