/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's "key value" files: meminfo, vmstat, memory.stat. Lenient as a kernel of tomorrow asks for (unknown keys are
 * passed over), strict with what is known: a line that is no number, overflows or comes twice is named, and the rest is used.
 */
#ifndef MEMDIAG_INSTRUMENTS_KEYVALUE_H
#define MEMDIAG_INSTRUMENTS_KEYVALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NOTES_MAX = 4, NOTE_BYTES = 96 };

/* No memory is larger (8 PiB); sums of such values cannot overflow, and JSON holds them exactly. */
#define KEYVALUE_MAX (1ULL << 53)

/* What was wrong with a file, for the report. */
struct parse_notes {
	char lines[NOTES_MAX][NOTE_BYTES]; /* "meminfo: Slab: not a number" */
	size_t n;
	uint64_t dropped; /* beyond NOTES_MAX */
};

void parse_note(struct parse_notes *notes, const char *file, const char *line, const char *what);

/* One key that is wanted. */
struct keyvalue_field {
	const char *key;
	size_t offset;	 /* of a uint64_t in the output */
	uint64_t factor; /* what one unit of the file is in units of the output */
	bool required;	 /* its absence is noted */
};

/*
 * Parses text (NUL-terminated), lines of "KEY: VALUE kB" or "KEY VALUE", into the fields of out. Fields that do not come keep
 * their value. `present`, when not NULL, gets a bit per field that was set (at most 64 fields).
 */
void keyvalue_parse(const char *text, const char *file, const struct keyvalue_field *fields,
		    size_t n_fields, void *out, uint64_t *present, struct parse_notes *notes);

#endif
