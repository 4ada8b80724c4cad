/* SPDX-License-Identifier: Apache-2.0 */
/* The floor: text, numbers, buffers, maps, files below a root. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/root.h"
#include "base/text.h"

#define assert_text(expected, call)                   \
	do {                                          \
		char *text_ = (call);                 \
		assert_string_equal(text_, expected); \
		free(text_);                          \
	} while (0)

static void names_survive(void **state)
{
	static const char name[] = "a\n\xff\\b\xc3\xa9";

	(void)state;
	/* Newline and invalid byte become \xHH, the backslash doubles, valid UTF-8 stays. */
	assert_text("a\\x0a\\xff\\\\b\xc3\xa9", text_escape_name(name, sizeof(name) - 1));
	/* C1, DEL, byte order mark, U+FFFE and a direction override are escaped byte by byte. */
	assert_text("\\xc2\\x85\\x7f\\xef\\xbb\\xbf\\xef\\xbf\\xbe\\xe2\\x80\\xae",
		    text_plain("\xc2\x85\x7f\xef\xbb\xbf\xef\xbf\xbe\xe2\x80\xae", 12));
	/* Overlong forms, surrogates and cut sequences are not UTF-8. */
	assert_false(text_is_utf8("\xc0\xaf", 2));
	assert_false(text_is_utf8("\xed\xa0\x80", 3));
	assert_false(text_is_utf8("\xf0\x9f\x98", 3));
	assert_true(text_is_utf8("\xf0\x9f\x98\x80", 4));
}

/* Undoes text_escape_name() as `printf %b` does. */
static size_t unescape(const char *s, char *out)
{
	size_t n = 0;

	while (*s) {
		unsigned int byte;

		if (s[0] == '\\' && s[1] == 'x' && sscanf(s + 2, "%2x", &byte) == 1) {
			out[n++] = (char)byte;
			s += 4;
		} else {
			s += *s == '\\';
			out[n++] = *s++;
		}
	}
	return n;
}

static void every_byte_comes_back(void **state)
{
	char all[511], back[sizeof(all)], *escaped;

	(void)state;
	for (int i = 0; i < 255; i++) {
		all[2 * i] = (char)(i + 1);
		all[2 * i + 1] = '\\';
	}
	all[510] = 'x';
	escaped = text_escape_name(all, sizeof(all));
	assert_true(text_is_utf8(escaped, strlen(escaped)));
	assert_int_equal(unescape(escaped, back), sizeof(all));
	assert_memory_equal(back, all, sizeof(all));
	free(escaped);
}

static void shortening_splits_nothing(void **state)
{
	char name[512], *escaped;

	(void)state;
	for (size_t max = 16; max < 120; max++) {
		char text[512], back[512];

		memset(name, 0xff, 30); /* becomes \xff each */
		memcpy(name + 30, "\xc3\xa9\xc3\xa9\\\\", 6);
		escaped = text_escape_name(name, 36);
		(void)snprintf(text, sizeof(text), "%s", escaped);
		free(escaped);
		text_shorten_middle(text, max);
		assert_true(strlen(text) <= max);
		assert_true(text_is_utf8(text, strlen(text)));
		/* No half escape is left: what remains unescapes to whole pieces of the name and the dots. */
		for (size_t n = unescape(text, back), i = 0; i < n; i++)
			assert_true((unsigned char)back[i] == 0xff ||
				    strchr("\xc3\xa9\\.", back[i]));
	}
}

static void shell_words(void **state)
{
	(void)state;
	assert_text("/var/log/a-b.log", text_shell_quote("/var/log/a-b.log", 16));
	assert_text("'a b'", text_shell_quote("a b", 3));
	assert_text("'$(rm)'", text_shell_quote("$(rm)", 5));
	assert_text("'it'\\''s'", text_shell_quote("it's", 4));
	assert_text("$'a\\x0ab\\'c'", text_shell_quote("a\nb'c", 5));
	assert_text("''", text_shell_quote("", 0));
}

