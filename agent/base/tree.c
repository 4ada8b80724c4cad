/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tree.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"

static const double MAX_EXACT = 9007199254740992.0; /* 2^53 */

void tree_init(void)
{
	static cJSON_Hooks hooks = {.malloc_fn = xmalloc, .free_fn = free};

	cJSON_InitHooks(&hooks);
}

int tree_parse_json(const char *s, size_t n, cJSON **ret, struct err *err)
{
	const char *end = NULL;
	cJSON *tree;

	if (!text_is_utf8(s, n))
		return err_say(err, EINVAL, "not valid UTF-8");
	tree = cJSON_ParseWithLengthOpts(s, n, &end, 0);
	if (!tree)
		return err_say(err, EINVAL, "not JSON: error at byte %zu",
			       end ? (size_t)(end - s) : (size_t)0);
	for (; end < s + n; end++) {
		if (!strchr(" \t\r\n", *end) || *end == '\0') {
			cJSON_Delete(tree);
			return err_say(err, EINVAL, "not JSON: more than one value");
		}
	}
	*ret = tree;
	return 0;
}

char *tree_print_json(const cJSON *tree, bool pretty)
{
	char *text = pretty ? cJSON_Print(tree) : cJSON_PrintUnformatted(tree);

	return text ? text : xstrdup("null");
}

const cJSON *tree_member(const cJSON *tree, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(tree, name);
}

const cJSON *tree_get(const cJSON *tree, const char *path)
{
	char name[64];

	while (tree && *path) {
		size_t n = strcspn(path, ".");

		if (n >= sizeof(name))
			return NULL;
		memcpy(name, path, n);
		name[n] = '\0';
		tree = tree_member(tree, name);
		path += n + (path[n] == '.');
	}
	return tree;
}

const char *tree_str(const cJSON *tree, const char *path)
{
	return cJSON_GetStringValue(tree_get(tree, path));
}

const char *tree_str_or_empty(const cJSON *tree, const char *path)
{
	const char *s = tree_str(tree, path);

	return s ? s : "";
}

bool tree_int(const cJSON *tree, const char *path, int64_t *ret)
{
	const cJSON *item = tree_get(tree, path);

	if (!cJSON_IsNumber(item) || item->valuedouble != floor(item->valuedouble) ||
	    fabs(item->valuedouble) > MAX_EXACT)
		return false;
	*ret = (int64_t)item->valuedouble;
	return true;
}

int64_t tree_int_or(const cJSON *tree, const char *path, int64_t otherwise)
{
	int64_t v;

	return tree_int(tree, path, &v) ? v : otherwise;
}

void tree_add_str(cJSON *object, const char *name, const char *value)
{
	_cleanup_free_ char *plain = NULL;

	if (!value || !*value)
		return;
	plain = text_plain(value, strlen(value));
	cJSON_AddStringToObject(object, name, plain);
}

void tree_add_text(cJSON *object, const char *name, const char *value, size_t max)
{
	_cleanup_free_ char *plain = text_plain(value, strlen(value));

	text_shorten_end(plain, max);
	cJSON_AddStringToObject(object, name, plain);
}

void tree_add_lines(cJSON *object, const char *name, const char *value, size_t max)
{
	_cleanup_buf_ struct buf all = BUF_INIT(max * 4 + 1);

	for (;;) {
		size_t n = strcspn(value, "\n");
		_cleanup_free_ char *line = text_plain(value, n);

		(void)buf_printf(&all, "%s%s", line, value[n] ? "\n" : "");
		if (!value[n])
			break;
		value += n + 1;
	}
	if (all.len > max)
		text_shorten_end(all.data, max);
	cJSON_AddStringToObject(object, name, all.data ? all.data : "");
}

void tree_add_int(cJSON *object, const char *name, int64_t value)
{
	cJSON_AddNumberToObject(object, name, (double)value);
}

void tree_add_u64(cJSON *object, const char *name, uint64_t value)
{
	cJSON_AddNumberToObject(object, name, fmin((double)value, MAX_EXACT));
}

void tree_add_bool(cJSON *object, const char *name, bool value)
{
	cJSON_AddBoolToObject(object, name, value);
}

void tree_add_time(cJSON *object, const char *name, int64_t unix_seconds)
{
	char text[CLOCK_TEXT_MAX];

	cJSON_AddStringToObject(object, name, clock_format_rfc3339((time_t)unix_seconds, text));
}

cJSON *tree_add_object(cJSON *object, const char *name)
{
	return cJSON_AddObjectToObject(object, name);
}

cJSON *tree_add_array(cJSON *object, const char *name)
{
	return cJSON_AddArrayToObject(object, name);
}

cJSON *tree_push_object(cJSON *array)
{
	cJSON *item = cJSON_CreateObject();

	cJSON_AddItemToArray(array, item);
	return item;
}

void tree_push_str(cJSON *array, const char *value)
{
	_cleanup_free_ char *plain = text_plain(value, strlen(value));

	cJSON_AddItemToArray(array, cJSON_CreateString(plain));
}
