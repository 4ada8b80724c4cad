/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/slab_cache.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "checks/cache_rows.h"

uint64_t slab_container_bytes(const struct slab_container *container)
{
	const struct cgroup_stat *stat = &container->stat;
	uint64_t slab = stat->slab_reclaimable + stat->slab_unreclaimable;

	return slab ? slab : stat->kernel;
}

int64_t slab_cache_grown(const struct slab_facts *facts, const struct slab_cache *cache)
{
	const struct slab_cache *old;

	if (!facts->before)
		return 0;
	old = slabs_find(facts->before, cache->name);
	return (int64_t)cache->bytes - (old ? (int64_t)old->bytes : 0);
}

/* --- names -------------------------------------------------------------------------------------------------------------- */

static struct pages_file file_of(const struct dentries_directory *dir)
{
	struct pages_file file = {
		.dev_major = dir->dev_major,
		.dev_minor = dir->dev_minor,
		.path = dir->path,
		.path_truncated = dir->path_truncated,
		.kernel_mount = dir->kernel_mount,
	};

	memcpy(file.fstype, dir->fstype, sizeof(file.fstype));
	return file;
}

char *slab_directory_name(const struct slab_facts *facts, const struct dentries_directory *dir)
{
	const struct cache_facts names = {.mounts = facts->mounts};
	const struct pages_file file = file_of(dir);

	return cache_file_name(&names, &file);
}

char *slab_directory_path(const struct slab_facts *facts, const struct dentries_directory *dir)
{
	const struct cache_facts names = {.mounts = facts->mounts};
	const struct pages_file file = file_of(dir);

	return cache_file_open_path(&names, &file);
}

struct owner slab_group_owner(const struct slab_facts *facts, size_t i)
{
	const struct dentries_group *group = &facts->dentries->groups[i];

	if (facts->group_owners)
		return facts->group_owners[i];
	return (struct owner){.cgroup = group->path, .cgroup_id = group->id, .dying = group->dying};
}

char *slab_directory_owner(const struct slab_facts *facts, const struct dentries_directory *dir)
{
	struct owner owner;
	char *name;

	if (dir->group >= facts->dentries->n_groups || facts->dentries->groups[dir->group].id == 0)
		return NULL;
	owner = slab_group_owner(facts, dir->group);
	if (owner.ns && owner.pod)
		return owner.container ? xasprintf("%s/%s/%s", owner.ns, owner.pod, owner.container)
				       : xasprintf("%s/%s", owner.ns, owner.pod);
	name = text_escape_name(owner.cgroup, strlen(owner.cgroup));
	text_shorten_middle(name, 512);
	return name;
}

static void add_device(uint32_t major, uint32_t minor, cJSON *row)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%u:%u", major, minor);
	tree_add_str(row, "device", text);
}

/* --- the result --------------------------------------------------------------------------------------------------------- */

static void add_caches(const struct slab_facts *facts, cJSON *result)
{
	cJSON *list = tree_add_array(result, "caches");

	for (size_t i = 0; facts->after && i < facts->after->n && i < facts->spec->top; i++) {
		const struct slab_cache *cache = &facts->after->caches[i];
		cJSON *row = tree_push_object(list);

		tree_add_str(row, "name", cache->name);
		tree_add_u64(row, "objects", cache->objects);
		tree_add_u64(row, "activeObjects", cache->active);
		tree_add_u64(row, "objectBytes", cache->object_size);
		tree_add_u64(row, "bytes", cache->bytes);
		if (facts->before)
			tree_add_int(row, "grownBytes", slab_cache_grown(facts, cache));
		if (cache->reclaim != SLAB_RECLAIM_UNKNOWN)
			tree_add_bool(row, "reclaimable", cache->reclaim == SLAB_RECLAIMABLE);
	}
}

static void add_directories(const struct slab_facts *facts, cJSON *dentries)
{
	cJSON *list = tree_add_array(dentries, "directories");

	for (size_t i = 0; i < facts->dentries->n_directories && i < facts->spec->top; i++) {
		const struct dentries_directory *dir = &facts->dentries->directories[i];
		_cleanup_free_ char *name = slab_directory_name(facts, dir);
		_cleanup_free_ char *owner = slab_directory_owner(facts, dir);
		cJSON *row = tree_push_object(list);

		tree_add_str(row, "path", name);
		tree_add_str(row, "chargedTo", owner);
		tree_add_str(row, "filesystem", dir->fstype);
		add_device(dir->dev_major, dir->dev_minor, row);
		tree_add_u64(row, "entries", dir->dentries.entries);
		tree_add_u64(row, "entriesError", dir->dentries.entries_error);
		tree_add_u64(row, "negative", dir->dentries.negative);
		tree_add_u64(row, "bytes", dir->dentries.bytes);
	}
}

