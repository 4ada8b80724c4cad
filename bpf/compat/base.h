/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What every program needs: plain types, libbpf's helpers, reading by address.
 *
 * This folder has the kernel's types as far as our programs read them, and every difference between kernels 5.10 to 6.18 and
 * later. Declarations name only the members that are read; CO-RE finds their offsets in the running kernel's BTF when the object
 * is loaded. A flavour (three underscores) is the same type in another kernel. Differences are told apart by members, never by
 * version; the release or commit stands beside each.
 */
#ifndef MEMDIAG_BPF_COMPAT_BASE_H
#define MEMDIAG_BPF_COMPAT_BASE_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u16 __sum16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u64 __be64;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

/* Of the BPF system call's ABI, what we use: linux/bpf.h wants headers of a target that clang's bpf has not. */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum {
	BPF_ANY = 0,			    /* of bpf_map_update_elem() */
	BPF_NOEXIST = 1,		    /* of bpf_map_update_elem() */
	BPF_F_NO_PREALLOC = 1,		    /* of maps */
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1, /* of bpf_task_storage_get() */
	BPF_RB_NO_WAKEUP = 1,		    /* of bpf_ringbuf_submit() */
	BPF_RB_AVAIL_DATA = 0,		    /* of bpf_ringbuf_query() */
};

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* BPF_PROG() of libbpf makes parameters of which a program need not use all. */
#pragma clang diagnostic ignored "-Wunused-parameter"

/* The context parameter of a program that does not use it. */
#define BPF_CTX void *ctx __attribute__((unused))

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next, *prev;
};

#pragma clang attribute pop

/* Reads a member-sized value at an address. 0, or -EFAULT; the destination is zeroed then. */
#define compat_read(dst, address) \
	bpf_probe_read_kernel(&(dst), sizeof(dst), (const void *)(address))

#endif
