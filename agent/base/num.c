/* SPDX-License-Identifier: Apache-2.0 */
#include "base/num.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

int num_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++) {
		if (*s < '0' || *s > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -ERANGE;
	}
	if (v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int num_hex(const char *s, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	if (n == 0 || n > 16)
		return -EINVAL;
	for (size_t i = 0; i < n; i++) {
		char c = s[i];

		v <<= 4;
		if (c >= '0' && c <= '9')
			v |= (uint64_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v |= (uint64_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			v |= (uint64_t)(c - 'A' + 10);
		else
			return -EINVAL;
	}
	*ret = v;
	return 0;
}

/* The unit at s in milliseconds, and its length; 0 when there is none. */
static uint64_t duration_unit(const char *s, size_t *ret_len)
{
	*ret_len = 1;
	if (s[0] == 'm' && s[1] == 's') {
		*ret_len = 2;
		return 1;
	}
	switch (s[0]) {
	case 's':
		return 1000;
	case 'm':
		return 60 * 1000;
	case 'h':
		return 3600 * 1000;
	default:
		return 0;
	}
}

int num_duration_ms(const char *s, uint64_t *ret_ms)
{
	/* The CRD's pattern: ^([0-9]{1,6}(ms|s|m|h)){1,3}$. It cannot overflow: 3 * 999999 h = 1.1e13 ms. */
	uint64_t total = 0;
	int parts = 0;

	while (*s) {
		uint64_t v = 0, unit;
		int digits = 0;
		size_t len;

		for (; *s >= '0' && *s <= '9' && digits < 7; s++, digits++)
			v = v * 10 + (uint64_t)(*s - '0');
		if (digits == 0 || digits > 6 || ++parts > 3)
			return -EINVAL;
		unit = duration_unit(s, &len);
		if (unit == 0)
			return -EINVAL;
		total += v * unit;
		s += len;
	}
	if (parts == 0)
		return -EINVAL;
	*ret_ms = total;
	return 0;
}

const char *num_format_bytes(uint64_t bytes, char out[NUM_TEXT_MAX])
{
	static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
	uint64_t tenths;
	size_t u = 0;

	while (u + 1 < ARRAY_SIZE(units) && bytes >> (10 * u) >= 1024)
		u++;
	/* A value below 10 gets one decimal, rounded to nearest; 9.95 and more is a whole number again. */
	tenths = u ? (((bytes >> (10 * (u - 1))) * 10 + 512) / 1024) : bytes * 10;
	if (u && tenths < 100 && tenths % 10)
		(void)snprintf(out, NUM_TEXT_MAX, "%" PRIu64 ".%" PRIu64 "%s", tenths / 10,
			       tenths % 10, units[u]);
	else
		(void)snprintf(out, NUM_TEXT_MAX, "%" PRIu64 "%s", u ? (tenths + 5) / 10 : bytes,
			       units[u]);
	return out;
}

const char *num_format_seconds(uint64_t seconds, char out[NUM_TEXT_MAX])
{
	uint64_t h = seconds / 3600, m = seconds / 60 % 60, s = seconds % 60;

	if (h > 999999)
		(void)snprintf(out, NUM_TEXT_MAX, ">999999h");
	else if (h)
		(void)snprintf(out, NUM_TEXT_MAX, "%" PRIu64 "h%" PRIu64 "m", h, m);
	else if (m)
		(void)snprintf(out, NUM_TEXT_MAX, "%" PRIu64 "m%" PRIu64 "s", m, s);
	else
		(void)snprintf(out, NUM_TEXT_MAX, "%" PRIu64 "s", s);
	return out;
}

const char *num_format_micros(uint64_t us, char out[NUM_TEXT_MAX])
{
	if (us < 1000)
		(void)snprintf(out, NUM_TEXT_MAX, "%" PRIu64 "us", us);
	else if (us < 10000)
		(void)snprintf(out, NUM_TEXT_MAX, "%.1fms", (double)us / 1e3);
	else if (us < 1000000)
		(void)snprintf(out, NUM_TEXT_MAX, "%" PRIu64 "ms", us / 1000);
	else if (us < 60000000)
		(void)snprintf(out, NUM_TEXT_MAX, "%.1fs", (double)us / 1e6);
	else
		return num_format_seconds(us / 1000000, out);
	return out;
}

uint64_t num_muldiv(uint64_t a, uint64_t b, uint64_t c)
{
	unsigned __int128 v = (unsigned __int128)a * b / c;

	return v > UINT64_MAX ? UINT64_MAX : (uint64_t)v;
}

uint64_t num_hash(const void *data, size_t n)
{
	const unsigned char *p = data;
	uint64_t h = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 0x100000001b3ULL;
	return h;
}
