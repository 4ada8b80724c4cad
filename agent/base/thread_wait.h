/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread of this process waits for in the kernel, for messages about one that does not come back. */
#ifndef MEMDIAG_BASE_THREAD_WAIT_H
#define MEMDIAG_BASE_THREAD_WAIT_H

#include <stddef.h>
#include <sys/types.h>

enum { THREAD_WAIT_MAX = 320 };

/*
 * "it reads /proc/4711/maps (rwsem_down_read_slowpath)", "it opens /var/lib/memdiag/pods", "it waits in system call 202 (futex_wait)",
 * "it computes", "what it waits for cannot be seen". From /proc/self/task/TID: the file of read(2) and the like by its descriptor,
 * that of openat(2) by its argument; the kernel's function where it tells. Returns out.
 */
const char *thread_wait_describe(pid_t tid, char out[THREAD_WAIT_MAX]);

#endif
