/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "identity/pods_internal.h"

enum { MAX_DIGITS = 18 }; /* of the number: 10^18 * 2^60 and 10^18 * 10^18 fit 128 bits */

/* The number before the suffix: digits * 10^exponent, and whether more digits followed than are kept. */
struct mantissa {
	uint64_t digits;
	int exponent;
	int n;	  /* significant digits kept */
	bool any; /* a digit was seen */
	bool more;
};

static int add_digit(struct mantissa *m, char c, bool fraction)
{
	m->any = true;
	if (fraction && (m->n == MAX_DIGITS || m->exponent == -MAX_DIGITS)) {
		m->more = m->more || c != '0';
		return 0;
	}
	if (m->n == MAX_DIGITS)
		return -ERANGE;
	m->digits = m->digits * 10 + (uint64_t)(c - '0');
	m->n += m->digits != 0;
	m->exponent -= fraction;
	return 0;
}

static int parse_mantissa(const char **s, struct mantissa *ret)
{
	bool fraction = false;

	*s += **s == '+';
	for (; (**s >= '0' && **s <= '9') || (**s == '.' && !fraction); (*s)++) {
		int r = **s == '.' ? 0 : add_digit(ret, **s, fraction);

		if (r < 0)
			return r;
		fraction = fraction || **s == '.';
	}
	return ret->any ? 0 : -EINVAL;
}

/* "e6", "E-3": 1 to 3 digits. */
static int parse_exponent(const char *s, int *ret)
{
	bool negative = s[1] == '-';
	int v = 0, n = 0;

	for (s += 1 + (s[1] == '-' || s[1] == '+'); *s >= '0' && *s <= '9' && n < 4; s++, n++)
		v = v * 10 + (*s - '0');
	if (*s || n == 0 || n > 3)
		return -EINVAL;
	*ret = negative ? -v : v;
	return 0;
}

static int parse_suffix(const char *s, int *ret_exponent, int *ret_shift)
{
	static const struct {
		const char *text;
		int exponent, shift;
	} suffixes[] = {
		{"", 0, 0},    {"Ki", 0, 10}, {"Mi", 0, 20}, {"Gi", 0, 30},
		{"Ti", 0, 40}, {"Pi", 0, 50}, {"Ei", 0, 60}, {"n", -9, 0},
		{"u", -6, 0},  {"m", -3, 0},  {"k", 3, 0},   {"M", 6, 0},
		{"G", 9, 0},   {"T", 12, 0},  {"P", 15, 0},  {"E", 18, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		if (strcmp(s, suffixes[i].text) != 0)
			continue;
		*ret_exponent = suffixes[i].exponent;
		*ret_shift = suffixes[i].shift;
		return 0;
	}
	*ret_shift = 0;
	return *s == 'e' || *s == 'E' ? parse_exponent(s, ret_exponent) : -EINVAL;
}

int pods_quantity_bytes(const char *s, uint64_t *ret)
{
	struct mantissa m = {0};
	int r = parse_mantissa(&s, &m), exponent, shift;
	unsigned __int128 v, divisor = 1;

	if (r < 0)
		return r;
	r = parse_suffix(s, &exponent, &shift);
	if (r < 0)
		return r;
	exponent += m.exponent;
	v = (unsigned __int128)m.digits << shift;
	for (; exponent > 0 && v > 0; exponent--) {
		v *= 10;
		if (v > INT64_MAX)
			return -ERANGE;
	}
	/* More than 36 places to the right nothing is left but "more than none". */
	for (int i = 0; exponent < 0 && i < 36; i++, exponent++)
		divisor *= 10;
	m.more = m.more || v % divisor != 0 || (exponent < 0 && v > 0);
	v = exponent < 0 ? 0 : v / divisor;
	v += m.more;
	if (v > INT64_MAX)
		return -ERANGE;
	*ret = (uint64_t)v;
	return 0;
}
