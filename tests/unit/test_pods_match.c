/* SPDX-License-Identifier: Apache-2.0 */
/* What a target means: namespaces and label selectors, by tables; and resource quantities. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "identity/pods_internal.h"

static cJSON *json(const char *s)
{
	struct err err = {0};
	cJSON *tree = NULL;

	if (tree_parse_json(s, strlen(s), &tree, &err) < 0)
		fail_msg("%s: %s", s, err.msg);
	return tree;
}

static const char *or_dash(const char *s)
{
	return s ? s : "-";
}

static void targets(void **state)
{
	static const struct {
		const char *namespaces, *selector;
		bool matches;
	} cases[] = {
		/* The pod is prod/web-0 with app=web, tier=front, empty="". */
		{NULL, NULL, true},
		{"[]", "{}", true},
		{"[\"prod\"]", NULL, true},
		{"[\"dev\",\"prod\"]", NULL, true},
		{"[\"dev\"]", NULL, false},
		{"[\"pro\",\"prod2\",7]", NULL, false},
		{"[\"dev\"]", "{\"matchLabels\":{\"app\":\"web\"}}", false},
		{NULL, "{\"matchLabels\":{}}", true},
		{NULL, "{\"matchLabels\":{\"app\":\"web\"}}", true},
		{NULL, "{\"matchLabels\":{\"App\":\"web\"}}", false},
		{NULL, "{\"matchLabels\":{\"app\":\"web\",\"tier\":\"front\"}}", true},
		{NULL, "{\"matchLabels\":{\"app\":\"web\",\"tier\":\"back\"}}", false},
		{NULL, "{\"matchLabels\":{\"none\":\"\"}}", false},
		{NULL, "{\"matchLabels\":{\"empty\":\"\"}}", true},
		{NULL, "{\"matchLabels\":{\"app\":7}}", false},
		{NULL, "{\"matchLabels\":[\"app\"]}", false},
		{NULL, "{\"matchExpressions\":[]}", true},
		{NULL,
		 "{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\",\"values\":[\"x\","
		 "\"web\"]}]}",
		 true},
		{NULL,
		 "{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\",\"values\":[\"x\"]}]"
		 "}",
		 false},
		{NULL,
		 "{\"matchExpressions\":[{\"key\":\"no\",\"operator\":\"In\",\"values\":[\"x\"]}]}",
		 false},
		{NULL,
		 "{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"In\",\"values\":[]}]}",
		 false},
		{NULL,
		 "{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"NotIn\",\"values\":[\"x\"]"
		 "}]}",
		 true},
		{NULL,
		 "{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"NotIn\",\"values\":["
		 "\"web\"]}]}",
		 false},
		{NULL,
		 "{\"matchExpressions\":[{\"key\":\"no\",\"operator\":\"NotIn\",\"values\":[\"x\"]}"
		 "]}",
		 true},
		{NULL, "{\"matchExpressions\":[{\"key\":\"no\",\"operator\":\"NotIn\"}]}", false},
		{NULL, "{\"matchExpressions\":[{\"key\":\"empty\",\"operator\":\"Exists\"}]}",
		 true},
		{NULL, "{\"matchExpressions\":[{\"key\":\"no\",\"operator\":\"Exists\"}]}", false},
		{NULL,
		 "{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"Exists\",\"values\":["
		 "\"web\"]}]}",
		 false},
		{NULL, "{\"matchExpressions\":[{\"key\":\"no\",\"operator\":\"DoesNotExist\"}]}",
		 true},
		{NULL,
		 "{\"matchExpressions\":[{\"key\":\"no\",\"operator\":\"DoesNotExist\",\"values\":["
		 "]}]}",
		 true},
		{NULL, "{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"DoesNotExist\"}]}",
		 false},
		{NULL, "{\"matchExpressions\":[{\"key\":\"app\",\"operator\":\"exists\"}]}", false},
		{NULL, "{\"matchExpressions\":[{\"operator\":\"Exists\"}]}", false},
		{NULL, "{\"matchExpressions\":[{\"key\":\"\",\"operator\":\"DoesNotExist\"}]}",
		 false},
		{NULL, "{\"matchExpressions\":[7]}", false},
		{NULL, "[]", false},
		{NULL, "7", false},
		{NULL, "null", true},
		/* All of them must hold. */
		{"[\"prod\"]",
		 "{\"matchLabels\":{\"app\":\"web\"},\"matchExpressions\":[{\"key\":\"tier\","
		 "\"operator\":\"Exists\"},{\"key\":\"no\",\"operator\":\"DoesNotExist\"}]}",
		 true},
		{"[\"prod\"]",
		 "{\"matchLabels\":{\"app\":\"web\"},\"matchExpressions\":[{\"key\":\"tier\","
		 "\"operator\":\"Exists\"},{\"key\":\"no\",\"operator\":\"Exists\"}]}",
		 false},
	};
	_cleanup_tree_ cJSON *labels = json("{\"app\":\"web\",\"tier\":\"front\",\"empty\":\"\"}");
	char ns[] = "prod";
	const struct pod_cgroup item = {.ns = ns, .labels = labels};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_tree_ cJSON *namespaces = cases[i].namespaces ? json(cases[i].namespaces)
								       : NULL;
		_cleanup_tree_ cJSON *selector = cases[i].selector ? json(cases[i].selector) : NULL;

		if (pod_matches(&item, namespaces, selector) != cases[i].matches)
			fail_msg("%s %s", or_dash(cases[i].namespaces), or_dash(cases[i].selector));
	}
}

