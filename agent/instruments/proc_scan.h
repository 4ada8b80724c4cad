/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One pass over /proc: every process and every link in its fd folder, for all who want to know who holds something. The pass
 * opens one folder at a time and follows no link.
 */
#ifndef MEMDIAG_INSTRUMENTS_PROC_SCAN_H
#define MEMDIAG_INSTRUMENTS_PROC_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/root.h"

/* One open file of a process. */
struct proc_fd {
	pid_t pid;
	unsigned int fd;
	const char *
		target; /* what the link says, at most 255 bytes: "socket:[123]", "/dmabuf:", "anon_inode:bpf-map" */
};

struct proc_visitor {
	void (*process)(void *arg, const struct root *proc,
			pid_t pid); /* before its files; NULL is fine */
	void (*fd)(void *arg, const struct root *proc, const struct proc_fd *fd); /* NULL is fine */
	void *arg;
};

enum {
	PROC_SCAN_MAX_PROCESSES = 65536,
	PROC_SCAN_MAX_FDS = 524288, /* about 1.5 us each */
};

struct proc_scan_stats {
	uint64_t processes, fds;
	uint64_t unlisted; /* processes whose files may not be listed: no CAP_DAC_READ_SEARCH */
	uint64_t
		unreadable; /* those that are listed, but may not be looked at: no CAP_SYS_PTRACE */
	uint64_t dropped;   /* processes beyond a ceiling */
};

/* Fails only when the root itself can't be listed. What goes during the pass is in it or not. */
int proc_scan(const struct root *proc, const struct proc_visitor *visitors, size_t n,
	      struct proc_scan_stats *stats, struct err *err);

/* --- for visitors ------------------------------------------------------------------------------------------------------ */

/* "socket:[123]" and prefix "socket:[" give 123. False: it is something else. */
bool proc_link_inode(const char *target, const char *prefix, uint64_t *ret);
/*
 * Reads PID/fdinfo/FD. What is longer than 64 KiB (an io_uring lists each of its entries) is cut. -ENOENT: the file is closed.
 */
int proc_read_fdinfo(const struct root *proc, const struct proc_fd *fd, struct buf *out);
/*
 * The number of a line "KEY:<blanks>NUMBER", decimal or 0x…; false when there is none. With " KiB" or " MiB" behind it, as DRM
 * writes, it is in bytes.
 */
bool proc_field(const char *text, const char *key, uint64_t *ret);
/* The text of such a line, cut to fit. */
bool proc_field_text(const char *text, const char *key, char *out, size_t size);

#endif
