/* SPDX-License-Identifier: Apache-2.0 */
#include "report/breakdown.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "report/render.h"

enum {
	BAR_WIDTH = 20,
	ROW_BAR_WIDTH = 12,
	LABEL_WIDTH = 28,
	INDENT_MAX = 10,
	NAME_WIDTH = 28, /* of a row: what the numbers and the bar leave of RENDER_WIDTH */
};

/* Ends the line without the padding of what is last. */
static void end_line(struct buf *out)
{
	while (out->len > 0 && out->data[out->len - 1] == ' ')
		out->data[--out->len] = '\0';
	(void)buf_printf(out, "\n");
}

/* --- the node --------------------------------------------------------------------------------------------------------- */

/* "   12Gi  51.9 %  ##########            label                         source" */
static void put_line(struct buf *out, const char *branch, int64_t bytes, int64_t total, char mark,
		     const char *label, const char *source)
{
	uint64_t size = (uint64_t)llabs(bytes);
	uint64_t permille = total > 0 ? num_muldiv(size, 1000, (uint64_t)total) : 0;
	uint64_t filled = permille > 1000 ? BAR_WIDTH : (permille * BAR_WIDTH + 500) / 1000;
	int width = LABEL_WIDTH - (int)strlen(branch);
	char text[NUM_TEXT_MAX], bar[BAR_WIDTH + 1];

	memset(bar, ' ', BAR_WIDTH);
	memset(bar, mark, filled);
	bar[BAR_WIDTH] = '\0';
	(void)buf_printf(out, "  %s%6s %3" PRIu64 ".%" PRIu64 " %%  %s  %s%-*s  %s",
			 bytes < 0 ? "-" : " ", num_format_bytes(size, text), permille / 10,
			 permille % 10, bar, branch, width, label, source);
	end_line(out);
}

static int64_t group_sum(const cJSON *lines, const char *group)
{
	const cJSON *line;
	int64_t sum = 0;

	cJSON_ArrayForEach (line, lines) {
		if (strcmp(tree_str_or_empty(line, "group"), group) == 0)
			sum += tree_int_or(line, "bytes", 0);
	}
	return sum;
}

/* Of a line that is not worth mentioning its parts are not either. Two ways to part the same line make two lists of three. */
static void put_parts(struct buf *out, const cJSON *parts, const cJSON *line, int64_t total)
{
	const char *name = tree_str_or_empty(line, "name");
	const cJSON *part;

	cJSON_ArrayForEach (part, parts) {
		int64_t bytes = tree_int_or(part, "bytes", 0);

		if (bytes != 0 && strcmp(tree_str_or_empty(part, "group"), name) == 0)
			put_line(out, "      . ", bytes, total, '-',
				 tree_str_or_empty(part, "label"),
				 tree_str_or_empty(part, "source"));
	}
}

static void put_beside(struct buf *out, const cJSON *beside)
{
	const char *before = "\n  Beside these: ";
	char text[NUM_TEXT_MAX];
	const cJSON *item;

	cJSON_ArrayForEach (item, beside) {
		int64_t bytes = tree_int_or(item, "bytes", 0);

		if (bytes <= 0)
			continue;
		(void)buf_printf(
			out, "%s%s %s (%s)", before, num_format_bytes((uint64_t)bytes, text),
			tree_str_or_empty(item, "label"), tree_str_or_empty(item, "group"));
		before = ",\n                ";
	}
	if (*before == ',')
		(void)buf_printf(out, "\n");
}

static void put_node(const cJSON *node, struct buf *out)
{
	const cJSON *lines = tree_get(node, "lines"), *parts = tree_get(node, "parts"), *line;
	int64_t total = tree_int_or(node, "totalBytes", 0);
	const char *group = "";

	(void)buf_printf(out, "\nMemory of the node\n");
	put_line(out, "", total, total, '#', "all", "MemTotal");
	cJSON_ArrayForEach (line, lines) {
		const char *mine = tree_str_or_empty(line, "group");
		int64_t bytes = tree_int_or(line, "bytes", 0);

		if (strcmp(mine, group) != 0)
			put_line(out, "+ ", group_sum(lines, mine), total, '=', mine, "");
		group = mine;
		/* Counters that a node does not use would only lengthen the picture. */
		if (bytes == 0)
			continue;
		put_line(out, "  + ", bytes, total, '-', tree_str_or_empty(line, "label"),
			 tree_str_or_empty(line, "source"));
		put_parts(out, parts, line, total);
	}
	put_beside(out, tree_get(node, "beside"));
}

/* --- pods, containers, units ------------------------------------------------------------------------------------------ */

