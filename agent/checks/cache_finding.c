/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/cache_finding.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"

enum severity cache_case_open(const struct cache_facts *facts, size_t i, bool shmem,
			      const char *reason, struct cache_case *c)
{
	const struct pages_memcg *memcg = &facts->pages->memcgs[i];
	size_t top = shmem ? memcg->top_shmem : memcg->top_file;

	c->facts = facts;
	c->memcg = memcg;
	c->usage = &facts->usages[i];
	c->top = top < facts->pages->n_files_kept ? &facts->pages->files[top] : NULL;
	c->bytes = shmem ? memcg->shmem_bytes : memcg->cached_bytes - memcg->shmem_bytes;
	c->whole = c->usage->limit < facts->mem_total_bytes ? c->usage->limit
							    : facts->mem_total_bytes;
	return spec_severity(facts->spec, reason, c->bytes, c->whole);
}

char *cache_case_share(const struct cache_case *c)
{
	uint64_t permille = c->whole ? num_muldiv(c->bytes, 1000, c->whole) : 0;
	char limit[NUM_TEXT_MAX];

	if (c->usage->limit < c->facts->mem_total_bytes)
		return xasprintf("%" PRIu64 ".%" PRIu64 " %% of its memory limit of %s",
				 permille / 10, permille % 10,
				 num_format_bytes(c->usage->limit, limit));
	return xasprintf("%" PRIu64 ".%" PRIu64 " %% of the node's memory", permille / 10,
			 permille % 10);
}

void cache_case_fill(const struct cache_case *c, struct finding *finding)
{
	const struct owner owner =
		cache_owner(c->facts, (size_t)(c->memcg - c->facts->pages->memcgs));

	finding->subject = owner_copy(&owner);
	finding->bytes = c->bytes;
	/*
	 * Pages come and go while the scan runs: what the node's own counter changed is the uncertainty, and what the kernel
	 * moved from one frame to another.
	 */
	finding->error_bytes = c->facts->pages->nr_file_pages_after >
					       c->facts->pages->nr_file_pages_before
				       ? c->facts->pages->nr_file_pages_after -
						 c->facts->pages->nr_file_pages_before
				       : c->facts->pages->nr_file_pages_before -
						 c->facts->pages->nr_file_pages_after;
	finding->error_bytes += c->facts->pages->moved_pages;
	finding->error_bytes *= (uint64_t)sysconf(_SC_PAGESIZE);
	if (finding->error_bytes > finding->bytes)
		finding->error_bytes = finding->bytes;
	finding_add_evidence(finding, "dirtyBytes", "%" PRIu64, c->memcg->dirty_bytes);
	if (c->usage->limit != UINT64_MAX)
		finding_add_evidence(finding, "memoryLimitBytes", "%" PRIu64, c->usage->limit);
	if (c->usage->usage != UINT64_MAX && c->usage->usage >= c->usage->inactive_file)
		finding_add_evidence(finding, "workingSetBytes", "%" PRIu64,
				     c->usage->usage - c->usage->inactive_file);
	finding_add_evidence(finding, "nodeMemoryBytes", "%" PRIu64, c->facts->mem_total_bytes);
	if (c->top) {
		_cleanup_free_ char *name = cache_file_name(c->facts, c->top);

		text_shorten_middle(name, 120);
		finding_add_evidence(finding, "largestFile", "%s", name);
		finding_add_evidence(finding, "largestFileBytes", "%" PRIu64, c->top->cached_bytes);
	}
}

static void set_size(struct hint_facts *facts, const char *name, uint64_t bytes)
{
	char text[NUM_TEXT_MAX];

	hint_facts_set(facts, name, "%s", num_format_bytes(bytes, text));
}

/* Names of the largest file, for commands that look for it. */
static void file_facts(const struct cache_case *c, struct hint_facts *facts)
{
	_cleanup_free_ char *path = cache_file_open_path(c->facts, c->top);
	const char *name = c->top->path ? c->top->path : "";

	set_size(facts, "file_size", c->top->cached_bytes);
	if (path) {
		_cleanup_free_ char *quoted = text_shell_quote(path, strlen(path));

		facts->conditions |= HINT_NAMED_FILE;
		hint_facts_set(facts, "path_q", "%s", quoted);
	} else if (c->top->kernel_mount && strncmp(name, "/SYSV", 5) == 0) {
		facts->conditions |= HINT_SYSV;
	} else if (c->top->kernel_mount && *name) {
		/* The kernel's name without what a shell pattern would misread. */
		size_t n = strspn(
			name,
			"/:_-.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");

		facts->conditions |= HINT_MEMFD;
		hint_facts_set(facts, "name_pattern", "%.*s*", (int)(n < 200 ? n : 200), name);
	} else if (c->top->deleted && *name) {
		const char *base = strrchr(name, '/');
		_cleanup_free_ char *pattern = xasprintf("*%s (deleted)", base ? base : name);
		_cleanup_free_ char *quoted = text_shell_quote(pattern, strlen(pattern));

		facts->conditions |= HINT_DELETED_FILE;
		hint_facts_set(facts, "path_deleted_q", "%s", quoted);
	}
}

void cache_case_hint_facts(const struct cache_case *c, struct hint_facts *facts)
{
	_cleanup_free_ char *dir = NULL, *quoted = NULL;
	char limit[NUM_TEXT_MAX];

	facts->conditions |= c->facts->cgroup_mode == CGROUP_V2 ? HINT_CGROUP_V2 : 0;
	facts->conditions |= c->facts->cgroup_mode == CGROUP_V1 ||
					     c->facts->cgroup_mode == CGROUP_HYBRID
				     ? HINT_CGROUP_V1
				     : 0;
	if (!c->memcg->dying && strcmp(c->memcg->path, "/") != 0 && c->facts->cgroup_mount) {
		facts->conditions |= HINT_CHILD_CGROUP;
		dir = xasprintf("%s%s", c->facts->cgroup_mount, c->memcg->path);
		quoted = text_shell_quote(dir, strlen(dir));
		hint_facts_set(facts, "cgroup_dir_q", "%s", quoted);
	}
	if (c->usage->limit >= c->facts->mem_total_bytes)
		facts->conditions |= HINT_NO_LIMIT;
	hint_facts_set(facts, "current_high", "%s",
		       c->usage->high == UINT64_MAX ? "max"
						    : num_format_bytes(c->usage->high, limit));
	hint_facts_set(facts, "current_limit", "%s",
		       c->usage->limit == UINT64_MAX ? "max"
						     : num_format_bytes(c->usage->limit, limit));
	if (c->top)
		file_facts(c, facts);
}
