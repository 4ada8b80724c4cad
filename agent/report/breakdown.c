/* SPDX-License-Identifier: Apache-2.0 */
#include "report/breakdown.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

enum { BAR_WIDTH = 20 };

/* "  12.3Gi  51.9 %  ############              label", the bar as long as the share. */
static void put_line(struct buf *out, int indent, int64_t bytes, int64_t total, const char *label,
		     const char *source)
{
	static const char marks[BAR_WIDTH + 1] = "####################";
	uint64_t size = (uint64_t)llabs(bytes);
	uint64_t permille = total > 0 ? num_muldiv(size, 1000, (uint64_t)total) : 0;
	int bar = permille > 1000 ? BAR_WIDTH : (int)((permille * BAR_WIDTH + 500) / 1000);
	char text[NUM_TEXT_MAX];

	(void)buf_printf(out, "  %s%7s %3" PRIu64 ".%" PRIu64 " %%  %-*.*s  %*s%-*s",
			 bytes < 0 ? "-" : " ", num_format_bytes(size, text), permille / 10,
			 permille % 10, BAR_WIDTH, bar, marks, indent, "", 24 - indent, label);
	/* The label's padding is of no use without a source behind it. */
	while (!*source && out->data[out->len - 1] == ' ')
		out->data[--out->len] = '\0';
	(void)buf_printf(out, "%s%s\n", *source ? "  " : "", source);
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

void render_breakdown(const cJSON *check, struct buf *out)
{
	const cJSON *node = tree_get(check, "memoryBreakdown.node"), *line;
	const cJSON *lines = tree_get(node, "lines");
	int64_t total = tree_int_or(node, "totalBytes", 0);
	const char *group = "";

	if (!lines)
		return;
	(void)buf_printf(out, "\nMemory of the node\n");
	put_line(out, 0, total, total, "all", "MemTotal");
	cJSON_ArrayForEach (line, lines) {
		const char *mine = tree_str_or_empty(line, "group");
		int64_t bytes = tree_int_or(line, "bytes", 0);

		if (strcmp(mine, group) != 0)
			put_line(out, 1, group_sum(lines, mine), total, mine, "");
		group = mine;
		/* Counters that a node does not use would only lengthen the picture. */
		if (bytes != 0)
			put_line(out, 2, bytes, total, tree_str_or_empty(line, "label"),
				 tree_str_or_empty(line, "source"));
	}
}
