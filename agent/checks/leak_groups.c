/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/leak_groups.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "identity/pod_controller.h"

void leak_groups_init(struct leak_groups *groups)
{
	*groups = (struct leak_groups){.index = MAP_INIT(free)};
}

void leak_groups_done(struct leak_groups *groups)
{
	for (size_t i = 0; i < groups->n; i++) {
		owner_done(&groups->items[i].owner);
		free(groups->items[i].place);
		free(groups->items[i].device_name);
	}
	free(groups->items);
	map_done(&groups->index);
	memset(groups, 0, sizeof(*groups));
}

/* The cgroup above; of a pod's, the one above the pod's own: "kubepods-burstable-pod<uid>.slice", "pod<uid>". */
static char *place_of(const char *path, bool pod)
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	for (const char *at = strchr(path, '/'); pod && at; at = strchr(at + 1, '/')) {
		size_t len = strcspn(at + 1, "/");
		const char *dash = memmem(at + 1, len, "-pod", 4);

		if (strncmp(at + 1, "pod", 3) == 0 || dash) {
			n = (size_t)(at - path);
			break;
		}
	}
	return n == 0 ? xstrdup("/") : xstrndup(path, n);
}

static char *controller_text(const struct pod_controller *controller)
{
	return *controller->kind ? xasprintf("%s/%s", controller->kind, controller->name)
				 : xstrdup(controller->name);
}

static size_t new_group(struct leak_groups *groups, const char *key, const struct owner *owner,
			const struct pod_controller *controller, const char *place)
{
	struct leak_group *group;
	size_t *index = xmalloc(sizeof(*index));

	/* Powers of two. */
	if ((groups->n & (groups->n - 1)) == 0)
		groups->items = xreallocarray(groups->items, groups->n ? groups->n * 2 : 1,
					      sizeof(*groups->items));
	*index = groups->n++;
	map_set(&groups->index, key, index);
	group = &groups->items[*index];
	memset(group, 0, sizeof(*group));
	group->owner = owner_copy(owner);
	group->kind = controller ? controller->kind : "";
	if (controller)
		group->owner.controller = controller_text(controller);
	group->place = xstrdup(place);
	return *index;
}

static size_t group_index(struct leak_groups *groups, const struct memcgs_entry *entry,
			  const struct owner *owner)
{
	_cleanup_free_ char *key = NULL, *place = place_of(entry->path, owner->pod_uid != NULL);
	const struct owner rest = {0};
	struct pod_controller controller;
	bool named = owner->ns && owner->pod;
	const size_t *index;

	if (named) {
		pod_controller_of(owner->pod, &controller);
		key = xasprintf("pod %s/%s/%s", owner->ns, controller.kind, controller.name);
	} else {
		key = xasprintf("at %s", place);
	}
	index = map_get(&groups->index, key);
	if (index)
		return *index;
	if (groups->n < LEAK_GROUPS_MAX - 1)
		return new_group(groups, key, owner, named ? &controller : NULL, place);
	groups->merged++;
	index = map_get(&groups->index, "rest");
	return index ? *index : new_group(groups, "rest", &rest, NULL, "/");
}

size_t leak_groups_add(struct leak_groups *groups, const struct memcgs_entry *entry,
		       const struct owner *owner)
{
	size_t i = group_index(groups, entry, owner);
	struct leak_group *group = &groups->items[i];

	group->dying++;
	group->pinned_bytes += memcgs_lru_bytes(entry);
	group->file_bytes += entry->file_bytes;
	group->anon_bytes += entry->anon_bytes;
	group->swap_bytes += entry->swap_bytes;
	group->socket_bytes += entry->socket_bytes;
	group->kernel_bytes += entry->kernel_bytes;
	group->slab_bytes += entry->slab_bytes;
	group->other_refs += entry->other_refs;
	return i;
}

/* --- files ------------------------------------------------------------------------------------------------------------ */

struct id_group {
	uint64_t id;
	size_t group;
};

static int by_id(const void *pa, const void *pb)
{
	const struct id_group *a = pa, *b = pb;

	return (a->id > b->id) - (a->id < b->id);
}

