/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/cache_rows.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum {
	MAX_USAGES = 64, /* memcgs whose usage and limit are read: each costs one rstat flush */
	MAX_CHARGES = 8, /* of one file in a report, as the CRD has it */
	MAX_NAME = 1024, /* bytes of a path in a report */
};

char *cache_file_open_path(const struct cache_facts *facts, const struct pages_file *file)
{
	if (!file->path || file->deleted || file->kernel_mount || file->path_truncated ||
	    !facts->mounts)
		return NULL;
	return mounts_host_path(facts->mounts, file->dev_major, file->dev_minor, file->path);
}

char *cache_file_name(const struct cache_facts *facts, const struct pages_file *file)
{
	_cleanup_free_ char *path = NULL;
	char *name;

	if (file->kind == PAGES_BDEV)
		return xasprintf("(block device %s)",
				 file->sb_id[0] && strcmp(file->sb_id, "bdev") != 0
					 ? file->sb_id
					 : "metadata and raw reads");
	if (!file->path)
		return xstrdup("");
	if (!file->kernel_mount && facts->mounts)
		path = mounts_host_path(facts->mounts, file->dev_major, file->dev_minor,
					file->path);
	if (!path && !file->kernel_mount && facts->mounts)
		path = xasprintf("(%s %u:%u, not mounted)%s", file->fstype, file->dev_major,
				 file->dev_minor, file->path);
	if (!path)
		path = xstrdup(file->path);
	name = text_escape_name(path, strlen(path));
	text_shorten_middle(name, MAX_NAME);
	return name;
}

struct owner cache_owner(const struct cache_facts *facts, size_t i)
{
	const struct pages_memcg *memcg = &facts->pages->memcgs[i];

	if (facts->owners)
		return facts->owners[i];
	return (struct owner){.cgroup = memcg->path, .cgroup_id = memcg->id, .dying = memcg->dying};
}

static void add_charges(const struct cache_facts *facts, const struct pages_file *file, cJSON *row)
{
	cJSON *list = tree_add_array(row, "chargedTo");

	for (size_t i = 0; i < file->n_charges && i < MAX_CHARGES; i++) {
		const struct pages_charge *charge = &file->charges[i];
		const struct owner owner = cache_owner(facts, charge->memcg);
		cJSON *item = tree_push_object(list);

		owner_add(&owner, item);
		tree_add_u64(item, "bytes", charge->bytes);
	}
}

static void add_file(const struct cache_facts *facts, const struct pages_file *file, cJSON *list)
{
	_cleanup_free_ char *name = cache_file_name(facts, file);
	cJSON *row = tree_push_object(list);
	char text[32];

	tree_add_str(row, "path", name);
	if (facts->places) {
		const struct cache_place *place = &facts->places[file - facts->pages->files];

		tree_add_str(row, "containerPath", place->container_path);
		tree_add_str(row, "volume", place->volume);
	}
	tree_add_str(row, "filesystem", file->fstype);
	(void)snprintf(text, sizeof(text), "%u:%u", file->dev_major, file->dev_minor);
	tree_add_str(row, "device", text);
	(void)snprintf(text, sizeof(text), "%" PRIu64, file->inode);
	tree_add_str(row, "inode", text);
	(void)snprintf(text, sizeof(text), "%u", file->generation);
	tree_add_str(row, "generation", text);
	tree_add_u64(row, "sizeBytes", file->size_bytes);
	tree_add_u64(row, "cachedBytes", file->cached_bytes);
	tree_add_u64(row, "dirtyBytes", file->dirty_bytes);
	tree_add_bool(row, "deleted", file->deleted);
	tree_add_bool(row, "shmem", file->kind == PAGES_SHMEM);
	if (file->kernel_mount)
		tree_add_bool(row, "kernelMount", true);
	add_charges(facts, file, row);
}

void cache_add_files(const struct cache_facts *facts, bool shmem_only, cJSON *result)
{
	cJSON *list = tree_add_array(result, "files");
	uint64_t left = facts->spec->top;

	for (size_t i = 0; i < facts->pages->n_files_kept && left > 0; i++) {
		const struct pages_file *file = &facts->pages->files[i];

		if (shmem_only && file->kind != PAGES_SHMEM)
			continue;
		add_file(facts, file, list);
		left--;
	}
}

static void add_container(const struct cache_facts *facts, const struct pages_memcg *memcg,
			  bool shmem_only, cJSON *list)
{
	size_t top = shmem_only ? memcg->top_shmem : memcg->top_file;
	const struct owner owner = cache_owner(facts, (size_t)(memcg - facts->pages->memcgs));
	cJSON *row = tree_push_object(list);

	owner_add(&owner, row);
	tree_add_str(row, "podUID", owner.pod_uid);
	tree_add_u64(row, "bytes", shmem_only ? memcg->shmem_bytes : memcg->cached_bytes);
	if (!shmem_only) {
		tree_add_u64(row, "shmemBytes", memcg->shmem_bytes);
		tree_add_u64(row, "dirtyBytes", memcg->dirty_bytes);
	}
	if (top < facts->pages->n_files_kept) {
		_cleanup_free_ char *name = cache_file_name(facts, &facts->pages->files[top]);

		tree_add_str(row, "topFile", name);
	}
}

static int by_shmem(const void *pa, const void *pb)
{
	const struct pages_memcg *const *a = pa, *const *b = pb;

	if ((*a)->shmem_bytes != (*b)->shmem_bytes)
		return (*a)->shmem_bytes > (*b)->shmem_bytes ? -1 : 1;
	return *a < *b ? -1 : *a > *b;
}

void cache_add_containers(const struct cache_facts *facts, bool shmem_only, cJSON *result)
{
	const struct pages_snapshot *pages = facts->pages;
	const struct pages_memcg **order = xcalloc(pages->n_memcgs, sizeof(*order));
	cJSON *list = tree_add_array(result, "containers");

	for (size_t i = 0; i < pages->n_memcgs; i++)
		order[i] = &pages->memcgs[i];
	if (shmem_only && pages->n_memcgs > 1)
		qsort(order, pages->n_memcgs, sizeof(const void *), by_shmem);
	for (size_t i = 0; i < pages->n_memcgs && i < facts->spec->top; i++) {
		if (!shmem_only || order[i]->shmem_bytes > 0)
			add_container(facts, order[i], shmem_only, list);
	}
	free(order);
}

void cache_describe(const struct cache_facts *facts, struct check_result *result)
{
	const struct pages_snapshot *pages = facts->pages;

	result->method = pages->method;
	result->coverage_permille = pages->coverage_permille;
	result->bpf_calls = pages->bpf_calls;
	result->bpf_max_call_us = (pages->bpf_max_call_ns + 999) / 1000;
	if (pages->coverage_permille < 1000) {
		result->state = CHECK_TRUNCATED;
		result->reason = "CPUBudgetExhausted";
		(void)snprintf(result->message, sizeof(result->message),
			       "spec.cpuBudget ran out after %u.%u %% of memory; sums are of that "
			       "part. Raise cpuBudget to see the rest.",
			       pages->coverage_permille / 10, pages->coverage_permille % 10);
	} else if (facts->names_missing) {
		result->reason = "NamesMissing";
		(void)snprintf(result->message, sizeof(result->message),
			       "names of pods are missing: %s", facts->names_missing);
	}
}
