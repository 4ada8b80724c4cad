/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/pressure.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

#define BLANKS " \t"

/* The zones' parts of one counter. */
struct zones {
	uint64_t dma, dma32, normal, high, movable, device;
};

struct raw_vmstat {
	struct pressure_vmstat v;
	struct zones allocstall, pgalloc;
};

static uint64_t sum(const struct zones *z)
{
	return z->dma + z->dma32 + z->normal + z->high + z->movable + z->device;
}

#define FIELD(name)                                                  \
	{                                                            \
#name, offsetof(struct raw_vmstat, v.name), 1, false \
	}
#define ZONE(name, zone)                                                          \
	{                                                                         \
#name "_" #zone, offsetof(struct raw_vmstat, name.zone), 1, false \
	}

void pressure_parse_vmstat(const char *text, struct pressure_vmstat *ret, struct parse_notes *notes)
{
	static const struct keyvalue_field fields[] = {
		FIELD(pgscan_direct),	   FIELD(pgsteal_direct),    FIELD(compact_stall),
		FIELD(compact_fail),	   FIELD(compact_success),   ZONE(allocstall, dma),
		ZONE(allocstall, dma32),   ZONE(allocstall, normal), ZONE(allocstall, high),
		ZONE(allocstall, movable), ZONE(allocstall, device), ZONE(pgalloc, dma),
		ZONE(pgalloc, dma32),	   ZONE(pgalloc, normal),    ZONE(pgalloc, high),
		ZONE(pgalloc, movable),	   ZONE(pgalloc, device),
	};
	struct raw_vmstat raw = {0};

	keyvalue_parse(text, "vmstat", fields, ARRAY_SIZE(fields), &raw, NULL, notes);
	raw.v.allocstall = sum(&raw.allocstall);
	raw.v.pgalloc = sum(&raw.pgalloc);
	*ret = raw.v;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=123"; known when the line "some" is whole. */
void pressure_parse_stall(char *text, struct pressure_stall *ret)
{
	char *line;

	*ret = (struct pressure_stall){0};
	while ((line = strsep(&text, "\n"))) {
		char *total = strstr(line, " total=");
		uint64_t us;

		if (!total || num_u64(total + strlen(" total="), 0, UINT64_MAX, &us) < 0)
			continue;
		if (strncmp(line, "some ", 5) == 0) {
			ret->some_us = us;
			ret->known = true;
		} else if (strncmp(line, "full ", 5) == 0) {
			ret->full_us = us;
		}
	}
}

static void add(uint64_t *to, const char *number, const char *file, const char *name,
		struct parse_notes *notes)
{
	uint64_t v;

	if (!number || num_u64(number, 0, KEYVALUE_MAX, &v) < 0)
		parse_note(notes, file, name, "not a number");
	else if (*to <= KEYVALUE_MAX)
		*to += v;
}

/* Lines of two words, "min 14769"; others of the same names have more ("high: 4") or come with a colon. */
void pressure_parse_zoneinfo(char *text, struct pressure_zones *ret, struct parse_notes *notes)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		char *rest = line + strspn(line, BLANKS);
		const char *name = strsep(&rest, BLANKS), *number = NULL;

		if (rest) {
			rest += strspn(rest, BLANKS);
			number = strsep(&rest, BLANKS);
		}
		if (strcmp(name, "min") == 0)
			add(&ret->min, number, "zoneinfo", name, notes);
		else if (strcmp(name, "low") == 0)
			add(&ret->low, number, "zoneinfo", name, notes);
		else if (strcmp(name, "managed") == 0)
			add(&ret->managed, number, "zoneinfo", name, notes);
	}
}

/* "Node 0, zone   Normal   1046   527 ..." */
void pressure_parse_buddyinfo(char *text, struct pressure_zones *ret, struct parse_notes *notes)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		char *rest = strstr(line, "zone ");
		size_t order = 0;
		char *word;

		if (!rest)
			continue;
		rest += strlen("zone ");
		rest += strspn(rest, BLANKS);
		(void)strsep(&rest, BLANKS); /* its name */
		while ((word = strsep(&rest, BLANKS)) && order < PRESSURE_ORDERS) {
			if (*word)
				add(&ret->free_blocks[order++], word, "buddyinfo", line, notes);
		}
		ret->orders = order > ret->orders ? order : ret->orders;
	}
}

unsigned int pressure_unusable_permille(const struct pressure_zones *zones, uint64_t order)
{
	uint64_t all = 0, small = 0;

	for (uint64_t i = 0; i < PRESSURE_ORDERS; i++) {
		uint64_t pages = num_muldiv(zones->free_blocks[i], 1ULL << i, 1) &
				 ((1ULL << 48) - 1);

		all += pages;
		small += i < order ? pages : 0;
	}
	return all ? (unsigned int)num_muldiv(small, 1000, all) : 0;
}

/* --- files ------------------------------------------------------------------------------------------------------------ */

void pressure_read_vmstat(const struct root *proc, struct pressure_vmstat *ret,
			  struct parse_notes *notes)
{
	_cleanup_buf_ struct buf text = BUF_INIT(ROOT_FILE_MAX);

	*ret = (struct pressure_vmstat){0};
	if (root_read(proc, "vmstat", &text, NULL) < 0 || !text.data)
		parse_note(notes, "vmstat", "", "cannot be read");
	else
		pressure_parse_vmstat(text.data, ret, notes);
}

void pressure_read_stall(const struct root *root, const char *path, struct pressure_stall *ret)
{
	_cleanup_buf_ struct buf text = BUF_INIT(65536);

	*ret = (struct pressure_stall){0};
	if (root_read(root, path, &text, NULL) == 0 && text.data)
		pressure_parse_stall(text.data, ret);
}

static void read_blocks(const struct root *proc, struct pressure_zones *ret,
			struct parse_notes *notes)
{
	_cleanup_buf_ struct buf blocks = BUF_INIT(ROOT_FILE_MAX);

	if (root_read(proc, "buddyinfo", &blocks, NULL) < 0 || !blocks.data)
		parse_note(notes, "buddyinfo", "", "cannot be read");
	else
		pressure_parse_buddyinfo(blocks.data, ret, notes);
}

void pressure_read_blocks(const struct root *proc, struct pressure_zones *ret,
			  struct parse_notes *notes)
{
	*ret = (struct pressure_zones){0};
	read_blocks(proc, ret, notes);
}

void pressure_read_zones(const struct root *proc, struct pressure_zones *ret,
			 struct parse_notes *notes)
{
	_cleanup_buf_ struct buf zones = BUF_INIT(ROOT_FILE_MAX);

	*ret = (struct pressure_zones){0};
	if (root_read(proc, "zoneinfo", &zones, NULL) < 0 || !zones.data)
		parse_note(notes, "zoneinfo", "", "cannot be read");
	else
		pressure_parse_zoneinfo(zones.data, ret, notes);
	read_blocks(proc, ret, notes);
}
