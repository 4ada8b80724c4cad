// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* For tests alone: runs in the kernel for long without scheduling, in a function that has a name (htab_map_update_elem). */
#include "compat.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

__u64 turns;

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
