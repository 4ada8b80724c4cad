/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/memory_breakdown.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "instruments/cgroup_lines.h"

/* "anon" -> "anonBytes" */
static void add_bytes(cJSON *object, const char *name, int64_t bytes)
{
	char field[64];

	(void)snprintf(field, sizeof(field), "%sBytes", name);
	tree_add_int(object, field, bytes);
}

/* --- the node --------------------------------------------------------------------------------------------------------- */

/* As fields of the node, and as a list with labels and sources. */
static void add_lines(const struct memory_line *lines, size_t n, const char *list_name, cJSON *node)
{
	cJSON *list;

	for (size_t i = 0; i < n; i++)
		add_bytes(node, lines[i].name, lines[i].bytes);
	list = tree_add_array(node, list_name);
	for (size_t i = 0; i < n; i++) {
		cJSON *row = tree_push_object(list);

		tree_add_str(row, "name", lines[i].name);
		tree_add_str(row, "label", lines[i].label);
		tree_add_str(row, "group", lines[i].group);
		tree_add_str(row, "source", lines[i].source);
		tree_add_int(row, "bytes", lines[i].bytes);
	}
}

static void add_node(const struct meminfo *info, cJSON *result)
{
	struct memory_line lines[MEMORY_LINES_MAX], parts[MEMORY_PARTS_MAX],
		beside[MEMORY_BESIDE_MAX];
	cJSON *node = tree_add_object(result, "node");

	tree_add_u64(node, "totalBytes", info->total);
	tree_add_u64(node, "availableBytes", info->available);
	add_lines(lines, meminfo_lines(info, lines), "lines", node);
	add_lines(parts, meminfo_parts(info, parts), "parts", node);
	add_lines(beside, meminfo_beside(info, beside), "beside", node);
}

/* --- pods, containers, units ------------------------------------------------------------------------------------------ */

static const char *kind_name(enum cgroup_kind kind)
{
	switch (kind) {
	case CGROUP_KIND_POD:
		return "Pod";
	case CGROUP_KIND_CONTAINER:
		return "Container";
	default:
		return "Unit";
	}
}

static void add_if_any(cJSON *object, const char *name, uint64_t bytes)
{
	if (bytes > 0)
		tree_add_u64(object, name, bytes);
}

/* What overlaps with the lines, or is no part of usage. */
static void add_more(const struct breakdown_row *row, bool v2, cJSON *object)
{
	const struct cgroup_stat *stat = &row->stat;

	tree_add_u64(object, "workingSetBytes", cgroup_working_set(stat));
	tree_add_u64(object, "activeFileBytes", stat->active_file);
	tree_add_u64(object, "inactiveFileBytes", stat->inactive_file);
	tree_add_u64(object, "inactiveAnonBytes", stat->inactive_anon);
	tree_add_u64(object, "dirtyBytes", stat->dirty);
	add_if_any(object, "writebackBytes", stat->writeback);
	if (v2)
		tree_add_u64(object, "kernelBytes", cgroup_kernel_bytes(stat));
	else
		add_if_any(object, "socketBytes", stat->socket);
	add_if_any(object, "hugetlbBytes", row->hugetlb);
	if (row->has_children)
		tree_add_u64(object, "ownBytes", row->own);
	if (stat->limit != UINT64_MAX)
		tree_add_u64(object, "limitBytes", stat->limit);
}

/* Lines that are 0 are left out but for the ones that every reader looks for. */
static bool is_needed(const struct memory_line *line)
{
	static const char *const always[] = {"anon", "pageCache", "shmem", "kernel", "residual"};

	for (size_t i = 0; i < ARRAY_SIZE(always); i++) {
		if (strcmp(line->name, always[i]) == 0)
			return true;
	}
	return line->bytes != 0;
}

static void add_row(const struct breakdown_row *row, bool v2, cJSON *list)
{
	struct memory_line lines[CGROUP_LINES_MAX];
	size_t n = cgroup_lines(&row->stat, v2, lines);
	cJSON *object = tree_push_object(list);

	owner_add(&row->owner, object);
	tree_add_str(object, "podUID", row->owner.pod_uid);
	tree_add_str(object, "kind", kind_name(row->kind));
	tree_add_u64(object, "depth", row->depth);
	tree_add_u64(object, "usageBytes", row->stat.usage);
	for (size_t i = 0; i < n; i++) {
		if (is_needed(&lines[i]))
			add_bytes(object, lines[i].name, lines[i].bytes);
	}
	add_more(row, v2, object);
}

/* What a row's usage is the sum of, once for all rows. */
static void add_row_lines(bool v2, cJSON *result)
{
	const struct cgroup_stat none = {0};
	struct memory_line lines[CGROUP_LINES_MAX];
	size_t n = cgroup_lines(&none, v2, lines);
	cJSON *list = tree_add_array(result, "podLines");

	for (size_t i = 0; i < n; i++) {
		cJSON *row = tree_push_object(list);

		tree_add_str(row, "name", lines[i].name);
		tree_add_str(row, "label", lines[i].label);
		tree_add_str(row, "source", lines[i].source);
	}
}

/* --- what is missing -------------------------------------------------------------------------------------------------- */

static void say(struct check_result *result, const char *reason, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The first reason is the result's; all texts are in its message. */
static void say(struct check_result *result, const char *reason, const char *fmt, ...)
{
	size_t len = strlen(result->message);
	va_list args;

	if (!result->reason)
		result->reason = reason;
	if (len > 0 && len + 3 < sizeof(result->message)) {
		memcpy(result->message + len, "; ", 3);
		len += 2;
	}
	va_start(args, fmt);
	(void)vsnprintf(result->message + len, sizeof(result->message) - len, fmt, args);
	va_end(args);
}

static void describe(const struct breakdown_facts *facts, struct check_result *result)
{
	const struct parse_notes *notes = &facts->notes;

	result->method = "kernel-counters";
	result->coverage_permille = 1000;
	for (size_t i = 0; i < notes->n; i++)
		say(result, "LinesNotRead", "%s", notes->lines[i]);
	if (notes->dropped > 0)
		say(result, "LinesNotRead", "%" PRIu64 " more lines", notes->dropped);
	if (facts->problem)
		say(result, "RowsMissing", "nothing about pods and units: %s", facts->problem);
	if (facts->not_read > 0)
		say(result, "RowsMissing", "%" PRIu64 " cgroups beyond 1024 were not read",
		    facts->not_read);
}

void memory_breakdown_judge(const struct breakdown_facts *facts, struct check_result *result)
{
	cJSON *list;

	describe(facts, result);
	result->result = cJSON_CreateObject();
	add_node(&facts->node, result->result);
	add_row_lines(facts->v2, result->result);
	tree_add_u64(result->result, "podsNotListed", facts->not_listed);
	tree_add_u64(result->result, "podsNotRead", facts->not_read);
	list = tree_add_array(result->result, "pods");
	for (size_t i = 0; i < facts->n_rows; i++)
		add_row(&facts->rows[i], facts->v2, list);
}
