/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel functions by address: what /proc/kallsyms can look like, what is missing where, and the running kernel's. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "instruments/ksyms.h"

static const char good[] = "ffffffff81000000 T _stext\n"
			   "ffffffff81000000 T _text\n" /* same place: the first counts */
			   "ffffffff81002000 t later\n" /* not in order */
			   "ffffffff81001010 T first_fn\n"
			   "ffffffff81001000 t __pfx_first_fn\n"
			   "ffffffff82000000 D some_data\n"
			   "ffffffffc0000100 t mod_fn\t[nf_tables]\n"
			   "ffffffffc0000200 W mod_weak\t[nf_tables]\n"
			   "ffffffffc0000300 t bpf_prog_00ff_x\t[bpf]\n";

static int read_text(const char *text, struct ksyms **ret, struct parse_notes *notes,
		     struct err *err)
{
	FILE *f = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	int r;

	assert_non_null(f);
	r = ksyms_read(f, "kallsyms", ret, notes, err);
	assert_int_equal(fclose(f), 0);
	return r;
}

static void names(void **state)
{
	static const struct {
		uint64_t address;
		const char *name;
	} rows[] = {
		{0xffffffff81000000, "_stext+0x0"},
		{0xffffffff8100100f, "_stext+0x100f"},
		{0xffffffff81001010, "first_fn+0x0"},
		{0xffffffff81001fff, "first_fn+0xfef"},
		{0xffffffff81002001, "later+0x1"},
		{0xffffffff82000000, "0xffffffff82000000"}, /* data, far behind a function */
		{0xffffffffc00001ff, "mod_fn+0xff [nf_tables]"},
		{0xffffffffc0000200, "mod_weak+0x0 [nf_tables]"},
		{0xffffffffc0000304, "bpf_prog_00ff_x+0x4 [bpf]"},
		{0x1000, "0x1000"},
		{UINT64_MAX, "0xffffffffffffffff"},
	};
	struct parse_notes notes = {0};
	char out[KSYMS_NAME_MAX];
	struct ksyms *k = NULL;

	(void)state;
	assert_int_equal(read_text(good, &k, &notes, NULL), 0);
	assert_int_equal(notes.n, 0);
	assert_int_equal(ksyms_count(k), 6);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(ksyms_name(k, rows[i].address, out, sizeof(out)), rows[i].name);
	assert_string_equal(ksyms_function(k, 0xffffffffc0000104), "mod_fn");
	assert_null(ksyms_function(k, 0x1000));
	assert_true(ksyms_address(k, "later") == 0xffffffff81002000);
	assert_true(ksyms_address(k, "some_data") == 0);
	assert_true(ksyms_end(k, 0xffffffff81001010) == 0xffffffff81002000);
	assert_true(ksyms_end(k, 0xffffffff81001011) == 0xffffffff81001011);
	assert_true(ksyms_end(k, 0xffffffff81002000) == 0xffffffff81002000 + KSYMS_SPAN_MAX);
	assert_true(ksyms_end(k, 0x1000) == 0x1000);
	/* A short buffer cuts, it does not overflow. */
	assert_string_equal(ksyms_name(k, 0xffffffffc0000104, out, 8), "mod_fn+");
	ksyms_free(k);
	assert_string_equal(ksyms_name(NULL, 0x10, out, sizeof(out)), "0x10");
	assert_null(ksyms_function(NULL, 0x10));
}

static void bad_lines_are_named(void **state)
{
	static const char *const rows[] = {
		"ffffffff81000000\n",
		"ffffffff81000000 \n",
		"ffffffff81000000 T\n",
		"ffffffff81000000 T \n",
		"xyz T name\n",
		" T name\n",
		"11ffffffff81000000 T name\n",
		"ffffffff81000000 T name\t\n",
		"ffffffff81000000 T name\t[]\n",
		"ffffffff81000000 T name\t[mod\n",
		"ffffffff81000000 T \x1b[31mred\n",
		"\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *text = xasprintf("%sffffffff81001000 T rest\n", rows[i]);
		struct parse_notes notes = {0};
		char out[KSYMS_NAME_MAX];
		struct ksyms *k = NULL;

		assert_int_equal(read_text(text, &k, &notes, NULL), 0);
		if (notes.n != 1 || !strstr(notes.lines[0], "not a symbol"))
			fail_msg("no note for \"%s\"", rows[i]);
		assert_int_equal(ksyms_count(k), 1);
		assert_string_equal(ksyms_name(k, 0xffffffff81001001, out, sizeof(out)),
				    "rest+0x1");
		ksyms_free(k);
		free(text);
	}
}

static void what_is_missing_is_said(void **state)
{
	struct ksyms *k = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(
		read_text("0000000000000000 T a\n0000000000000000 t b\t[m]\n", &k, NULL, &err),
		-EPERM);
	assert_non_null(strstr(err.msg, "CAP_SYSLOG"));
	assert_non_null(strstr(err.msg, "kptr_restrict"));
	assert_int_equal(read_text("ffffffff82000000 D some_data\n", &k, NULL, &err), -ENODATA);
	assert_null(k);
}

static void too_many(void **state)
{
	FILE *f = tmpfile();
	struct ksyms *k = NULL;
	struct err err = {0};

	(void)state;
	assert_non_null(f);
	for (size_t i = 0; i <= KSYMS_MAX; i++)
		(void)fprintf(f, "%zx t x\n", i + 1);
	rewind(f);
	assert_int_equal(ksyms_read(f, "kallsyms", &k, NULL, &err), -EFBIG);
	assert_null(k);
	assert_int_equal(fclose(f), 0);
}

/* Every function of the kernel this runs on is found again at its address. */
static void the_running_kernel(void **state)
{
	struct root proc = ROOT_INIT;
	char out[KSYMS_NAME_MAX];
	struct ksyms *k = NULL;
	struct err err = {0};
	uint64_t at;

	(void)state;
	assert_int_equal(root_open(&proc, "/proc", &err), 0);
	if (ksyms_load(&proc, &k, &err) < 0) {
		/* Not root: then it must say why. */
		assert_non_null(strstr(err.msg, "CAP_SYSLOG"));
		root_close(&proc);
		return;
	}
	assert_true(ksyms_count(k) > 10000);
	at = ksyms_address(k, "vfs_read");
	assert_true(at > 0);
	assert_string_equal(ksyms_name(k, at + 5, out, sizeof(out)), "vfs_read+0x5");
	ksyms_free(k);
	root_close(&proc);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(bad_lines_are_named),
		cmocka_unit_test(what_is_missing_is_said),
		cmocka_unit_test(too_many),
		cmocka_unit_test(the_running_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
