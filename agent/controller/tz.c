/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/tz.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/root.h"
#include "controller/tz_rule.h"

enum {
	DAY_SECONDS = 86400,
	HEADER_SIZE = 44,
	ZONE_FILE_MAX = 64 << 10, /* the largest of 2025 has 3.6 KiB */
	OFFSET_MAX = 26 * 3600,	  /* RFC 8536: -25 to 26 hours */
	RULE_MAX = 128,
};

struct tz {
	size_t n; /* transitions */
	int64_t *when;
	int32_t *offset; /* from when[i] on */
	int32_t first;	 /* before the first transition */
	bool has_rule;
	struct tz_rule rule; /* after the last one */
};

/* What a header says follows it. */
struct counts {
	size_t is_utc, is_standard, leap, times, types, chars;
};

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const unsigned char *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

static bool read_counts(const unsigned char *p, size_t n, struct counts *ret)
{
	if (n < HEADER_SIZE || memcmp(p, "TZif", 4) != 0)
		return false;
	*ret = (struct counts){be32(p + 20), be32(p + 24), be32(p + 28),
			       be32(p + 32), be32(p + 36), be32(p + 40)};
	return ret->is_utc <= n && ret->is_standard <= n && ret->leap <= n && ret->times <= n &&
	       ret->types <= n && ret->types >= 1 && ret->chars <= n;
}

/* Bytes of the block that follows the header; width is that of a time. */
static size_t block_size(const struct counts *c, size_t width)
{
	return c->times * (width + 1) + c->types * 6 + c->chars + c->leap * (width + 4) +
	       c->is_standard + c->is_utc;
}

/* The block of 64-bit times. */
static bool read_block(const unsigned char *p, const struct counts *c, struct tz *tz)
{
	const unsigned char *index = p + c->times * 8, *types = index + c->times;

	for (size_t i = 0; i < c->types; i++) {
		int32_t offset = (int32_t)be32(types + i * 6);

		if (offset < -OFFSET_MAX || offset > OFFSET_MAX)
			return false;
	}
	tz->n = c->times;
	tz->when = xcalloc(c->times, sizeof(*tz->when));
	tz->offset = xcalloc(c->times, sizeof(*tz->offset));
	tz->first = (int32_t)be32(types);
	for (size_t i = 0; i < c->times; i++) {
		if (index[i] >= c->types)
			return false;
		tz->when[i] = be64(p + i * 8);
		tz->offset[i] = (int32_t)be32(types + index[i] * 6);
		if (i > 0 && tz->when[i] <= tz->when[i - 1])
			return false;
	}
	return true;
}

/* \n RULE \n; an empty rule is none. */
static bool read_footer(const unsigned char *p, size_t n, struct tz *tz)
{
	char text[RULE_MAX];
	const unsigned char *end;
	size_t length;

	if (n < 2 || p[0] != '\n')
		return false;
	end = memchr(p + 1, '\n', n - 1);
	length = end ? (size_t)(end - p) - 1 : sizeof(text);
	if (length >= sizeof(text) || memchr(p + 1, '\0', length))
		return false;
	memcpy(text, p + 1, length);
	text[length] = '\0';
	tz->has_rule = length > 0;
	return length == 0 || tz_rule_parse(text, &tz->rule) == 0;
}

int tz_parse(const void *data, size_t n, struct tz **ret, struct err *err)
{
	_cleanup_tz_ struct tz *tz = xcalloc(1, sizeof(*tz));
	const unsigned char *p = data;
	struct counts c;
	size_t skip;

	if (!read_counts(p, n, &c) || p[4] < '2')
		return err_say(err, EINVAL, "is no TZif file of version 2 or later");
	/* The first block is for readers that know 32-bit times alone. */
	skip = HEADER_SIZE + block_size(&c, 4);
	if (skip > n || !read_counts(p + skip, n - skip, &c) ||
	    block_size(&c, 8) > n - skip - HEADER_SIZE)
		return err_say(err, EINVAL, "is a TZif file that is cut off");
	p += skip + HEADER_SIZE;
	n -= skip + HEADER_SIZE;
	if (!read_block(p, &c, tz))
		return err_say(err, EINVAL, "is a TZif file with a wrong table of transitions");
	skip = block_size(&c, 8);
	if (!read_footer(p + skip, n - skip, tz))
		return err_say(err, EINVAL, "is a TZif file with a wrong rule at its end");
	*ret = take_ptr(tz);
	return 0;
}

void tz_free(struct tz *tz)
{
	if (!tz)
		return;
	free(tz->when);
	free(tz->offset);
	free(tz);
}

/* Letters, digits and _+- in parts divided by single slashes: nothing that leads out of the folder. */
static bool is_zone_name(const char *s)
{
	static const char chars[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-/";
	size_t n = strlen(s);

	return n >= 1 && n <= 64 && strspn(s, chars) == n && s[0] != '/' && s[n - 1] != '/' &&
	       !strstr(s, "//") && strcmp(s, "Local") != 0;
}

int tz_load(const char *folder, const char *name, struct tz **ret, struct err *err)
{
	_cleanup_buf_ struct buf data = BUF_INIT(ZONE_FILE_MAX);
	_cleanup_root_ struct root root = ROOT_INIT;
	int r;

	if (strcmp(name, "UTC") == 0) {
		*ret = NULL;
		return 0;
	}
	if (!is_zone_name(name))
		return err_say(err, EINVAL,
			       "must be the name of an IANA time zone, such as Europe/Berlin");
	r = root_open(&root, folder, NULL);
	if (r < 0)
		return err_set(err, -r, "%s (package tzdata) cannot be read", folder);
	r = root_read(&root, name, &data, NULL);
	if (r == -ENOENT || r == -ENOTDIR || r == -EISDIR)
		return err_say(
			err, ENOENT,
			"is not among the time zones of %s; names are case-sensitive, such as "
			"Europe/Berlin",
			folder);
	if (r < 0)
		return err_set(err, -r, "cannot be read from %s", folder);
	return tz_parse(data.data ? data.data : "", data.len, ret, err);
}

int32_t tz_offset(const struct tz *tz, int64_t instant)
{
	size_t low = 0, high;

	if (!tz)
		return 0;
	high = tz->n;
	/* The number of transitions at or before the instant. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (tz->when[middle] <= instant)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == tz->n && tz->has_rule)
		return tz_rule_offset(&tz->rule, instant);
	return low == 0 ? tz->first : tz->offset[low - 1];
}

void tz_to_wall(const struct tz *tz, int64_t instant, struct tz_wall *ret)
{
	int64_t local = instant + tz_offset(tz, instant);
	int64_t days = local / DAY_SECONDS - (local % DAY_SECONDS < 0);
	int seconds = (int)(local - days * DAY_SECONDS);

	ret->year = tz_date(days, &ret->month, &ret->day);
	ret->weekday = (int)(((days + 4) % 7 + 7) % 7);
	ret->hour = seconds / 3600;
	ret->minute = seconds / 60 % 60;
	ret->second = seconds % 60;
}

int64_t tz_from_wall(const struct tz *tz, const struct tz_wall *wall)
{
	int64_t months = wall->year * 12 + wall->month - 1;
	int64_t year = months / 12 - (months % 12 < 0);
	int64_t local = tz_days(year, (int)(months - year * 12) + 1, wall->day) * DAY_SECONDS +
			wall->hour * 3600 + wall->minute * 60 + wall->second;

	/* The offset in force about then, and if the clock is changed in between, the one at the instant this leads to. */
	return local - tz_offset(tz, local - tz_offset(tz, local));
}
