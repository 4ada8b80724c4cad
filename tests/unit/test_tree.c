/* SPDX-License-Identifier: Apache-2.0 */
/* JSON and YAML in and out. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/tree.h"

static cJSON *yaml(const char *text)
{
	struct err err = {0};
	cJSON *tree = NULL;

	if (tree_parse_yaml(text, strlen(text), &tree, &err) < 0)
		fail_msg("%s", err.msg);
	return tree;
}

static void assert_yaml_fails(const char *text, size_t n, const char *expected)
{
	struct err err = {0};
	cJSON *tree = NULL;

	assert_true(tree_parse_yaml(text, n, &tree, &err) < 0);
	assert_null(tree);
	if (!strstr(err.msg, expected))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, expected);
}

static void yaml_types(void **state)
{
	_cleanup_tree_ cJSON *tree =
		yaml("a: 1\nb: '1'\nc: true\nd: null\ne: [x, -2.5e3]\nf: {g: ~}\nh: 1x\n");
	_cleanup_free_ char *json = tree_print_json(tree, false);

	(void)state;
	assert_string_equal(json, "{\"a\":1,\"b\":\"1\",\"c\":true,\"d\":null,\"e\":[\"x\",-2500],"
				  "\"f\":{\"g\":null},\"h\":\"1x\"}");
}

static void yaml_faults(void **state)
{
	static const char bomb[] = "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n";
	struct buf deep = BUF_INIT(100000);

	(void)state;
	assert_yaml_fails(bomb, strlen(bomb), "aliases");
	assert_yaml_fails("", 0, "empty");
	assert_yaml_fails("# only a comment\n", 17, "empty");
	assert_yaml_fails("a: 1\n---\nb: 2\n", 14, "more than one document");
	assert_yaml_fails("a: \xff\n", 5, "UTF-8");
	assert_yaml_fails("a: 1\na: 2\n", 10, "line 2: the same key twice");
	assert_yaml_fails("? [x]\n: 1\n", 10, "key");
	assert_yaml_fails("a: 'x\n", 6, "line");
	assert_yaml_fails("a: \"x\\0y\"\n", 10, "NUL");
	for (int i = 0; i < 100; i++)
		assert_int_equal(buf_printf(&deep, "["), 0);
	assert_yaml_fails(deep.data, deep.len, "64 levels");
	buf_done(&deep);
}

static void too_many_values(void **state)
{
	struct buf wide = BUF_INIT(1000000);

	(void)state;
	assert_int_equal(buf_printf(&wide, "["), 0);
	for (int i = 0; i < TREE_MAX_NODES; i++)
		assert_int_equal(buf_append(&wide, "1,", 2), 0);
	assert_int_equal(buf_printf(&wide, "1]"), 0);
	assert_yaml_fails(wide.data, wide.len, "200000");
	buf_done(&wide);
}

/* What is printed as YAML reads back as the same tree, whatever the strings hold. */
static void yaml_round_trip(void **state)
{
	static const char *const strings[] = {
		"plain",      "with space",  "",      " lead", "trail ",  "true",  "null",
		"~",	      "12",	     "1e3",   "-",     "- x",	  "a: b",  "a:",
		"#c",	      "x #c",	     "'q'",   "\"q\"", "a\\xffb", "[x]",   "{x}",
		"*alias",     "&anchor",     "!tag",  "%dir",  "@at",	  "`tick", "yes",
		"2026-11-22", "0x1f",	     "254:0", "?",     "? x",	  "x, y",  "\xc3\xa9",
		"$'a\\x0a'",  "line\nbreak",
	};
	_cleanup_tree_ cJSON *tree = cJSON_CreateObject();
	_cleanup_buf_ struct buf text = BUF_INIT(65536);
	cJSON *list = tree_add_array(tree, "list"), *objects = tree_add_array(tree, "objects");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(strings); i++) {
		cJSON *object = tree_push_object(objects);

		cJSON_AddItemToArray(list, cJSON_CreateString(strings[i]));
		cJSON_AddStringToObject(object, "s", strings[i]);
		cJSON_AddStringToObject(tree_add_object(object, "in"), "t", strings[i]);
		tree_add_array(object, "none");
		tree_add_object(object, "nothing");
		tree_add_u64(object, "n", 9007199254740992ULL);
		tree_add_bool(object, "b", i % 2);
	}
	assert_int_equal(tree_print_yaml(tree, &text), 0);
	{
		_cleanup_tree_ cJSON *back = yaml(text.data);

		assert_true(cJSON_Compare(tree, back, true));
	}
}

static void json_strictness(void **state)
{
	cJSON *tree = NULL;

	(void)state;
	assert_int_equal(tree_parse_json("{} ", 3, &tree, NULL), 0);
	cJSON_Delete(tree);
	tree = NULL;
	assert_int_equal(tree_parse_json("{}{}", 4, &tree, NULL), -EINVAL);
	assert_int_equal(tree_parse_json("{", 1, &tree, NULL), -EINVAL);
	assert_int_equal(tree_parse_json("", 0, &tree, NULL), -EINVAL);
	assert_int_equal(tree_parse_json("\"\xff\"", 3, &tree, NULL), -EINVAL);
	assert_null(tree);
}

static void lookups(void **state)
{
	_cleanup_tree_ cJSON *tree = yaml("a: {b: {c: 5, d: text, big: 1e300, half: 0.5}}\n");
	int64_t v = 0;

	(void)state;
	assert_true(tree_int(tree, "a.b.c", &v));
	assert_int_equal(v, 5);
	assert_false(tree_int(tree, "a.b.d", &v));
	assert_false(tree_int(tree, "a.b.big", &v));
	assert_false(tree_int(tree, "a.b.half", &v));
	assert_false(tree_int(tree, "a.B.c", &v));
	assert_null(tree_get(tree, "a.x.c"));
	assert_null(tree_get(NULL, "a"));
	assert_string_equal(tree_str_or_empty(tree, "a.b.d"), "text");
	assert_string_equal(tree_str_or_empty(tree, "a.b.c"), "");
}

static void builders_make_text_plain(void **state)
{
	_cleanup_tree_ cJSON *tree = cJSON_CreateObject();

	(void)state;
	tree_add_str(tree, "a", "x\x01\xff");
	tree_add_str(tree, "none", NULL);
	tree_add_text(tree, "cut", "0123456789abcdefghij", 16);
	tree_add_u64(tree, "big", UINT64_MAX);
	assert_string_equal(tree_str(tree, "a"), "x\\x01\\xff");
	assert_null(tree_get(tree, "none"));
	assert_string_equal(tree_str(tree, "cut"), "0123456789abc...");
	assert_true(tree_int_or(tree, "big", 0) == 9007199254740992LL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(yaml_types),
		cmocka_unit_test(yaml_faults),
		cmocka_unit_test(too_many_values),
		cmocka_unit_test(yaml_round_trip),
		cmocka_unit_test(json_strictness),
		cmocka_unit_test(lookups),
		cmocka_unit_test(builders_make_text_plain),
	};

	tree_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
