/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One /proc/PID/mountinfo, parsed: see proc_pid_mountinfo(5).
 */
#ifndef MEMDIAG_IDENTITY_MOUNTINFO_H
#define MEMDIAG_IDENTITY_MOUNTINFO_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"

/* Strings are owned and unescaped. */
struct mountinfo_line {
	uint32_t major, minor; /* of the superblock */
	char *root;	       /* the part of the filesystem that is mounted */
	char *point;	       /* where, in the process's view */
	char *fstype;
	char *options; /* of the superblock: overlay's lowerdir, upperdir */
};

struct mountinfo {
	struct mountinfo_line *lines;
	size_t n, cap;
	uint64_t bad;	  /* lines that do not parse */
	uint64_t dropped; /* lines beyond MOUNTINFO_MAX */
};

enum { MOUNTINFO_MAX = 65536 };

/* Appends the lines of text (NUL-terminated; it is changed) to info. Never fails: bad lines are counted. */
void mountinfo_parse(struct mountinfo *info, char *text);
/* Appends the table of a process. */
int mountinfo_read(struct mountinfo *info, const struct root *proc, uint32_t pid, struct err *err);
void mountinfo_done(struct mountinfo *info);

/*
 * The rest of path below root, beginning with '/' or empty; NULL when path is not below root. Both begin with '/'.
 */
const char *mountinfo_below(const char *path, const char *root);

#endif
