/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"

/* 0..63, or -1. */
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(const char *text, char **ret, size_t *ret_len)
{
	_cleanup_free_ char *out = xmalloc(strlen(text) / 4 * 3 + 4);
	unsigned int n = 0, padding = 0;
	uint32_t group = 0;
	size_t len = 0;

	for (; *text; text++) {
		int v = value_of(*text);

		if (*text == '\n' || *text == '\r')
			continue;
		if (*text == '=')
			padding++;
		else if (v < 0 || padding > 0)
			return -EINVAL;
		group = group << 6 | (uint32_t)(v < 0 ? 0 : v);
		if (++n % 4 != 0)
			continue;
		/* Bits below the padding must be 0, else two texts would mean the same bytes. */
		if (padding > 2 || (padding == 1 && (group & 0xff)) ||
		    (padding == 2 && (group & 0xffff)))
			return -EINVAL;
		out[len++] = (char)(group >> 16);
		out[len++] = (char)(group >> 8);
		out[len++] = (char)group;
		group = 0;
	}
	if (n % 4 != 0 || padding > n || padding > 2)
		return -EINVAL;
	len -= padding;
	out[len] = '\0';
	*ret = take_ptr(out);
	*ret_len = len;
	return 0;
}
