// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * For tests alone: runs in the kernel for long without scheduling, in a function that has a name (htab_map_update_elem); or, from
 * a timer, with interrupts off.
 */
#include "compat/base.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u64 turns;
__u64 irqs_left; /* how often the timer shall do it */
__u64 irq_ns;	 /* for how long it did, the last time */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, char[4096]);
} work SEC(".maps");

char page[4096];

static long turn(__u32 i, void *ctx)
{
	__u32 key = i & 7;

	return bpf_map_update_elem(&work, &key, page, 0) != 0;
}

SEC("raw_tp/sys_enter")
int spin(BPF_CTX)
{
	bpf_loop(turns, turn, NULL, 0);
	return 0;
}

SEC("perf_event")
int spin_irq(BPF_CTX)
{
	__u64 begin_ns = bpf_ktime_get_ns();

	if (!irqs_left)
		return 0;
	irqs_left--;
	bpf_loop(turns, turn, NULL, 0);
	irq_ns = bpf_ktime_get_ns() - begin_ns;
	return 0;
}
