/* SPDX-License-Identifier: Apache-2.0 */
/* YAML to tree: libyaml's events, one document, no aliases, bounded depth and number of values. */
#include <errno.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"
#include "base/text.h"
#include "base/tree.h"

struct yaml_reader {
	yaml_parser_t parser;
	cJSON *stack[TREE_MAX_DEPTH];
	char *key; /* of the mapping on top of the stack, waiting for its value */
	size_t depth;
	size_t nodes;
	cJSON *root;
	struct err *err;
};

/* True when s is [-+]?digits with an optional fraction and exponent: YAML 1.2's core schema without hex and octal. */
static bool is_number(const char *s)
{
	size_t digits;

	s += *s == '-' || *s == '+';
	digits = strspn(s, "0123456789");
	s += digits;
	if (*s == '.') {
		size_t fraction = strspn(++s, "0123456789");

		digits += fraction;
		s += fraction;
	}
	if (digits == 0)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		s += *s == '-' || *s == '+';
		digits = strspn(s, "0123456789");
		s += digits;
		if (digits == 0)
			return false;
	}
	return *s == '\0';
}

static bool is_one_of(const char *s, const char *a, const char *b, const char *c)
{
	return strcmp(s, a) == 0 || strcmp(s, b) == 0 || strcmp(s, c) == 0;
}

static cJSON *scalar(const yaml_event_t *event)
{
	const char *s = (const char *)event->data.scalar.value;

	if (event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return cJSON_CreateString(s);
	if (*s == '\0' || strcmp(s, "~") == 0 || is_one_of(s, "null", "Null", "NULL"))
		return cJSON_CreateNull();
	if (is_one_of(s, "true", "True", "TRUE"))
		return cJSON_CreateTrue();
	if (is_one_of(s, "false", "False", "FALSE"))
		return cJSON_CreateFalse();
	if (is_number(s))
		return cJSON_CreateNumber(strtod(s, NULL));
	return cJSON_CreateString(s);
}

static int fault(struct yaml_reader *rd, int errnum, size_t line, const char *what)
{
	return err_say(rd->err, errnum, "line %zu: %s", line + 1, what);
}

/* Hangs the value where it belongs; takes ownership of it. */
static int place(struct yaml_reader *rd, cJSON *value, size_t line)
{
	cJSON *top = rd->depth ? rd->stack[rd->depth - 1] : NULL;

	if (++rd->nodes > TREE_MAX_NODES) {
		cJSON_Delete(value);
		return fault(rd, E2BIG, line, "more than 200000 values");
	}
	if (!top) {
		rd->root = value;
	} else if (cJSON_IsArray(top)) {
		cJSON_AddItemToArray(top, value);
	} else {
		if (tree_member(top, rd->key)) {
			cJSON_Delete(value);
			return fault(rd, EINVAL, line, "the same key twice in one mapping");
		}
		cJSON_AddItemToObject(top, rd->key, value);
		free(rd->key);
		rd->key = NULL;
	}
	return 0;
}

static int on_scalar(struct yaml_reader *rd, const yaml_event_t *event, size_t line)
{
	const char *s = (const char *)event->data.scalar.value;
	cJSON *top = rd->depth ? rd->stack[rd->depth - 1] : NULL;

	if (strlen(s) != event->data.scalar.length)
		return fault(rd, EINVAL, line, "a NUL byte in a string");
	if (cJSON_IsObject(top) && !rd->key) {
		rd->key = xstrdup(s);
		return 0;
	}
	return place(rd, scalar(event), line);
}

static int on_start(struct yaml_reader *rd, cJSON *container, size_t line)
{
	int r;

	if (rd->depth > 0 && cJSON_IsObject(rd->stack[rd->depth - 1]) && !rd->key) {
		cJSON_Delete(container);
		return fault(rd, EINVAL, line, "a mapping's key must be a plain string");
	}
	if (rd->depth == TREE_MAX_DEPTH) {
		cJSON_Delete(container);
		return fault(rd, E2BIG, line, "more than 64 levels deep");
	}
	r = place(rd, container, line);
	if (r == 0)
		rd->stack[rd->depth++] = container;
	return r;
}

static int on_event(struct yaml_reader *rd, const yaml_event_t *event)
{
	size_t line = event->start_mark.line;

	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		return rd->root ? fault(rd, EINVAL, line, "more than one document") : 0;
	case YAML_SCALAR_EVENT:
		return on_scalar(rd, event, line);
	case YAML_MAPPING_START_EVENT:
		return on_start(rd, cJSON_CreateObject(), line);
	case YAML_SEQUENCE_START_EVENT:
		return on_start(rd, cJSON_CreateArray(), line);
	case YAML_MAPPING_END_EVENT:
	case YAML_SEQUENCE_END_EVENT:
		rd->depth--;
		return 0;
	case YAML_ALIAS_EVENT:
		return fault(rd, EINVAL, line,
			     "aliases (*name) are not accepted; write the value out");
	default:
		return 0;
	}
}

