/* SPDX-License-Identifier: Apache-2.0 */
/* What is too much, or grows too fast; and the names that remedies need. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "checks/slab_cache.h"
#include "report/hints.h"

#define MIB ((uint64_t)1 << 20)

enum {
	NAME_MAX_TEXT = 200, /* bytes of a path in a message */
	GROWN_LISTED = 3,    /* caches named as evidence of growth */
};

/* --- names for remedies --------------------------------------------------------------------------------------------------- */

static void set_size(struct hint_facts *hints, const char *name, uint64_t bytes)
{
	char text[NUM_TEXT_MAX];

	hint_facts_set(hints, name, "%s", num_format_bytes(bytes, text));
}

static void directory_facts(const struct slab_facts *facts, const struct dentries_directory *dir,
			    struct hint_facts *hints)
{
	_cleanup_free_ char *path = slab_directory_path(facts, dir), *quoted = NULL;

	if (!path)
		return;
	quoted = text_shell_quote(path, strlen(path));
	hints->conditions |= HINT_DIRECTORY;
	hint_facts_set(hints, "directory_q", "%s", quoted);
	hint_facts_set(hints, "entries", "%" PRIu64, dir->dentries.entries);
	hint_facts_set(hints, "missing", "%" PRIu64, dir->dentries.negative);
}

/* The container with most of it, when the kernel can be asked to take from that one alone. */
static void container_facts(const struct slab_facts *facts, struct hint_facts *hints)
{
	_cleanup_free_ char *dir = NULL, *quoted = NULL;
	const struct slab_container *top = NULL;

	for (size_t i = 0; i < facts->n_containers; i++) {
		const struct slab_container *c = &facts->containers[i];

		if (c->can_reclaim &&
		    (!top || c->stat.slab_reclaimable > top->stat.slab_reclaimable))
			top = c;
	}
	if (!top || top->stat.slab_reclaimable < MIB || !facts->cgroup_mount) {
		hints->conditions |= HINT_NODE_SLAB;
		return;
	}
	dir = xasprintf("%s%s", facts->cgroup_mount, top->owner.cgroup);
	quoted = text_shell_quote(dir, strlen(dir));
	hints->conditions |= HINT_SLAB_RECLAIM;
	hint_facts_set(hints, "cgroup_dir_q", "%s", quoted);
	set_size(hints, "container_slab", top->stat.slab_reclaimable);
	hint_facts_set(hints, "reclaim_mib", "%" PRIu64, top->stat.slab_reclaimable / MIB);
}

static void add_hints(const struct slab_facts *facts, const struct dentries_directory *dir,
		      const struct slab_cache *cache, struct finding *finding)
{
	struct hint_facts hints = {0};

	if (dir)
		directory_facts(facts, dir, &hints);
	container_facts(facts, &hints);
	if (facts->has_dentry_negative)
		hints.conditions |= HINT_DENTRY_NEGATIVE;
	if (facts->has_allocinfo)
		hints.conditions |= HINT_ALLOCINFO;
	if (cache) {
		hint_facts_set(&hints, "cache", "%s", cache->name);
		hint_facts_set(&hints, "object_bytes", "%" PRIu64, cache->object_size);
	}
	if (facts->cache_pressure != UINT64_MAX) {
		hint_facts_set(&hints, "pressure", "%" PRIu64, facts->cache_pressure);
		hint_facts_set(&hints, "more_pressure", "%" PRIu64,
			       facts->cache_pressure < 100 ? 100 : facts->cache_pressure * 2);
	}
	set_size(&hints, "bytes", finding->bytes);
	set_size(&hints, "reclaimable", finding->reclaimable_bytes);
	hints_apply(&hints, finding);
	hint_facts_done(&hints);
}

static struct finding *new_finding(const char *reason, enum severity severity, uint64_t bytes,
				   struct findings *findings)
{
	struct finding *finding = findings_add(findings);

	finding->check = CHECK_SLAB_CACHE;
	finding->severity = severity;
	finding->reason = reason;
	finding->bytes = bytes;
	return finding;
}

/* --- dentries ------------------------------------------------------------------------------------------------------------- */

/* The directory with most entries, or with most negative ones; NULL: none is known. */
static const struct dentries_directory *top_directory(const struct dentries_snapshot *s,
						      bool negative)
{
	const struct dentries_directory *top = NULL;

	for (size_t i = 0; i < s->n_directories; i++) {
		const struct dentries_directory *dir = &s->directories[i];

		if (!top || (negative ? dir->dentries.negative > top->dentries.negative
				      : dir->dentries.entries > top->dentries.entries))
			top = dir;
	}
	return top;
}

