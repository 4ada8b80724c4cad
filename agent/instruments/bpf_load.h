/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What loading any of our BPF objects takes: the kernel's own types, and libbpf's first complaint as the reason of a failure.
 * Threads take turns: what is between begin and end is locked, since libbpf has one place for its complaints.
 *
 *	BPF_OPEN_OPTS(opts);
 *	struct bpf_load load = bpf_load_begin();
 *	skel = x_bpf__open_opts(&opts);
 *	r = skel ? x_bpf__load(skel) : -errno;
 *	r = bpf_load_end(&load, r, "the walk of memory cgroups", err);
 */
#ifndef MEMDIAG_INSTRUMENTS_BPF_LOAD_H
#define MEMDIAG_INSTRUMENTS_BPF_LOAD_H

#include <stdbool.h>

#include <bpf/libbpf.h>

#include "base/err.h"
#include "instruments/host.h"

/*
 * Our types are the kernel's own, never a module's. Told where they are, libbpf does not look for one that this kernel lacks
 * among the modules, which needs CAP_SYS_ADMIN (seen on 6.1).
 */
#define BPF_OPEN_OPTS(name) \
	LIBBPF_OPTS(bpf_object_open_opts, name, .btf_custom_path = HOST_KERNEL_BTF)

/*
 * Whether BPF programs of any kind can be loaded at all: BTF, capabilities, no lockdown. Loads nothing. -EOPNOTSUPP or -EPERM and
 * what is missing.
 */
int bpf_probe(const struct root *proc, struct err *err);

struct bpf_load {
	libbpf_print_fn_t old; /* whom libbpf told before */
};

struct bpf_load bpf_load_begin(void);
/* Returns r; for r < 0 err says that `what` cannot be loaded, and why. */
int bpf_load_end(const struct bpf_load *load, int r, const char *what, struct err *err);

/*
 * Leaves out the programs on tracepoints ("tp_btf/NAME") that this kernel does not have, which would make the whole object fail.
 * Between opening and loading. Returns how many, or -errno when the kernel's types cannot be read. Takes 10 ms or so: for a second
 * try.
 */
int bpf_load_skip_missing(struct bpf_object *object);

/* The number of arguments of a tracepoint as programs see them; -ENOENT: this kernel has none of that name, or its types cannot be read. */
int bpf_load_tracepoint_args(const char *name);

/* What this kernel may lack, to be left out. */
struct bpf_attempt {
	bool by_pid;	   /* task storage for tracing programs (before 5.12) */
	bool skip_missing; /* some tracepoints */
};

/*
 * Loads with as much as there is: calls try with one thing after the other left out until it returns 0, which it returns then, or
 * -EPERM; else its last error. by_pid_only: not with task storage.
 */
int bpf_load_attempts(int (*try)(void *arg, const struct bpf_attempt *attempt), void *arg,
		      bool by_pid_only);

#endif
