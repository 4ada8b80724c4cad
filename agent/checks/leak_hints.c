/* SPDX-License-Identifier: Apache-2.0 */
/* What the rules for removed memory cgroups need to know of one group, or of all. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "checks/cgroup_leak.h"
#include "report/hints.h"

/* The file that pins most, when it has a name that leads to it. */
static void file_facts(const struct leak_facts *facts, const struct leak_file *top,
		       struct hint_facts *hints)
{
	const struct cache_facts names = {.mounts = facts->mounts};
	_cleanup_free_ char *path = cache_file_open_path(&names, top->file);
	char size[NUM_TEXT_MAX];

	hint_facts_set(hints, "file_size", "%s", num_format_bytes(top->bytes, size));
	if (path) {
		_cleanup_free_ char *quoted = text_shell_quote(path, strlen(path));

		hints->conditions |= top->file->kind == PAGES_SHMEM ? HINT_SHMEM_FILE
								    : HINT_NAMED_FILE;
		hint_facts_set(hints, "path_q", "%s", quoted);
	} else if (top->file->deleted && !top->file->kernel_mount && top->file->path) {
		const char *base = strrchr(top->file->path, '/');
		_cleanup_free_ char *pattern =
			xasprintf("*%s (deleted)", base ? base : top->file->path);
		_cleanup_free_ char *quoted = text_shell_quote(pattern, strlen(pattern));

		hints->conditions |= HINT_DELETED_FILE;
		hint_facts_set(hints, "path_deleted_q", "%s", quoted);
	}
}

static void controller_facts(const struct owner *owner, struct hint_facts *hints)
{
	const char *slash = strchr(owner->controller, '/');
	_cleanup_free_ char *ns = text_shell_quote(owner->ns, strlen(owner->ns));
	_cleanup_free_ char *kind =
		slash ? xstrndup(owner->controller, (size_t)(slash - owner->controller))
		      : xstrdup("all");
	const char *name = slash ? slash + 1 : owner->controller;
	_cleanup_free_ char *quoted = text_shell_quote(name, strlen(name));

	hints->conditions |= slash ? HINT_CONTROLLER : 0;
	hint_facts_set(hints, "namespace_q", "%s", ns);
	hint_facts_set(hints, "kind", "%s", kind);
	hint_facts_set(hints, "name_q", "%s", quoted);
}

/* Of all groups: the device that one of them has most of, with what the others have of it. */
static struct leak_device device_of_all(const struct leak_groups *groups, const char **ret_name)
{
	struct leak_device sum = {0};
	uint64_t most = 0;

	for (size_t i = 0; i < groups->n; i++) {
		if (groups->items[i].device.bytes <= most)
			continue;
		most = groups->items[i].device.bytes;
		sum.file = groups->items[i].device.file;
		*ret_name = groups->items[i].device_name;
	}
	for (size_t i = 0; i < groups->n; i++) {
		if (groups->items[i].device.file != sum.file)
			continue;
		sum.bytes += groups->items[i].device.bytes;
		sum.only += groups->items[i].device.only;
	}
	return sum;
}

static void device_facts(const struct leak_facts *facts, const struct leak_group *group,
			 struct hint_facts *hints)
{
	const char *name = group ? group->device_name : NULL;
	struct leak_device device = group ? group->device : device_of_all(facts->groups, &name);
	char size[NUM_TEXT_MAX];

	if (!name || device.only == 0)
		return;
	hints->conditions |= HINT_DEVICE_PINS;
	hint_facts_set(hints, "device", "%s", name);
	hint_facts_set(hints, "device_size", "%s", num_format_bytes(device.bytes, size));
	hint_facts_set(hints, "device_only", "%" PRIu64, device.only);
}

/*
 * What memory.reclaim is to be told, so that it gets round to all: it takes from one cgroup after the other, live or not, 32
 * pages of each at the least, and stops when it has enough.
 */
static uint64_t reclaim_mib(const struct leak_facts *facts, const struct leak_group *group)
{
	const uint64_t turn = 32 * facts->page_size, mib = 1 << 20;

	return (2 * group->file_bytes + facts->memcgs->live * turn + mib - 1) / mib;
}

static void above_facts(const struct leak_facts *facts, const struct leak_group *group,
			struct hint_facts *hints)
{
	_cleanup_free_ char *dir = NULL, *quoted = NULL;

	if (group->reclaim == LEAK_RECLAIM_NONE || !facts->cgroup_mount)
		return;
	hints->conditions |= group->reclaim == LEAK_RECLAIM_ALL ? HINT_EMPTY_ABOVE
								: HINT_RECLAIM_ABOVE;
	dir = xasprintf("%s%s", facts->cgroup_mount, group->place);
	quoted = text_shell_quote(dir, strlen(dir));
	hint_facts_set(hints, "above_dir_q", "%s", quoted);
	hint_facts_set(hints, "reclaim_mib", "%" PRIu64, reclaim_mib(facts, group));
}

void leak_add_hints(const struct leak_facts *facts, const struct leak_group *group,
		    struct finding *finding)
{
	struct hint_facts hints = {0};
	uint64_t files = group ? group->file_bytes : facts->memcgs->dying_file_bytes;
	char size[NUM_TEXT_MAX];

	if (group && group->n_files > 0)
		file_facts(facts, &group->files[0], &hints);
	if (group && group->owner.controller && group->owner.ns)
		controller_facts(&group->owner, &hints);
	device_facts(facts, group, &hints);
	if (files > 0) {
		hints.conditions |= HINT_CACHE_PINS;
		if (group)
			above_facts(facts, group, &hints);
	}
	hint_facts_set(&hints, "dying", "%" PRIu64, group ? group->dying : facts->memcgs->dying);
	hint_facts_set(&hints, "cache_size", "%s", num_format_bytes(files, size));
	hints_apply(&hints, finding);
	hint_facts_done(&hints);
}
