/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/memory_breakdown.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum {
	MAX_CGROUPS = 1024, /* whose memory.stat is read: each makes the kernel sum counters up */
};

static int by_usage(const void *pa, const void *pb)
{
	const struct breakdown_row *a = pa, *b = pb;

	if (a->stat.usage != b->stat.usage)
		return a->stat.usage > b->stat.usage ? -1 : 1;
	return strcmp(a->owner.cgroup, b->owner.cgroup);
}

/* Containers, and what of the host is no pod's; a pod's own cgroup is the sum of its containers. */
static bool is_row(const struct spec *spec, const struct pod_cgroup *item)
{
	if (item->name.kind != CGROUP_KIND_CONTAINER && item->name.kind != CGROUP_KIND_UNIT)
		return false;
	return !spec_limits_pods(spec) || sources_means_pod(spec, item);
}

static void read_rows(const struct check_env *env, struct breakdown_facts *facts)
{
	const struct pods *pods = NULL;
	size_t n = 0;

	if (sources_pods(env->sources, &pods, NULL) < 0)
		return;
	facts->rows = xcalloc(pods->n < MAX_CGROUPS ? pods->n : MAX_CGROUPS, sizeof(*facts->rows));
	for (size_t i = 0; i < pods->n && n < MAX_CGROUPS; i++) {
		const struct pod_cgroup *item = &pods->items[i];
		struct breakdown_row *row = &facts->rows[n];

		if (!is_row(env->spec, item) || cgroupfs_stat(&env->host->cgroups, item->cgroup,
							      &row->stat, &facts->notes, NULL) < 0)
			continue;
		row->owner = owner_of_cgroup(pods, NULL, item->cgroup_id, item->cgroup, false);
		n++;
	}
	facts->n_rows = n;
	if (n > 1)
		qsort(facts->rows, n, sizeof(*facts->rows), by_usage);
}

/* "anon" -> "anonBytes" */
static void add_bytes(cJSON *object, const char *name, int64_t bytes)
{
	char field[64];

	(void)snprintf(field, sizeof(field), "%sBytes", name);
	tree_add_int(object, field, bytes);
}

static void add_node(const struct meminfo *info, cJSON *result)
{
	struct memory_line lines[MEMORY_LINES_MAX];
	size_t n = meminfo_lines(info, lines);
	cJSON *node = tree_add_object(result, "node"), *list;

	tree_add_u64(node, "totalBytes", info->total);
	tree_add_u64(node, "availableBytes", info->available);
	for (size_t i = 0; i < n; i++)
		add_bytes(node, lines[i].name, lines[i].bytes);
	/* Parts of the above, or beside them. */
	tree_add_u64(node, "activeFileBytes", info->active_file);
	tree_add_u64(node, "inactiveFileBytes", info->inactive_file);
	tree_add_u64(node, "dirtyBytes", info->dirty);
	tree_add_u64(node, "socketBytes", info->socket);
	tree_add_u64(node, "balloonBytes", info->balloon);
	tree_add_u64(node, "swapUsedBytes",
		     info->swap_total > info->swap_free ? info->swap_total - info->swap_free : 0);
	list = tree_add_array(node, "lines");
	for (size_t i = 0; i < n; i++) {
		cJSON *row = tree_push_object(list);

		tree_add_str(row, "name", lines[i].name);
		tree_add_str(row, "label", lines[i].label);
		tree_add_str(row, "group", lines[i].group);
		tree_add_str(row, "source", lines[i].source);
		tree_add_int(row, "bytes", lines[i].bytes);
	}
}

static void add_row(const struct breakdown_row *row, cJSON *list)
{
	const struct cgroup_stat *stat = &row->stat;
	cJSON *object = tree_push_object(list);
	uint64_t usage = stat->usage == UINT64_MAX ? 0 : stat->usage;

	owner_add(&row->owner, object);
	tree_add_str(object, "podUID", row->owner.pod_uid);
	tree_add_u64(object, "usageBytes", usage);
	/* As the kubelet computes it. */
	tree_add_u64(object, "workingSetBytes",
		     usage > stat->inactive_file ? usage - stat->inactive_file : 0);
	tree_add_u64(object, "anonBytes", stat->anon);
	tree_add_u64(object, "pageCacheBytes",
		     stat->cache > stat->shmem ? stat->cache - stat->shmem : 0);
	tree_add_u64(object, "shmemBytes", stat->shmem);
	tree_add_u64(object, "activeFileBytes", stat->active_file);
	tree_add_u64(object, "inactiveFileBytes", stat->inactive_file);
	tree_add_u64(object, "inactiveAnonBytes", stat->inactive_anon);
	tree_add_u64(object, "dirtyBytes", stat->dirty);
	tree_add_u64(object, "kernelBytes", stat->kernel);
	if (stat->limit != UINT64_MAX)
		tree_add_u64(object, "limitBytes", stat->limit);
}

/* Lines that could not be read are named; the rest is used. */
static void describe(const struct parse_notes *notes, struct check_result *result)
{
	size_t len = 0;

	result->method = "kernel-counters";
	result->coverage_permille = 1000;
	if (notes->n == 0)
		return;
	result->reason = "LinesNotRead";
	for (size_t i = 0; i < notes->n && len < sizeof(result->message); i++)
		len += (size_t)snprintf(result->message + len, sizeof(result->message) - len,
					"%s%s", i ? "; " : "", notes->lines[i]);
	if (notes->dropped > 0 && len < sizeof(result->message))
		(void)snprintf(result->message + len, sizeof(result->message) - len,
			       "; and %" PRIu64 " more", notes->dropped);
}

void memory_breakdown_judge(const struct breakdown_facts *facts, struct check_result *result)
{
	cJSON *list;

	describe(&facts->notes, result);
	result->result = cJSON_CreateObject();
	add_node(&facts->node, result->result);
	list = tree_add_array(result->result, "pods");
	for (size_t i = 0; i < facts->n_rows && i < facts->spec->top; i++)
		add_row(&facts->rows[i], list);
}

static int finish(const struct check_env *env, void *self, struct check_result *result,
		  struct err *err)
{
	struct breakdown_facts facts = {.spec = env->spec};
	int r = meminfo_sample(&env->host->proc, &facts.node, &facts.notes, err);

	(void)self;
	if (r == 0) {
		read_rows(env, &facts);
		memory_breakdown_judge(&facts, result);
	}
	for (size_t i = 0; i < facts.n_rows; i++)
		owner_done(&facts.rows[i].owner);
	free(facts.rows);
	return r;
}

const struct check check_memory_breakdown = {
	.type = CHECK_MEMORY_BREAKDOWN,
	.needs = "counters in /proc and the memory controller",
	.finish = finish,
};