static void strict_numbers(void **state)
{
	uint64_t v = 7;

	(void)state;
	assert_int_equal(num_u64("18446744073709551615", 0, UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(num_u64("18446744073709551616", 0, UINT64_MAX, &v), -ERANGE);
	assert_int_equal(num_u64("", 0, 9, &v), -EINVAL);
	assert_int_equal(num_u64(" 1", 0, 9, &v), -EINVAL);
	assert_int_equal(num_u64("-1", 0, 9, &v), -EINVAL);
	assert_int_equal(num_u64("1x", 0, 9, &v), -EINVAL);
	assert_int_equal(num_u64("10", 0, 9, &v), -ERANGE);
	assert_int_equal(num_hex("fFf", 3, &v), 0);
	assert_int_equal(v, 0xfff);
	assert_int_equal(num_hex("fg", 2, &v), -EINVAL);
}

static void durations(void **state)
{
	static const char *const bad[] = {"",	 "5",	"s",   "1d",	   "-1s",     "1.5s",
					  "1s ", "1 s", "1s1", "1000000s", "1s1s1s1s"};
	uint64_t ms;

	(void)state;
	assert_int_equal(num_duration_ms("1m30s", &ms), 0);
	assert_int_equal(ms, 90000);
	assert_int_equal(num_duration_ms("500ms", &ms), 0);
	assert_int_equal(ms, 500);
	assert_int_equal(num_duration_ms("1h1m1s", &ms), 0);
	assert_int_equal(ms, 3661000);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(num_duration_ms(bad[i], &ms), -EINVAL);
}

static void sizes_for_people(void **state)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} rows[] = {
		{0, "0"},
		{1023, "1023"},
		{1024, "1Ki"},
		{1536, "1.5Ki"},
		{10239, "10Ki"},
		{228ULL << 20, "228Mi"},
		{(1ULL << 30) - 1, "1024Mi"},
		{9663676416ULL, "9Gi"},
		{UINT64_MAX, "16Ei"},
	};
	char text[NUM_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(num_format_bytes(rows[i].bytes, text), rows[i].text);
	assert_string_equal(num_format_seconds(41, text), "41s");
	assert_string_equal(num_format_seconds(125, text), "2m5s");
	assert_string_equal(num_format_seconds(3780, text), "1h3m");
	assert_string_equal(num_format_micros(0, text), "0us");
	assert_string_equal(num_format_micros(999, text), "999us");
	assert_string_equal(num_format_micros(1500, text), "1.5ms");
	assert_string_equal(num_format_micros(34567, text), "34ms");
	assert_string_equal(num_format_micros(1234567, text), "1.2s");
	assert_string_equal(num_format_micros(125000000, text), "2m5s");
	assert_string_equal(num_format_micros(UINT64_MAX, text), ">999999h");
	assert_true(num_muldiv(UINT64_MAX, 1000, 1000) == UINT64_MAX);
	assert_true(num_muldiv(UINT64_MAX, 2, 1) == UINT64_MAX);
}

static void times(void **state)
{
	char text[CLOCK_TEXT_MAX];
	time_t t;

	(void)state;
	assert_int_equal(clock_parse_rfc3339("2026-02-28T23:59:59Z", &t), 0);
	assert_string_equal(clock_format_rfc3339(t + 1, text), "2026-03-01T00:00:00Z");
	assert_int_equal(clock_parse_rfc3339("2026-02-28T23:59:59.123456Z", &t), 0);
	assert_int_equal(clock_parse_rfc3339("2026-02-28 23:59:59Z", &t), -EINVAL);
	assert_int_equal(clock_parse_rfc3339("2026-02-28T23:59:59+01:00", &t), -EINVAL);
	assert_int_equal(clock_parse_rfc3339("", &t), -EINVAL);
}

static void buffers_have_a_ceiling(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(10);

	(void)state;
	assert_int_equal(buf_append(&b, "12345", 5), 0);
	assert_int_equal(buf_printf(&b, "%s", "6789X"), 0);
	assert_int_equal(buf_append(&b, "!", 1), -ENOBUFS);
	assert_int_equal(buf_printf(&b, "!"), -ENOBUFS);
	assert_string_equal(b.data, "123456789X");
	buf_consume(&b, 4);
	assert_string_equal(b.data, "56789X");
	buf_consume(&b, 100);
	assert_int_equal(b.len, 0);
}

static void count_value(void *arg, const char *name, void *value)
{
	(void)name;
	*(size_t *)arg += strlen(value);
}

static int is_short(void *value)
{
	return strlen(value) < 3;
}

static void maps(void **state)
{
	struct map map = MAP_INIT(free);
	char name[16];
	size_t sum = 0;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		(void)snprintf(name, sizeof(name), "n%d", i * 7919 % 1000);
		map_set(&map, name, xstrdup(name + 1));
	}
	assert_int_equal(map.n, 1000);
	assert_string_equal(map_get(&map, "n42"), "42");
	assert_null(map_get(&map, "n1000"));
	map_set(&map, "n42", xstrdup("other"));
	assert_string_equal(map_get(&map, "n42"), "other");
	map_remove(&map, "n42");
	map_remove(&map, "n42");
	assert_null(map_get(&map, "n42"));
	map_each(&map, count_value, &sum);
	assert_int_equal(sum, 10 + 2 * 89 + 3 * 900);
	map_sweep(&map, is_short);
	assert_int_equal(map.n, 900);
	map_done(&map);
	assert_int_equal(map.n, 0);
}

static void errors_are_wrapped(void **state)
{
	struct err err = {0};

	(void)state;
	assert_int_equal(err_set(&err, ENOENT, "cannot open %s", "x"), -ENOENT);
	assert_int_equal(err_wrap(&err, "check %s", "PageCache"), -ENOENT);
	assert_string_equal(err.msg, "check PageCache: cannot open x: No such file or directory");
	assert_int_equal(err_say(NULL, EINVAL, "x"), -EINVAL);
}

static void roots_are_bounded(void **state)
{
	_cleanup_buf_ struct buf b = BUF_INIT(100);
	_cleanup_root_ struct root root = ROOT_INIT;
	struct err err = {0};

	(void)state;
	assert_int_equal(root_open(&root, "/proc", &err), 0);
	assert_int_equal(root_read(&root, "meminfo", &b, &err), -EFBIG);
	assert_non_null(strstr(err.msg, "/proc/meminfo is larger than 100 bytes"));
	assert_int_equal(root_read(&root, "no-such-file", &b, &err), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_survive),
		cmocka_unit_test(every_byte_comes_back),
		cmocka_unit_test(shortening_splits_nothing),
		cmocka_unit_test(shell_words),
		cmocka_unit_test(strict_numbers),
		cmocka_unit_test(durations),
		cmocka_unit_test(sizes_for_people),
		cmocka_unit_test(times),
		cmocka_unit_test(buffers_have_a_ceiling),
		cmocka_unit_test(maps),
		cmocka_unit_test(errors_are_wrapped),
		cmocka_unit_test(roots_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