/* "; the directory with most is PATH (N)", or "". */
static char *below_text(const struct slab_facts *facts, const struct dentries_directory *dir,
			uint64_t n)
{
	_cleanup_free_ char *name = dir ? slab_directory_name(facts, dir) : NULL;
	_cleanup_free_ char *owner = dir ? slab_directory_owner(facts, dir) : NULL;

	if (!name || !*name || n == 0)
		return xstrdup("");
	text_shorten_middle(name, NAME_MAX_TEXT);
	if (!owner)
		return xasprintf("; the directory with most is %s (%" PRIu64 ")", name, n);
	text_shorten_middle(owner, 120);
	return xasprintf("; the directory with most is %s (%" PRIu64 ", charged to %s)", name, n,
			 owner);
}

static void dentry_evidence(const struct slab_facts *facts, const struct dentries_directory *dir,
			    struct finding *finding)
{
	const struct dentries_snapshot *s = facts->dentries;

	finding_add_evidence(finding, "dentries", "%" PRIu64, s->dentries.entries);
	finding_add_evidence(finding, "negativeDentries", "%" PRIu64, s->dentries.negative);
	finding_add_evidence(finding, "unusedDentries", "%" PRIu64, s->kernel_unused);
	finding_add_evidence(finding, "inodes", "%" PRIu64, s->inodes.entries);
	finding_add_evidence(finding, "nodeMemoryBytes", "%" PRIu64, facts->mem_total_bytes);
	if (dir) {
		_cleanup_free_ char *name = slab_directory_name(facts, dir);

		text_shorten_middle(name, 120);
		finding_add_evidence(finding, "largestDirectory", "%s", name);
		finding_add_evidence(finding, "largestDirectoryEntries", "%" PRIu64,
				     dir->dentries.entries);
		finding_add_evidence(finding, "largestDirectoryNegative", "%" PRIu64,
				     dir->dentries.negative);
	}
}

static void find_dentries(const struct slab_facts *facts, struct findings *findings)
{
	const struct dentries_snapshot *s = facts->dentries;
	uint64_t bytes = s->dentries.bytes + s->inodes.bytes;
	enum severity severity =
		spec_severity(facts->spec, "DentryCacheHigh", bytes, facts->mem_total_bytes);
	const struct dentries_directory *dir = top_directory(s, false);
	uint64_t permille = num_muldiv(bytes, 1000, facts->mem_total_bytes);
	_cleanup_free_ char *below = NULL;
	struct finding *finding;
	char size[NUM_TEXT_MAX];

	if (severity == SEVERITY_NONE)
		return;
	finding = new_finding("DentryCacheHigh", severity, bytes, findings);
	finding->error_bytes = s->dentries.entries_error * s->dentry_size;
	/* An inode goes with its last dentry. */
	if (s->kernel_dentries >= s->kernel_unused && s->kernel_dentries > 0)
		finding->reclaimable_bytes =
			num_muldiv(bytes, s->kernel_unused, s->kernel_dentries);
	below = below_text(facts, dir, dir ? dir->dentries.entries : 0);
	finding->message = xasprintf("%s of cached names and inodes, %" PRIu64 ".%" PRIu64
				     " %% of the node's memory: %" PRIu64 " names, %" PRIu64
				     " of these of files that do not exist%s",
				     num_format_bytes(bytes, size), permille / 10, permille % 10,
				     s->dentries.entries, s->dentries.negative, below);
	dentry_evidence(facts, dir, finding);
	add_hints(facts, dir, NULL, finding);
}

static void find_negative(const struct slab_facts *facts, struct findings *findings)
{
	const struct dentries_snapshot *s = facts->dentries;
	enum severity severity =
		spec_severity(facts->spec, "NegativeDentries", s->dentries.negative, 0);
	const struct dentries_directory *dir = top_directory(s, true);
	_cleanup_free_ char *below = NULL;
	struct finding *finding;
	char size[NUM_TEXT_MAX];

	if (severity == SEVERITY_NONE)
		return;
	finding = new_finding("NegativeDentries", severity,
			      num_muldiv(s->dentries.bytes, s->dentries.negative,
					 s->dentries.entries ? s->dentries.entries : 1),
			      findings);
	finding->error_bytes = s->dentries.entries_error * s->dentry_size;
	finding->reclaimable_bytes = finding->bytes;
	below = below_text(facts, dir, dir ? dir->dentries.negative : 0);
	finding->message =
		xasprintf("%" PRIu64 " cached names of files that do not exist take %s%s",
			  s->dentries.negative, num_format_bytes(finding->bytes, size), below);
	dentry_evidence(facts, dir, finding);
	add_hints(facts, dir, NULL, finding);
}

