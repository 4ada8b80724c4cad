/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who holds the kernel memory that no process shows: read from user space alone, one pass over /proc and a few netlink dumps.
 * Each source is a file kmem_*.c of its own; what one of them lacks is named and the others are used.
 *
 * | kind        | read from                                  | counted in (line of the breakdown)          |
 * |-------------|--------------------------------------------|---------------------------------------------|
 * | packetRing  | sock_diag in every network namespace       | residual                                    |
 * | tcp,udp,unix| sock_diag with memory info                 | residual (a small part of it is slab)       |
 * | perfBuffer  | PID/maps of processes with perf events     | residual                                    |
 * | bpfMap      | fdinfo, and by id where nobody holds one   | by the map's type: vmalloc, percpu, residual |
 * | bpfProgram  | fdinfo                                     | vmalloc                                     |
 * | ioUring     | fdinfo                                     | residual                                    |
 * | pipe        | FIONREAD on a duplicate of the descriptor  | residual                                    |
 * | dmaBuf      | fdinfo, debugfs                            | residual; shmem: GPUs without TTM, udmabuf (see kmem_gpu.c) |
 * | drm         | fdinfo, main memory only                   | residual with TTM drivers, else shmem       |
 * | nvidia      | PID/maps of processes with /dev/nvidiactl  | residual                                    |
 * | rdma        | netlink                                    | anon                                        |
 * | pagePool    | netlink, every network namespace           | residual                                    |
 * | hugePages   | /sys/kernel/mm/hugepages, PID/status       | hugePages                                   |
 * | memfd       | PID/fd                                     | shmem, hugePages                            |
 * | secretMemory| PID/fd                                     | pageCache                                   |
 * | hugePageRemains: no row of this instrument; see kernel_pages.h                                          |
 * | vmalloc     | /proc/vmallocinfo, when asked for          | vmalloc                                     |
 *
 * Network namespaces that may not be entered: kmem_procnet.c.
 */
#ifndef MEMDIAG_INSTRUMENTS_KMEM_H
#define MEMDIAG_INSTRUMENTS_KMEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"
#include "instruments/kmem_owner.h"

struct kmem_opts {
	const struct root *proc;
	const char *sys; /* NULL: "/sys" */
	/* proc is a recorded tree: the running kernel is not asked anything by system call or netlink. */
	bool recorded;
	bool vmalloc; /* read /proc/vmallocinfo too: at most once a run (see kmem_vmalloc.c) */
};

struct kmem_snapshot {
	struct kmem_owners owners; /* largest first */
	struct kmem_missing missing;
	uint64_t processes, fds, unreadable, namespaces; /* what was looked at */
	uint64_t dropped; /* processes, files, sockets, namespaces beyond a ceiling */
};

/* Fails only when /proc can't be listed. The caller frees *ret. */
int kmem_read(const struct kmem_opts *opts, struct kmem_snapshot **ret, struct err *err);
void kmem_snapshot_free(struct kmem_snapshot *snapshot);

#endif
