/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of /proc whose reading may never end. PID/maps waits for the lock of the process's memory map, which a thread that hangs in a
 * driver or on a dead filesystem may hold for good: it is why ps(1) hangs on such nodes. A thread of its own reads; one that does not
 * come back in time is left behind and ends when the kernel lets it.
 */
#ifndef MEMDIAG_INSTRUMENTS_PROC_TIMED_H
#define MEMDIAG_INSTRUMENTS_PROC_TIMED_H

#include <stdint.h>

#include "base/root.h"

enum {
	PROC_TIMED_MS = 1000, /* maps of 100,000 lines take 0.1 s */
	PROC_TIMED_LEFT_MAX =
		8, /* threads left behind; each has 256 KiB of stack, 24 KiB of them used */
};

/*
 * As root_read(), but out holds nothing else afterwards, even so what is there of a file that is too large (-EFBIG). Moreover
 * -ETIMEDOUT: it took longer than timeout_ms; -EBUSY: so many readings hang already that no other is begun. May be called by any
 * thread.
 */
int proc_read_timed(const struct root *proc, const char *rel, uint64_t timeout_ms, struct buf *out);
/* How many readings have been left behind and have not come back. */
unsigned int proc_timed_left(void);

#endif
