/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host that is diagnosed: its /proc, its cgroups, and the facts every check needs.
 */
#ifndef MEMDIAG_INSTRUMENTS_HOST_H
#define MEMDIAG_INSTRUMENTS_HOST_H

#include <stdint.h>

#include "base/err.h"
#include "base/root.h"
#include "instruments/cgroupfs.h"

/* The running kernel's types: of the kernel itself, not of the host's /proc that is diagnosed. */
#define HOST_KERNEL_BTF "/sys/kernel/btf/vmlinux"

struct host_paths {
	const char *proc;   /* "/proc"; must show the host's pids */
	const char *cgroup; /* "/sys/fs/cgroup" */
};

struct host {
	struct root proc;
	struct cgroupfs cgroups;
	char kernel[128];	  /* uname -r */
	char node_name[254];	  /* as given, else the hostname */
	uint64_t mem_total_bytes; /* MemTotal of /proc/meminfo */
};

#define HOST_INIT                                           \
	{                                                   \
		.proc = ROOT_INIT, .cgroups = CGROUPFS_INIT \
	}

/* node_name NULL: the hostname, in lower case. */
int host_open(struct host *host, const struct host_paths *paths, const char *node_name,
	      struct err *err);
void host_close(struct host *host);

#define _cleanup_host_ _cleanup_(host_close)

#endif