/* The group of each of pages->memcgs, SIZE_MAX for those that are not dying. The caller frees it. */
static size_t *groups_of_memcgs(const struct memcgs_snapshot *snapshot, const size_t *group_of,
				const struct pages_snapshot *pages)
{
	_cleanup_free_ struct id_group *ids = xcalloc(snapshot->n + 1, sizeof(*ids));
	size_t *ret = xcalloc(pages->n_memcgs + 1, sizeof(*ret));

	for (size_t i = 0; i < snapshot->n; i++)
		ids[i] = (struct id_group){snapshot->entries[i].id, group_of[i]};
	if (snapshot->n > 1)
		qsort(ids, snapshot->n, sizeof(*ids), by_id);
	for (size_t i = 0; i < pages->n_memcgs; i++) {
		const struct id_group want = {.id = pages->memcgs[i].id};
		const struct id_group *found =
			bsearch(&want, ids, snapshot->n, sizeof(*ids), by_id);

		ret[i] = found ? found->group : SIZE_MAX;
	}
	return ret;
}

static void offer_file(struct leak_group *group, const struct pages_file *file, uint64_t bytes)
{
	size_t at = group->n_files;

	while (at > 0 && group->files[at - 1].bytes < bytes)
		at--;
	group->more_files += group->n_files == LEAK_MAX_FILES;
	if (at == LEAK_MAX_FILES)
		return;
	if (group->n_files < LEAK_MAX_FILES)
		group->n_files++;
	memmove(&group->files[at + 1], &group->files[at],
		(group->n_files - at - 1) * sizeof(group->files[0]));
	group->files[at] = (struct leak_file){file, bytes};
}

/* Adds what a block device has to the groups, where it is the device with most. of: see groups_of_memcgs(). */
static void offer_device(struct leak_groups *groups, const size_t *of,
			 const struct pages_snapshot *pages, const struct pages_file *file)
{
	_cleanup_free_ struct leak_device *found = xcalloc(groups->n + 1, sizeof(*found));

	for (size_t k = 0; k < file->n_charges; k++) {
		const struct pages_charge *charge = &file->charges[k];
		size_t group = of[charge->memcg];

		if (group == SIZE_MAX)
			continue;
		found[group].file = file;
		found[group].bytes += charge->bytes;
		found[group].only += charge->bytes == pages->memcgs[charge->memcg].cached_bytes;
	}
	for (size_t i = 0; i < groups->n; i++) {
		if (found[i].bytes > groups->items[i].device.bytes)
			groups->items[i].device = found[i];
	}
}

void leak_groups_files(struct leak_groups *groups, const struct memcgs_snapshot *snapshot,
		       const size_t *group_of, const struct pages_snapshot *pages)
{
	_cleanup_free_ size_t *of = groups_of_memcgs(snapshot, group_of, pages);
	_cleanup_free_ uint64_t *sums = xcalloc(groups->n + 1, sizeof(*sums));

	for (size_t i = 0; i < groups->n; i++) {
		struct leak_group *group = &groups->items[i];

		group->n_files = 0;
		group->more_files = 0;
		group->named_bytes = 0;
		group->shmem_bytes = 0;
		group->dirty_bytes = 0;
		group->device = (struct leak_device){0};
	}
	for (size_t i = 0; i < pages->n_memcgs; i++) {
		if (of[i] == SIZE_MAX)
			continue;
		groups->items[of[i]].shmem_bytes += pages->memcgs[i].shmem_bytes;
		groups->items[of[i]].dirty_bytes += pages->memcgs[i].dirty_bytes;
	}
	for (size_t i = 0; i < pages->n_files_kept; i++) {
		const struct pages_file *file = &pages->files[i];

		for (size_t k = 0; k < file->n_charges; k++)
			if (of[file->charges[k].memcg] != SIZE_MAX)
				sums[of[file->charges[k].memcg]] += file->charges[k].bytes;
		if (file->kind == PAGES_BDEV)
			offer_device(groups, of, pages, file);
		/* Again: each group once, and its sum is spent. */
		for (size_t k = 0; k < file->n_charges; k++) {
			size_t group = of[file->charges[k].memcg];

			if (group == SIZE_MAX || sums[group] == 0)
				continue;
			groups->items[group].named_bytes += sums[group];
			offer_file(&groups->items[group], file, sums[group]);
			sums[group] = 0;
		}
	}
}

static int by_count(const void *pa, const void *pb)
{
	const struct leak_group *a = pa, *b = pb;

	if (a->dying != b->dying)
		return a->dying > b->dying ? -1 : 1;
	if (a->pinned_bytes != b->pinned_bytes)
		return a->pinned_bytes > b->pinned_bytes ? -1 : 1;
	return strcmp(a->place, b->place);
}

void leak_groups_sort(struct leak_groups *groups)
{
	if (groups->n > 1)
		qsort(groups->items, groups->n, sizeof(*groups->items), by_count);
}
