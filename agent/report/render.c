/* SPDX-License-Identifier: Apache-2.0 */
#include "report/render.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "report/breakdown.h"

enum { GAP = 2, MIN_TEXT = 16 };

/* Characters a UTF-8 text takes; text_plain() let no control or zero-width direction marks through. */
static int columns_of(const char *s)
{
	int n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static char *flags_cell(const cJSON *row)
{
	char flags[8] = "";
	size_t n = 0;

	if (cJSON_IsTrue(tree_get(row, "shmem")))
		flags[n++] = 'S';
	if (cJSON_IsTrue(tree_get(row, "deleted")))
		flags[n++] = 'D';
	if (cJSON_IsTrue(tree_get(row, "dying")))
		flags[n++] = '*';
	flags[n] = '\0';
	return xstrdup(flags);
}

/* A pod's own cgroup and a pod whose names are unknown have fewer parts. */
static char *owner_cell(const cJSON *row)
{
	const char *ns = tree_str(row, "namespace"), *pod = tree_str(row, "pod"),
		   *container = tree_str(row, "container");

	if (ns && pod)
		return container ? xasprintf("%s/%s/%s", ns, pod, container)
				 : xasprintf("%s/%s", ns, pod);
	return xstrdup(tree_str_or_empty(row, "cgroup"));
}

static char *charged_cell(const cJSON *row)
{
	const cJSON *list = tree_get(row, "chargedTo");
	_cleanup_free_ char *first = owner_cell(cJSON_GetArrayItem(list, 0));
	int n = cJSON_GetArraySize(list);

	return n > 1 ? xasprintf("%s +%d", first, n - 1) : take_ptr(first);
}

/* A file without a name is shown as device:inode, which identifies it all the same. */
static char *file_cell(const cJSON *row)
{
	const char *path = tree_str(row, "containerPath");

	if (!path)
		path = tree_str_or_empty(row, "path");
	if (!*path)
		return xasprintf("(no name) %s:%s", tree_str_or_empty(row, "device"),
				 tree_str_or_empty(row, "inode"));
	return xstrdup(path);
}

static char *cell(const struct column *column, const cJSON *row)
{
	int64_t number = tree_int_or(row, column->key ? column->key : "", 0);
	uint64_t v = (uint64_t)number;
	char text[NUM_TEXT_MAX];

	switch (column->kind) {
	case COLUMN_BYTES:
		return number < 0 ? xasprintf("-%s", num_format_bytes(0 - v, text))
				  : xstrdup(num_format_bytes(v, text));
	case COLUMN_NUMBER:
		return xasprintf("%" PRIu64, v);
	case COLUMN_MICROS:
		return xstrdup(num_format_micros(v, text));
	case COLUMN_FLAGS:
		return flags_cell(row);
	case COLUMN_CHARGED:
		return charged_cell(row);
	case COLUMN_OWNER:
		return owner_cell(row);
	case COLUMN_FILE:
		return file_cell(row);
	default:
		return xstrdup(tree_str_or_empty(row, column->key));
	}
}

/* Width of each column: fixed ones as they say; the others as wide as their content, shortened to what is left. */
static void layout(const struct table *table, const cJSON *list, int *widths)
{
	int left = RENDER_WIDTH - GAP, open = 0;
	const cJSON *row;

	for (size_t i = 0; i < table->n_columns; i++) {
		const struct column *column = &table->columns[i];

		widths[i] = column->width ? column->width : columns_of(column->header);
		left -= GAP + (column->width ? column->width : 0);
		open += column->width == 0;
	}
	for (size_t i = 0; i < table->n_columns; i++) {
		if (table->columns[i].width)
			continue;
		cJSON_ArrayForEach (row, list) {
			_cleanup_free_ char *text = cell(&table->columns[i], row);
			int n = columns_of(text);

			widths[i] = n > widths[i] ? n : widths[i];
		}
		/* The first open column may take two thirds of what is left, the last one the rest. */
		if (open > 1 && widths[i] > left * 2 / 3)
			widths[i] = left * 2 / 3;
		if (widths[i] > left)
			widths[i] = left;
		left -= widths[i];
		open--;
	}
}

static void put_cell(struct buf *out, const char *text, int width, bool right, bool last)
{
	int pad = width - columns_of(text);

	pad = pad > 0 ? pad : 0;
	(void)buf_printf(out, "%*s%*s%s%*s", GAP, "", right ? pad : 0, "", text,
			 right || last ? 0 : pad, "");
}

/* Ends the line without the padding of its last cells. */
static void end_line(struct buf *out)
{
	while (out->len > 0 && out->data[out->len - 1] == ' ')
		out->data[--out->len] = '\0';
	(void)buf_printf(out, "\n");
}

static bool is_right(enum column_kind kind)
{
	return kind == COLUMN_BYTES || kind == COLUMN_NUMBER || kind == COLUMN_MICROS;
}

static void put_table(const struct table *table, const cJSON *list, struct buf *out)
{
	int widths[16] = {0};
	const cJSON *row;

	if (!cJSON_GetArraySize(list) || table->n_columns > ARRAY_SIZE(widths))
		return;
	layout(table, list, widths);
	(void)buf_printf(out, "\n%s\n", table->title);
	for (size_t i = 0; i < table->n_columns; i++)
		put_cell(out, table->columns[i].header, widths[i], is_right(table->columns[i].kind),
			 i + 1 == table->n_columns);
	end_line(out);
	cJSON_ArrayForEach (row, list) {
		for (size_t i = 0; i < table->n_columns; i++) {
			_cleanup_free_ char *text = cell(&table->columns[i], row);

			text_shorten_middle(text,
					    (size_t)(widths[i] < MIN_TEXT ? MIN_TEXT : widths[i]));
			put_cell(out, text, widths[i], is_right(table->columns[i].kind),
				 i + 1 == table->n_columns);
		}
		end_line(out);
	}
}

/* Text in lines of at most RENDER_WIDTH characters, each indented; a word that is longer stays whole. */
static void put_wrapped(struct buf *out, const char *text, int indent)
{
	int column = indent;

	(void)buf_printf(out, "%*s", indent, "");
	while (*text) {
		size_t n = strcspn(text, " ");

		if (column > indent && column + 1 + (int)n > RENDER_WIDTH) {
			(void)buf_printf(out, "\n%*s", indent, "");
			column = indent;
		}
		column += (int)n + (column > indent);
		(void)buf_printf(out, "%s%.*s", column > indent + (int)n ? " " : "", (int)n, text);
		text += n;
		text += strspn(text, " ");
	}
	(void)buf_printf(out, "\n");
}

/* Line by line as it is, behind a margin that shows where it begins and ends. */
static void put_manifest(const char *text, struct buf *out)
{
	while (*text) {
		size_t n = strcspn(text, "\n");

		(void)buf_printf(out, "       | %.*s\n", (int)n, text);
		text += n + (text[n] != '\0');
	}
}

static void put_hint(const cJSON *hint, struct buf *out)
{
	_cleanup_free_ char *title = xasprintf("-> %s [%s risk]",
					       tree_str_or_empty(hint, "summary"),
					       tree_str_or_empty(hint, "risk"));
	_cleanup_free_ char *change =
		xasprintf("now: %s; then: %s. %s", tree_str_or_empty(hint, "current"),
			  tree_str_or_empty(hint, "proposed"), tree_str_or_empty(hint, "tradeOff"));

	put_wrapped(out, title, 4);
	/* Not wrapped: it is there to be pasted. */
	(void)buf_printf(out, "       $ %s\n", tree_str_or_empty(hint, "command"));
	put_wrapped(out, change, 7);
	put_manifest(tree_str_or_empty(hint, "manifest"), out);
}

static void put_findings(const cJSON *report, struct buf *out)
{
	const cJSON *finding, *hint;

	cJSON_ArrayForEach (finding, tree_get(report, "findings")) {
		(void)buf_printf(out, "\n%-8s  %s\n", tree_str_or_empty(finding, "severity"),
				 tree_str_or_empty(finding, "id"));
		put_wrapped(out, tree_str_or_empty(finding, "message"), 2);
		cJSON_ArrayForEach (hint, tree_get(finding, "hints")) {
			put_hint(hint, out);
		}
	}
}

static void put_totals(const cJSON *check, const char *type, struct buf *out)
{
	_cleanup_buf_ struct buf line = BUF_INIT(4096);
	char text[NUM_TEXT_MAX];
	int64_t v;

	for (size_t i = 0; i < n_totals; i++) {
		if (strcmp(totals[i].check, type) != 0 || !tree_int(check, totals[i].key, &v))
			continue;
		if (totals[i].bytes)
			(void)num_format_bytes((uint64_t)v, text);
		else
			(void)snprintf(text, sizeof(text), "%" PRId64, v);
		(void)buf_printf(&line, "%s%s %s", line.len ? ", " : "", text, totals[i].label);
	}
	if (line.len > 0)
		put_wrapped(out, line.data, 2);
}

static void put_check(const cJSON *check, struct buf *out)
{
	const char *state = tree_str_or_empty(check, "state"),
		   *type = tree_str_or_empty(check, "type");

	(void)buf_printf(out, "\n%s: %s", type, state);
	if (tree_str(check, "method"))
		(void)buf_printf(out, " (%s, %" PRId64 " ms, of these %" PRId64 " ms CPU)",
				 tree_str(check, "method"), tree_int_or(check, "durationMillis", 0),
				 tree_int_or(check, "cpuMillis", 0));
	(void)buf_printf(out, "\n");
	if (tree_str(check, "message"))
		put_wrapped(out, tree_str(check, "message"), 2);
	put_totals(check, type, out);
	render_breakdown(check, out);
	for (size_t i = 0; i < n_tables; i++) {
		if (strcmp(tables[i].check, type) == 0)
			put_table(&tables[i], tree_get(check, tables[i].list), out);
	}
}

int render_report(const cJSON *report, struct buf *out)
{
	const cJSON *check;

	(void)buf_printf(out, "Node %s, Linux %s, cgroup %s, memdiag %s\n",
			 tree_str_or_empty(report, "nodeName"),
			 tree_str_or_empty(report, "agent.kernel"),
			 tree_str_or_empty(report, "agent.cgroup"),
			 tree_str_or_empty(report, "agent.version"));
	cJSON_ArrayForEach (check, tree_get(report, "checks")) {
		put_check(check, out);
	}
	(void)buf_printf(
		out, "\nVerdict: %s (%" PRId64 " critical, %" PRId64 " warning; reclaimable %s)\n",
		tree_str_or_empty(report, "verdict"), tree_int_or(report, "summary.critical", 0),
		tree_int_or(report, "summary.warning", 0),
		tree_str_or_empty(report, "summary.reclaimable"));
	put_findings(report, out);
	return out->len < out->max ? 0 : -ENOBUFS;
}