/* What is charged to none is no row: it is the rest of the total. */
static void add_groups(const struct slab_facts *facts, cJSON *result)
{
	const struct dentries_snapshot *s = facts->dentries;
	cJSON *list = tree_add_array(result, "charged");
	uint64_t left = facts->spec->top;

	for (size_t i = 0; i < s->n_groups && left > 0; i++) {
		const struct dentries_group *group = &s->groups[i];
		const struct owner owner = slab_group_owner(facts, i);
		cJSON *row;

		if (group->id == 0)
			continue;
		left--;
		row = tree_push_object(list);
		owner_add(&owner, row);
		tree_add_str(row, "podUID", owner.pod_uid);
		tree_add_u64(row, "dentries", group->dentries.entries);
		tree_add_u64(row, "negative", group->dentries.negative);
		tree_add_u64(row, "inodes", group->inodes.entries);
		tree_add_u64(row, "bytes", group->dentries.bytes + group->inodes.bytes);
	}
}

static void add_dentries(const struct slab_facts *facts, cJSON *result)
{
	const struct dentries_snapshot *s = facts->dentries;
	cJSON *dentries = tree_add_object(result, "dentries");

	tree_add_u64(dentries, "total", s->dentries.entries);
	tree_add_u64(dentries, "totalError", s->dentries.entries_error);
	tree_add_u64(dentries, "negative", s->dentries.negative);
	tree_add_u64(dentries, "bytes", s->dentries.bytes);
	tree_add_u64(dentries, "inodes", s->inodes.entries);
	tree_add_u64(dentries, "inodeBytes", s->inodes.bytes);
	tree_add_u64(dentries, "kernelTotal", s->kernel_dentries);
	tree_add_u64(dentries, "kernelUnused", s->kernel_unused);
	tree_add_u64(dentries, "kernelNegative", s->kernel_negative);
	tree_add_u64(dentries, "kernelInodes", s->kernel_inodes);
	tree_add_u64(dentries, "sampleEvery", s->sample_every);
	tree_add_u64(dentries, "directoriesSeen", s->directories_seen);
	tree_add_u64(dentries, "notInDirectories", s->pruned_entries);
	tree_add_u64(dentries, "refusedObjects", s->refused);
	add_directories(facts, dentries);
}

static void add_filesystems(const struct slab_facts *facts, cJSON *result)
{
	cJSON *list = tree_add_array(result, "filesystems");

	for (size_t i = 0; i < facts->dentries->n_filesystems && i < facts->spec->top; i++) {
		const struct dentries_filesystem *f = &facts->dentries->filesystems[i];
		const char *point =
			facts->mounts && !f->kernel_mount
				? mounts_mount_point(facts->mounts, f->dev_major, f->dev_minor, "/")
				: NULL;
		cJSON *row = tree_push_object(list);

		tree_add_str(row, "filesystem", f->fstype);
		tree_add_str(row, "source", f->sb_id);
		add_device(f->dev_major, f->dev_minor, row);
		if (point)
			tree_add_text(row, "mountPoint", point, 1024);
		tree_add_u64(row, "dentries", f->dentries.entries);
		tree_add_u64(row, "negative", f->dentries.negative);
		tree_add_u64(row, "inodes", f->inodes.entries);
		tree_add_u64(row, "bytes", f->dentries.bytes + f->inodes.bytes);
	}
}

static void add_containers(const struct slab_facts *facts, cJSON *result)
{
	cJSON *list = tree_add_array(result, "containers");

	for (size_t i = 0; i < facts->n_containers && i < facts->spec->top; i++) {
		const struct slab_container *container = &facts->containers[i];
		cJSON *row;

		if (slab_container_bytes(container) == 0)
			break;
		row = tree_push_object(list);
		owner_add(&container->owner, row);
		tree_add_str(row, "podUID", container->owner.pod_uid);
		tree_add_u64(row, "bytes", slab_container_bytes(container));
		if (facts->v2) {
			tree_add_u64(row, "reclaimableBytes", container->stat.slab_reclaimable);
			tree_add_u64(row, "unreclaimableBytes", container->stat.slab_unreclaimable);
		}
		if (container->stat.kernel)
			tree_add_u64(row, "kernelBytes", container->stat.kernel);
	}
}

