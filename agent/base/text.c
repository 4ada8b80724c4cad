/* SPDX-License-Identifier: Apache-2.0 */
#include "base/text.h"

#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"

/* Length of the valid UTF-8 sequence at s (n bytes left) and its code point; 0 when there is none (RFC 3629). */
static size_t utf8_sequence(const unsigned char *s, size_t n, uint32_t *ret)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80 ? 1 : s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
	uint32_t c;

	if (len == 1) {
		*ret = s[0];
		return 1;
	}
	if (s[0] < 0xc2 || s[0] > 0xf4 || len > n)
		return 0;
	c = s[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < smallest[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return 0;
	*ret = c;
	return len;
}

/* Code points that YAML, JSON or a terminal treats as more than text. */
static bool is_plain(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c <= 0x9f))
		return false;
	if (c == 0x2028 || c == 0x2029 || c == 0xfeff) /* line separators, byte order mark */
		return false;
	if ((c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
	    (c >= 0x2066 && c <= 0x2069)) /* direction overrides */
		return false;
	return (c & 0xfffe) != 0xfffe; /* noncharacters at the end of each plane */
}

/* Writes \\xHH and returns its length. */
static size_t put_hex(char *out, unsigned char byte)
{
	static const char digits[] = "0123456789abcdef";

	out[0] = '\\';
	out[1] = 'x';
	out[2] = digits[byte >> 4];
	out[3] = digits[byte & 15];
	return 4;
}

static char *escape(const char *text, size_t n, bool double_backslash)
{
	const unsigned char *s = (const unsigned char *)text;
	char *out = xmalloc(n * 4 + 1), *o = out;

	for (size_t i = 0; i < n;) {
		uint32_t c = 0;
		size_t len = utf8_sequence(s + i, n - i, &c);

		if (len > 0 && is_plain(c)) {
			if (c == '\\' && double_backslash)
				*o++ = '\\';
			memcpy(o, s + i, len);
			o += len;
		} else {
			len = len ? len : 1;
			for (size_t k = 0; k < len; k++)
				o += put_hex(o, s[i + k]);
		}
		i += len;
	}
	*o = '\0';
	return out;
}

char *text_plain(const char *s, size_t n)
{
	return escape(s, n, false);
}

char *text_escape_name(const char *s, size_t n)
{
	return escape(s, n, true);
}

char *text_shell_quote(const char *s, size_t n)
{
	static const char harmless[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
		"_./-+:@%=,";
	_cleanup_free_ char *word = xstrndup(s, n), *plain = text_plain(s, n);
	_cleanup_buf_ struct buf out = BUF_INIT(SIZE_MAX / 2);
	bool dollar = strcmp(plain, word) != 0 || strlen(word) != n;

	if (n > 0 && strlen(word) == n && strspn(word, harmless) == n)
		return take_ptr(word);
	(void)buf_printf(&out, "%s'", dollar ? "$" : "");
	if (dollar) {
		_cleanup_free_ char *escaped = text_escape_name(s, n);

		for (const char *c = escaped; *c; c++)
			(void)buf_printf(&out, "%s%c", *c == '\'' ? "\\" : "", *c);
	} else {
		for (const char *c = word; *c; c++)
			(void)buf_printf(&out, "%s%c", *c == '\'' ? "'\\'" : "", *c);
	}
	(void)buf_printf(&out, "'");
	return buf_take(&out);
}

bool text_is_utf8(const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		uint32_t c;
		size_t len = utf8_sequence((const unsigned char *)s + i, n - i, &c);

		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

/* True when a cut before s[i] would split a UTF-8 sequence or one of our escapes. */
static bool splits(const char *s, size_t i)
{
	if (((unsigned char)s[i] & 0xc0) == 0x80)
		return true;
	for (size_t back = 1; back <= 3 && back <= i; back++) {
		size_t at = i - back, slashes = 0;

		if (s[at] != '\\')
			continue;
		/* An escape starts at an odd run's last backslash: \xHH is 4 bytes, \\ is 2. */
		for (size_t k = at + 1; k > 0 && s[k - 1] == '\\'; k--)
			slashes++;
		if (slashes % 2)
			return back < (s[at + 1] == 'x' ? 4u : 2u);
	}
	return false;
}

void text_shorten_middle(char *s, size_t max)
{
	size_t len = strlen(s), head, tail;

	if (len <= max)
		return;
	head = (max - 3) / 2;
	tail = len - (max - 3 - head);
	while (head > 0 && splits(s, head))
		head--;
	while (tail < len && splits(s, tail))
		tail++;
	memcpy(s + head, "...", 3);
	memmove(s + head + 3, s + tail, len - tail + 1);
}

void text_shorten_end(char *s, size_t max)
{
	size_t head = max - 3;

	if (strlen(s) <= max)
		return;
	while (head > 0 && splits(s, head))
		head--;
	memcpy(s + head, "...", 4);
}
