/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/breakdown_rows.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define NONE SIZE_MAX

/* What arranging needs of each row besides; index is that of the rows sorted by path. */
struct node {
	size_t parent;
	uint64_t children_usage;
	bool nested, kept;
};

/* '/' before everything else: then what is below a cgroup follows it at once. */
static int by_path(const void *pa, const void *pb)
{
	const unsigned char *a = (const void *)((const struct breakdown_row *)pa)->owner.cgroup,
			    *b = (const void *)((const struct breakdown_row *)pb)->owner.cgroup;

	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (*a == '/' ? 1 : *a) - (*b == '/' ? 1 : *b);
}

static bool is_below(const char *path, const char *above)
{
	size_t n = strlen(above);

	return strncmp(path, above, n) == 0 && path[n] == '/';
}

static void find_parents(struct breakdown_row *rows, size_t n, struct node *nodes)
{
	for (size_t i = 0; i < n; i++) {
		size_t parent = i == 0 ? NONE : i - 1;

		while (parent != NONE && !is_below(rows[i].owner.cgroup, rows[parent].owner.cgroup))
			parent = nodes[parent].parent;
		nodes[i].parent = parent;
		if (parent == NONE)
			continue;
		nodes[i].nested = nodes[parent].nested ||
				  rows[parent].kind == CGROUP_KIND_CONTAINER;
		if (nodes[i].nested)
			continue;
		nodes[parent].children_usage += rows[i].stat.usage;
		rows[parent].has_children = true;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t children = nodes[i].children_usage;

		rows[i].own = rows[i].stat.usage > children ? rows[i].stat.usage - children : 0;
	}
}

/* Keeps the row and those above it, unless that is more than max in all. Returns how many are kept then. */
static size_t keep(struct node *nodes, size_t i, size_t kept, size_t max)
{
	size_t more = 0;

	for (size_t at = i; at != NONE && !nodes[at].kept; at = nodes[at].parent)
		more++;
	if (kept + more > max)
		return kept;
	for (size_t at = i; at != NONE; at = nodes[at].parent)
		nodes[at].kept = true;
	return kept + more;
}

static int by_usage(const void *pa, const void *pb, void *rows)
{
	const struct breakdown_row *a = (const struct breakdown_row *)rows + *(const size_t *)pa,
				   *b = (const struct breakdown_row *)rows + *(const size_t *)pb;

	if (a->stat.usage != b->stat.usage)
		return a->stat.usage > b->stat.usage ? -1 : 1;
	return strcmp(a->owner.cgroup, b->owner.cgroup);
}

/* Appends the rows right below parent and what is below each. order: all rows by usage. */
static size_t emit(struct breakdown_row *rows, const struct node *nodes, const size_t *order,
		   size_t n, size_t parent, unsigned int depth, struct breakdown_row *out,
		   size_t at)
{
	for (size_t k = 0; k < n; k++) {
		size_t i = order[k];

		if (!nodes[i].kept || nodes[i].parent != parent)
			continue;
		rows[i].depth = depth;
		out[at++] = rows[i];
		if (rows[i].has_children)
			at = emit(rows, nodes, order, n, i, depth + 1, out, at);
	}
	return at;
}

size_t breakdown_rows_arrange(struct breakdown_row *rows, size_t n, size_t max,
			      uint64_t *ret_not_kept)
{
	_cleanup_free_ struct breakdown_row *out = xcalloc(n + 1, sizeof(*out));
	_cleanup_free_ struct node *nodes = xcalloc(n + 1, sizeof(*nodes));
	_cleanup_free_ size_t *order = xcalloc(n + 1, sizeof(*order));
	size_t kept = 0;

	*ret_not_kept = 0;
	if (n == 0)
		return 0;
	qsort(rows, n, sizeof(*rows), by_path);
	find_parents(rows, n, nodes);
	for (size_t i = 0; i < n; i++)
		order[i] = i;
	qsort_r(order, n, sizeof(*order), by_usage, rows);
	for (size_t k = 0; k < n; k++) {
		if (!nodes[order[k]].nested)
			kept = keep(nodes, order[k], kept, max);
	}
	(void)emit(rows, nodes, order, n, NONE, 0, out, 0);
	for (size_t i = 0; i < n; i++) {
		*ret_not_kept += !nodes[i].kept && !nodes[i].nested;
		if (!nodes[i].kept)
			owner_done(&rows[i].owner);
	}
	memcpy(rows, out, kept * sizeof(*rows));
	return kept;
}