/* One letter for each kind of memory, as many as its share; the longest bar is the largest row's. */
static void make_bar(const cJSON *row, uint64_t largest, char bar[ROW_BAR_WIDTH + 1])
{
	static const struct {
		const char *key;
		char mark;
	} kinds[] = {
		{"anonBytes", 'a'},
		{"pageCacheBytes", 'c'},
		{"shmemBytes", 's'},
		{"kernelBytes", 'k'},
	};
	uint64_t sum = 0, usage = (uint64_t)tree_int_or(row, "usageBytes", 0);
	size_t at = 0, end;

	memset(bar, ' ', ROW_BAR_WIDTH);
	bar[ROW_BAR_WIDTH] = '\0';
	if (largest == 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		sum += (uint64_t)tree_int_or(row, kinds[i].key, 0);
		end = (size_t)((num_muldiv(sum, 2 * ROW_BAR_WIDTH, largest) + 1) / 2);
		for (; at < end && at < ROW_BAR_WIDTH; at++)
			bar[at] = kinds[i].mark;
	}
	end = (size_t)((num_muldiv(usage, 2 * ROW_BAR_WIDTH, largest) + 1) / 2);
	for (; at < end && at < ROW_BAR_WIDTH; at++)
		bar[at] = '.';
}

/* A pod by its name, a container by its own: the pod's stands above it. */
static char *row_name(const cJSON *row, bool below_pod)
{
	const char *ns = tree_str(row, "namespace"), *pod = tree_str(row, "pod"),
		   *container = tree_str(row, "container"), *cgroup, *slash;

	if (container && below_pod)
		return xstrdup(container);
	if (ns && pod)
		return container ? xasprintf("%s/%s/%s", ns, pod, container)
				 : xasprintf("%s/%s", ns, pod);
	cgroup = tree_str_or_empty(row, "cgroup");
	slash = strrchr(cgroup, '/');
	return xstrdup(slash ? slash + 1 : cgroup);
}

static void put_size(struct buf *out, const cJSON *row, const char *key)
{
	char text[NUM_TEXT_MAX];
	int64_t v;

	if (tree_int(row, key, &v))
		(void)buf_printf(out, " %6s", num_format_bytes((uint64_t)v, text));
	else
		(void)buf_printf(out, " %6s", "-");
}

/* Deeper ones stand as the deepest: a name needs 16 columns. */
static int indent_of(const cJSON *row)
{
	int64_t depth = tree_int_or(row, "depth", 0);

	return depth > INDENT_MAX / 2 ? INDENT_MAX : (int)depth * 2;
}

static void put_row(struct buf *out, const cJSON *row, uint64_t largest, bool below_pod)
{
	static const char *const columns[] = {"usageBytes", "workingSetBytes", "limitBytes",
					      "anonBytes",  "pageCacheBytes",  "shmemBytes",
					      "dirtyBytes", "kernelBytes"};
	_cleanup_free_ char *name = row_name(row, below_pod);
	int indent = indent_of(row);
	char bar[ROW_BAR_WIDTH + 1];

	(void)buf_printf(out, " ");
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		put_size(out, row, columns[i]);
	make_bar(row, largest, bar);
	text_shorten_middle(name, (size_t)(NAME_WIDTH - 2 - indent));
	(void)buf_printf(out, "  %s %*s%s%s", bar, indent, "", indent > 0 ? "+ " : "", name);
	end_line(out);
}

/* What of a pod is no container's. */
static void put_own(struct buf *out, const cJSON *pod)
{
	int64_t own = tree_int_or(pod, "ownBytes", 0);
	int indent = indent_of(pod) + 2;
	char text[NUM_TEXT_MAX];

	if (own > 0)
		(void)buf_printf(out, "  %6s%*s+ (no container)\n",
				 num_format_bytes((uint64_t)own, text),
				 RENDER_WIDTH - NAME_WIDTH + indent - 8, "");
}

static void put_rows(const cJSON *rows, struct buf *out)
{
	uint64_t largest = 0;
	bool below_pod = false;
	const cJSON *row;

	if (!cJSON_GetArraySize(rows))
		return;
	cJSON_ArrayForEach (row, rows) {
		uint64_t usage = (uint64_t)tree_int_or(row, "usageBytes", 0);

		largest = usage > largest ? usage : largest;
	}
	(void)buf_printf(out, "\nPods, containers and units    a anonymous  c page cache  s shared "
			      "memory  k kernel  . other\n"
			      "   USAGE WRKSET  LIMIT   ANON  CACHE  SHMEM  DIRTY KERNEL\n");
	cJSON_ArrayForEach (row, rows) {
		const char *kind = tree_str_or_empty(row, "kind");

		put_row(out, row, largest, below_pod && strcmp(kind, "Container") == 0);
		if (strcmp(kind, "Container") == 0)
			continue;
		below_pod = strcmp(kind, "Pod") == 0;
		if (below_pod)
			put_own(out, row);
	}
}

void render_breakdown(const cJSON *check, struct buf *out)
{
	const cJSON *breakdown = tree_get(check, "memoryBreakdown"),
		    *node = tree_get(breakdown, "node");

	if (!tree_get(node, "lines"))
		return;
	put_node(node, out);
	put_rows(tree_get(breakdown, "pods"), out);
}