static void add_sums(const struct slab_facts *facts, cJSON *result)
{
	const struct slab_sums *b = &facts->sums_before, *a = &facts->sums_after;

	if (a->reclaimable + a->unreclaimable == 0)
		return;
	tree_add_u64(result, "reclaimableBytes", a->reclaimable);
	tree_add_u64(result, "unreclaimableBytes", a->unreclaimable);
	if (b->reclaimable + b->unreclaimable == 0)
		return;
	tree_add_u64(result, "windowMillis", facts->window_ns / NSEC_PER_MSEC);
	tree_add_int(result, "reclaimableGrowthBytes",
		     (int64_t)a->reclaimable - (int64_t)b->reclaimable);
	tree_add_int(result, "unreclaimableGrowthBytes",
		     (int64_t)a->unreclaimable - (int64_t)b->unreclaimable);
}

/* --- how it went -------------------------------------------------------------------------------------------------------- */

/* Appends to the message, after "; " when it has something already, and keeps the first reason. */
__attribute__((format(printf, 3, 4))) static void say(struct check_result *result,
						      const char *reason, const char *fmt, ...)
{
	size_t len = strlen(result->message);
	va_list ap;

	if (!result->reason)
		result->reason = reason;
	if (len > 0 && len + 3 < sizeof(result->message))
		len += (size_t)snprintf(result->message + len, sizeof(result->message) - len, "; ");
	va_start(ap, fmt);
	(void)vsnprintf(result->message + len, sizeof(result->message) - len, fmt, ap);
	va_end(ap);
}

static void describe_walk(const struct dentries_snapshot *s, struct check_result *result)
{
	result->method = s->method;
	result->coverage_permille = s->coverage_permille;
	result->bpf_calls = s->bpf_calls;
	result->bpf_max_call_us = (s->bpf_max_call_ns + 999) / 1000;
	if (s->coverage_permille < 1000) {
		result->state = CHECK_TRUNCATED;
		say(result, "CPUBudgetExhausted",
		    "spec.cpuBudget ran out after %u.%u %% of memory; numbers of dentries and "
		    "inodes are of that part",
		    s->coverage_permille / 10, s->coverage_permille % 10);
	}
	if (s->sample_every > 1)
		say(result, "Sampled",
		    "one %s in %u was looked into, to stay within spec.cpuBudget; numbers of "
		    "dentries and inodes are estimates",
		    s->sample_blocks ? "block of pages" : "slab", s->sample_every);
}

static void describe(const struct slab_facts *facts, struct check_result *result)
{
	const struct parse_notes *notes = facts->after ? &facts->after->notes : NULL;

	result->method = "slabinfo";
	result->coverage_permille = 1000;
	if (facts->dentries)
		describe_walk(facts->dentries, result);
	if (facts->dentries_problem)
		say(result, "DentriesMissing", "the owners of dentries and inodes are unknown: %s",
		    facts->dentries_problem);
	if (facts->slabs_problem)
		say(result, "CachesMissing", "the caches are unknown: %s", facts->slabs_problem);
	for (size_t i = 0; notes && i < notes->n; i++)
		say(result, "LinesNotRead", "%s", notes->lines[i]);
	if (notes && notes->dropped > 0)
		say(result, "LinesNotRead", "and %" PRIu64 " lines more", notes->dropped);
	if (facts->containers_not_read > 0)
		say(result, "ContainersNotRead", "memory.stat of %" PRIu64 " cgroups was not read",
		    facts->containers_not_read);
}

void slab_cache_judge(const struct slab_facts *facts, struct check_result *result)
{
	describe(facts, result);
	result->result = cJSON_CreateObject();
	if (!spec_limits_pods(facts->spec)) {
		add_sums(facts, result->result);
		add_caches(facts, result->result);
		if (facts->dentries) {
			add_dentries(facts, result->result);
			add_filesystems(facts, result->result);
			add_groups(facts, result->result);
		}
		slab_cache_find(facts, &result->findings);
	}
	add_containers(facts, result->result);
}