static void targets_of_what_is_unknown(void **state)
{
	_cleanup_tree_ cJSON *namespaces = json("[\"prod\"]");
	_cleanup_tree_ cJSON *labels = json("{\"matchLabels\":{\"app\":\"web\"}}");
	_cleanup_tree_ cJSON *absent =
		json("{\"matchExpressions\":[{\"key\":\"no\",\"operator\":\"DoesNotExist\"}]}");
	_cleanup_tree_ cJSON *empty = json("{}");
	const struct pod_cgroup unknown = {.name.kind = CGROUP_KIND_CONTAINER};

	(void)state;
	assert_true(pod_matches(&unknown, NULL, NULL));
	assert_true(pod_matches(&unknown, NULL, empty));
	assert_false(pod_matches(&unknown, namespaces, NULL));
	assert_false(pod_matches(&unknown, NULL, labels));
	/* Not known to be absent. */
	assert_false(pod_matches(&unknown, NULL, absent));
}

static void quantities(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t bytes;
	} cases[] = {
		{"0", 0, 0},
		{"128Mi", 0, 134217728},
		{"1G", 0, 1000000000},
		{"1Gi", 0, 1073741824},
		{"1.5Gi", 0, 1610612736},
		{"0.1Ki", 0, 103}, /* 102.4, rounded up */
		{"128974848", 0, 128974848},
		{"129e6", 0, 129000000},
		{"129E6", 0, 129000000},
		{"129M", 0, 129000000},
		{"128974848000m", 0, 128974848},
		{"500m", 0, 1},
		{"1001m", 0, 2},
		{"0m", 0, 0},
		{"1n", 0, 1},
		{"2500000u", 0, 3},
		{"12e-1", 0, 2},
		{"1e-999", 0, 1},
		{"0e999", 0, 0},
		{"+5k", 0, 5000},
		{".5Ki", 0, 512},
		{"5.", 0, 5},
		{"1T", 0, 1000000000000},
		{"1Ti", 0, 1099511627776},
		{"1P", 0, 1000000000000000},
		{"1Pi", 0, 1125899906842624},
		{"1E", 0, 1000000000000000000},
		{"7Ei", 0, 8070450532247928832},
		{"9223372036854775807", -ERANGE, 0}, /* 19 digits: more than is kept */
		{"8Ei", -ERANGE, 0},
		{"10E", -ERANGE, 0},
		{"1e19", -ERANGE, 0},
		{"1e999", -ERANGE, 0},
		{"000000000000000000000000000005", 0, 5},
		{"0.000000000000000000000000000001", 0, 1},
		{"1.0000000000000000000000000000000", 0, 1},
		{"1.0000000000000000000000000000001", 0, 2},
		{"0.0000000000000000012Ei", 0, 2},
		{"123456789012345678901234567890", -ERANGE, 0},
		{"", -EINVAL, 0},
		{".", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+", -EINVAL, 0},
		{"Mi", -EINVAL, 0},
		{"1.2.3", -EINVAL, 0},
		{"1 Mi", -EINVAL, 0},
		{" 1Mi", -EINVAL, 0},
		{"1Mi ", -EINVAL, 0},
		{"1mi", -EINVAL, 0},
		{"1MI", -EINVAL, 0},
		{"1K", -EINVAL, 0},
		{"1MB", -EINVAL, 0},
		{"1e", -EINVAL, 0},
		{"1e+", -EINVAL, 0},
		{"1e1.5", -EINVAL, 0},
		{"1e1234", -EINVAL, 0},
		{"0x10", -EINVAL, 0},
		{"nan", -EINVAL, 0},
		{"1\xc2\xa0", -EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint64_t bytes = 0;
		int r = pods_quantity_bytes(cases[i].text, &bytes);

		if (r != cases[i].r || bytes != cases[i].bytes)
			fail_msg("%s: %d, %" PRIu64, cases[i].text, r, bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets),
		cmocka_unit_test(targets_of_what_is_unknown),
		cmocka_unit_test(quantities),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
