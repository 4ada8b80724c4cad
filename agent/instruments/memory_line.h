/* SPDX-License-Identifier: Apache-2.0 */
/* One part of some memory: of the node's (meminfo.h) or of a cgroup's (cgroup_lines.h). */
#ifndef MEMDIAG_INSTRUMENTS_MEMORY_LINE_H
#define MEMDIAG_INSTRUMENTS_MEMORY_LINE_H

#include <stdint.h>

struct memory_line {
	const char *name;   /* lowerCamelCase, as the CRD has it with "Bytes" behind */
	const char *label;  /* for people */
	const char *source; /* which counters make it */
	const char
		*group; /* heading under which it stands; of a part of a line: that line's name */
	int64_t bytes;
};

#endif
