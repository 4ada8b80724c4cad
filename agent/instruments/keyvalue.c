/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/keyvalue.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

void parse_note(struct parse_notes *notes, const char *file, const char *line, const char *what)
{
	size_t n = strcspn(line, "\n");

	if (!notes)
		return;
	if (notes->n == NOTES_MAX) {
		notes->dropped++;
		return;
	}
	(void)snprintf(notes->lines[notes->n++], NOTE_BYTES, "%s: %.*s: %s", file,
		       (int)(n < 40 ? n : 40), line, what);
}

/* The number at s (digits up to a blank or the line's end). */
static int parse_value(const char *s, uint64_t factor, uint64_t *ret)
{
	char digits[24] = "";
	size_t n = strspn(s, "0123456789");
	uint64_t v;
	int r;

	/* Without what follows, the file may have been cut in the middle of the number. */
	if (n == 0 || (s[n] != ' ' && s[n] != '\n'))
		return -EINVAL;
	if (n >= sizeof(digits))
		return -ERANGE;
	memcpy(digits, s, n);
	r = num_u64(digits, 0, UINT64_MAX, &v);
	if (r < 0)
		return r;
	return __builtin_mul_overflow(v, factor, ret) || *ret > KEYVALUE_MAX ? -ERANGE : 0;
}

static void parse_line(const char *line, const char *file, const struct keyvalue_field *fields,
		       size_t n_fields, void *out, uint64_t *seen, struct parse_notes *notes)
{
	size_t n = strcspn(line, " :\n");
	const char *value = line + n;
	uint64_t v;
	int r;

	value += *value == ':';
	value += strspn(value, " ");
	for (size_t i = 0; i < n_fields; i++) {
		if (strlen(fields[i].key) != n || memcmp(fields[i].key, line, n) != 0)
			continue;
		if (*seen & 1ULL << i) {
			parse_note(notes, file, line, "comes twice; the first is used");
			return;
		}
		r = parse_value(value, fields[i].factor, &v);
		if (r < 0) {
			parse_note(notes, file, line, r == -ERANGE ? "too large" : "not a number");
			return;
		}
		memcpy((char *)out + fields[i].offset, &v, sizeof(v));
		*seen |= 1ULL << i;
		return;
	}
}

void keyvalue_parse(const char *text, const char *file, const struct keyvalue_field *fields,
		    size_t n_fields, void *out, uint64_t *present, struct parse_notes *notes)
{
	uint64_t seen = 0;

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (*line)
			parse_line(line, file, fields, n_fields, out, &seen, notes);
	}
	for (size_t i = 0; i < n_fields; i++) {
		if (fields[i].required && !(seen & 1ULL << i))
			parse_note(notes, file, fields[i].key, "is missing");
	}
	if (present)
		*present = seen;
}