static int read_events(struct yaml_reader *rd)
{
	yaml_event_type_t type = YAML_NO_EVENT;
	int r = 0;

	while (r == 0 && type != YAML_STREAM_END_EVENT) {
		yaml_event_t event;

		if (!yaml_parser_parse(&rd->parser, &event))
			return fault(rd, EINVAL, rd->parser.problem_mark.line,
				     rd->parser.problem ? rd->parser.problem : "not YAML");
		type = event.type;
		r = on_event(rd, &event);
		yaml_event_delete(&event);
	}
	return r;
}

int tree_parse_yaml(const char *s, size_t n, cJSON **ret, struct err *err)
{
	struct yaml_reader rd = {.err = err};
	int r;

	if (!text_is_utf8(s, n))
		return err_say(err, EINVAL, "not valid UTF-8");
	if (!yaml_parser_initialize(&rd.parser))
		return err_set(err, ENOMEM, "cannot start the YAML parser");
	yaml_parser_set_encoding(&rd.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&rd.parser, (const unsigned char *)s, n);
	r = read_events(&rd);
	yaml_parser_delete(&rd.parser);
	free(rd.key);
	if (r == 0 && !rd.root)
		r = err_say(err, EINVAL, "the document is empty");
	if (r < 0) {
		cJSON_Delete(rd.root);
		return r;
	}
	*ret = rd.root;
	return 0;
}

/* --- writing --------------------------------------------------------------------------------------------------- */

/* True when the string could be read back as something else, or needs quotes for its characters. */
static bool needs_quotes(const char *s)
{
	/* A leading digit is quoted too: dates, times and octal numbers have a type in YAML 1.1. */
	if (*s == '\0' || (*s >= '0' && *s <= '9') || is_number(s) || strcmp(s, "~") == 0 ||
	    strchr("-?:,[]{}#&*!|>'\"%@`= ", *s))
		return true;
	if (is_one_of(s, "null", "Null", "NULL") || is_one_of(s, "true", "True", "TRUE") ||
	    is_one_of(s, "false", "False", "FALSE") || is_one_of(s, "yes", "no", "on") ||
	    is_one_of(s, "off", "y", "n"))
		return true;
	if (s[strlen(s) - 1] == ' ' || s[strlen(s) - 1] == ':')
		return true;
	for (; *s; s++) {
		if ((unsigned char)*s < 0x20 || strchr("\\\"'#{}[],", *s) ||
		    (s[0] == ':' && s[1] == ' '))
			return true;
	}
	return false;
}

static void put_string(const char *s, struct buf *out)
{
	if (needs_quotes(s)) {
		/* A JSON string is a YAML double-quoted string for every character that text_plain() lets through. */
		cJSON *item = cJSON_CreateString(s);
		_cleanup_free_ char *quoted = tree_print_json(item, false);

		cJSON_Delete(item);
		(void)buf_printf(out, "%s", quoted);
	} else {
		(void)buf_printf(out, "%s", s);
	}
}

static void put_value(const cJSON *item, int indent, struct buf *out);

static void put_members(const cJSON *tree, int indent, bool first_inline, struct buf *out)
{
	const cJSON *item;

	cJSON_ArrayForEach (item, tree) {
		if (!first_inline)
			(void)buf_printf(out, "%*s", indent, "");
		first_inline = false;
		if (cJSON_IsArray(tree)) {
			(void)buf_printf(out, "- ");
			if (cJSON_IsObject(item) && item->child) {
				put_members(item, indent + 2, true, out);
				continue;
			}
		} else {
			put_string(item->string, out);
			(void)buf_printf(out, ":");
			if ((!cJSON_IsObject(item) && !cJSON_IsArray(item)) || !item->child)
				(void)buf_printf(out, " ");
		}
		put_value(item, cJSON_IsArray(tree) ? indent + 2 : indent, out);
	}
}

static void put_value(const cJSON *item, int indent, struct buf *out)
{
	if ((cJSON_IsObject(item) || cJSON_IsArray(item)) && item->child) {
		(void)buf_printf(out, "\n");
		/* A list stands below its key without further indent, as kubectl writes it. */
		put_members(item, cJSON_IsArray(item) ? indent : indent + 2, false, out);
		return;
	}
	if (cJSON_IsString(item)) {
		put_string(item->valuestring, out);
	} else {
		_cleanup_free_ char *json = tree_print_json(item, false);

		(void)buf_printf(out, "%s", json);
	}
	(void)buf_printf(out, "\n");
}

int tree_print_yaml(const cJSON *tree, struct buf *out)
{
	if ((cJSON_IsObject(tree) || cJSON_IsArray(tree)) && tree->child)
		put_members(tree, 0, false, out);
	else
		put_value(tree, 0, out);
	return out->len < out->max ? 0 : -ENOBUFS;
}
