/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/page_cache.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "checks/cache_finding.h"

static const char reason[] = "PageCacheHigh";

/* Bytes of cap that leave the cgroup what it needs and a quarter of today's reclaimable cache, in whole MiB. */
static uint64_t proposed_high(const struct cache_case *c, uint64_t reclaimable)
{
	uint64_t used = c->usage->usage == UINT64_MAX || c->usage->usage < reclaimable
				? 0
				: c->usage->usage - reclaimable;
	uint64_t high = used + reclaimable / 4;
	uint64_t ceiling = c->usage->limit == UINT64_MAX ? UINT64_MAX
							 : num_muldiv(c->usage->limit, 9, 10);

	high = high > ceiling ? ceiling : high;
	return ((high >> 20) + 1) << 20;
}

static void add_hints(const struct cache_case *c, struct finding *finding)
{
	struct hint_facts facts = {0};
	char text[NUM_TEXT_MAX];

	cache_case_hint_facts(c, &facts);
	hint_facts_set(&facts, "high", "%" PRIu64 "M",
		       proposed_high(c, finding->reclaimable_bytes) >> 20);
	hint_facts_set(&facts, "reclaimable_bytes", "%" PRIu64, finding->reclaimable_bytes);
	hint_facts_set(&facts, "reclaimable_size", "%s",
		       num_format_bytes(finding->reclaimable_bytes, text));
	hint_facts_set(&facts, "node_cache_size", "%s",
		       num_format_bytes(c->facts->pages->total_bytes, text));
	hints_apply(&facts, finding);
	hint_facts_done(&facts);
}

/* As the container knows it: its owner reads this as an event of the pod, and can't see the node. Evidence and hints have the host's. */
static char *top_name(const struct cache_case *c)
{
	const struct pages_snapshot *pages = c->facts->pages;
	const struct cache_place *place = NULL;

	if (!c->top)
		return xstrdup("");
	/* The place is that of who pays most for the file, which may be another container. */
	if (c->facts->places && c->top->n_charges > 0 &&
	    &pages->memcgs[c->top->charges[0].memcg] == c->memcg)
		place = &c->facts->places[c->top - pages->files];
	if (!place || !place->container_path)
		return cache_file_name(c->facts, c->top);
	return place->volume ? xasprintf("%s of volume %s", place->container_path, place->volume)
			     : xstrdup(place->container_path);
}

static void judge_memcg(const struct cache_facts *facts, size_t i, struct findings *findings)
{
	struct cache_case c;
	enum severity severity = cache_case_open(facts, i, false, reason, &c);
	_cleanup_free_ char *share = NULL, *name = NULL;
	char size[NUM_TEXT_MAX], file_size[NUM_TEXT_MAX];
	struct finding *finding;

	if (severity == SEVERITY_NONE)
		return;
	finding = findings_add(findings);
	finding->check = CHECK_PAGE_CACHE;
	finding->severity = severity;
	finding->reason = reason;
	cache_case_fill(&c, finding);
	finding->reclaimable_bytes = c.bytes > c.memcg->dirty_bytes ? c.bytes - c.memcg->dirty_bytes
								    : 0;
	share = cache_case_share(&c);
	name = top_name(&c);
	if (*name)
		finding->message = xasprintf("%s of page cache, %s; largest file %s (%s)",
					     num_format_bytes(c.bytes, size), share, name,
					     num_format_bytes(c.top->cached_bytes, file_size));
	else
		finding->message =
			xasprintf("%s of page cache, %s", num_format_bytes(c.bytes, size), share);
	add_hints(&c, finding);
}

void page_cache_judge(const struct cache_facts *facts, struct check_result *result)
{
	const struct pages_snapshot *pages = facts->pages;
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);

	cache_describe(facts, result);
	result->result = cJSON_CreateObject();
	tree_add_u64(result->result, "totalBytes", pages->total_bytes);
	tree_add_u64(result->result, "nodeCachedBytes", pages->nr_file_pages_after * page_size);
	tree_add_u64(result->result, "movedBytes", pages->moved_pages * page_size);
	tree_add_u64(result->result, "shmemBytes", pages->shmem_bytes);
	tree_add_u64(result->result, "blockDeviceBytes", pages->bdev_bytes);
	tree_add_u64(result->result, "dirtyBytes", pages->dirty_bytes);
	tree_add_u64(result->result, "unresolvedBytes", pages->unresolved_bytes);
	tree_add_u64(result->result, "unresolvedFiles", pages->unresolved_files);
	tree_add_u64(result->result, "unnamedBytes", pages->unnamed_bytes);
	tree_add_u64(result->result, "distinctFiles", pages->n_files);
	tree_add_u64(result->result, "unresolvedCgroups", pages->memcgs_unresolved);
	tree_add_u64(result->result, "unresolvedFilesystems", pages->supers_unresolved);
	cache_add_files(facts, false, result->result);
	cache_add_containers(facts, false, result->result);
	for (size_t i = 0; i < facts->n_usages; i++)
		judge_memcg(facts, i, &result->findings);
}

static int finish(const struct check_env *env, void *self, struct check_result *result,
		  struct err *err)
{
	(void)self;
	return cache_read_and_judge(env, page_cache_judge, result, err);
}

const struct check check_page_cache = {
	.type = CHECK_PAGE_CACHE,
	.needs = CHECK_NEEDS_PAGE_SCAN,
	.probe = check_probe_pages,
	.finish = finish,
};