/* --- growth --------------------------------------------------------------------------------------------------------------- */

/* Caches that may be what a sum is of, by how much they grew; returns how many of them grew. */
static size_t grown_caches(const struct slab_facts *facts, enum slab_reclaim other,
			   const struct slab_cache *ret[GROWN_LISTED])
{
	size_t n = 0;

	for (size_t i = 0; facts->after && facts->before && i < facts->after->n; i++) {
		const struct slab_cache *cache = &facts->after->caches[i];
		int64_t grown = slab_cache_grown(facts, cache);
		size_t at;

		if (cache->reclaim == other || grown <= 0)
			continue;
		for (at = n < GROWN_LISTED ? n : GROWN_LISTED;
		     at > 0 && slab_cache_grown(facts, ret[at - 1]) < grown; at--) {
			if (at < GROWN_LISTED)
				ret[at] = ret[at - 1];
		}
		if (at < GROWN_LISTED)
			ret[at] = cache;
		n += n < GROWN_LISTED;
	}
	return n;
}

static void find_growth(const struct slab_facts *facts, bool reclaimable, struct findings *findings)
{
	const char *reason = reclaimable ? "SlabGrowth" : "SlabUnreclaimableGrowth";
	uint64_t before = reclaimable ? facts->sums_before.reclaimable
				      : facts->sums_before.unreclaimable;
	uint64_t after = reclaimable ? facts->sums_after.reclaimable
				     : facts->sums_after.unreclaimable;
	uint64_t grown = before > 0 && after > before ? after - before : 0;
	enum severity severity = spec_severity(facts->spec, reason, grown, facts->mem_total_bytes);
	const struct slab_cache *caches[GROWN_LISTED] = {NULL};
	size_t n = grown_caches(facts, reclaimable ? SLAB_UNRECLAIMABLE : SLAB_RECLAIMABLE, caches);
	const struct dentries_directory *dir = NULL;
	char size[NUM_TEXT_MAX], part[NUM_TEXT_MAX], span[NUM_TEXT_MAX];
	_cleanup_free_ char *most = NULL;
	struct finding *finding;

	if (severity == SEVERITY_NONE || grown == 0)
		return;
	finding = new_finding(reason, severity, grown, findings);
	finding->reclaimable_bytes = reclaimable ? grown : 0;
	if (n > 0)
		most = xasprintf(
			", most of it in cache %s (%s)", caches[0]->name,
			num_format_bytes((uint64_t)slab_cache_grown(facts, caches[0]), part));
	finding->message = xasprintf(
		"kernel objects that can%s be reclaimed grew by %s in %s%s",
		reclaimable ? "" : "not", num_format_bytes(grown, size),
		num_format_seconds((facts->window_ns + NSEC_PER_SEC / 2) / NSEC_PER_SEC, span),
		most ? most : "");
	finding_add_evidence(finding, "grownBytes", "%" PRIu64, grown);
	finding_add_evidence(finding, "bytes", "%" PRIu64, after);
	finding_add_evidence(finding, "windowMillis", "%" PRIu64,
			     (uint64_t)(facts->window_ns / NSEC_PER_MSEC));
	for (size_t i = 0; i < n; i++) {
		static const char *const names[GROWN_LISTED] = {"mostGrownCache", "secondCache",
								"thirdCache"};

		finding_add_evidence(finding, names[i], "%s +%" PRId64, caches[i]->name,
				     slab_cache_grown(facts, caches[i]));
	}
	if (reclaimable && facts->dentries && n > 0 &&
	    (strcmp(caches[0]->name, "dentry") == 0 || strstr(caches[0]->name, "inode")))
		dir = top_directory(facts->dentries, false);
	add_hints(facts, dir, n > 0 ? caches[0] : NULL, finding);
}

void slab_cache_find(const struct slab_facts *facts, struct findings *findings)
{
	if (facts->dentries) {
		find_dentries(facts, findings);
		find_negative(facts, findings);
	}
	find_growth(facts, true, findings);
	find_growth(facts, false, findings);
}
