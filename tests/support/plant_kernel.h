/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel memory that no process shows, each kind as its usual holder makes it: by one process in one cgroup, which waits with it.
 * plant_clean() ends what is left.
 */
#ifndef MEMDIAG_TESTS_PLANT_KERNEL_H
#define MEMDIAG_TESTS_PLANT_KERNEL_H

#include "support/plant.h"

enum plant_kernel {
	PLANT_PACKET_RING, /* AF_PACKET receive rings */
	PLANT_PERF,	   /* mapped buffers of perf events */
	PLANT_PIPES,	   /* full pipes of 1 MiB */
	PLANT_BPF_ARRAY,
	PLANT_BPF_RINGBUF,
	PLANT_UNIX, /* unread data in unix stream sockets */
	PLANT_TCP,  /* unread data in TCP connections over loopback */
	PLANT_IO_URING,
	PLANT_HUGE_PAGES, /* mapped; plant_huge_pool() first */
	PLANT_MEMFD,
	PLANT_KERNEL_KINDS
};

extern const char *const plant_kernel_names[PLANT_KERNEL_KINDS];

/* bytes: a multiple of 32 MiB. Sockets: payload; the kernel charges more. cgroup may be NULL. */
struct plant_child plant_kernel(enum plant_kernel kind, const char *cgroup, size_t bytes);
/* The same in a network namespace of its own. */
struct plant_child plant_kernel_netns(enum plant_kernel kind, const char *cgroup, size_t bytes);
/* Ends the process and with it what it held. */
void plant_kernel_end(struct plant_child *child);

/* Enlarges the pool of huge pages (of the default size) by that much; false: memory is too fragmented. bytes 0: as it was before. */
bool plant_huge_pool(size_t bytes);

#endif
