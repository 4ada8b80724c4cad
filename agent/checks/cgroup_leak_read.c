/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what judging dying memory cgroups needs. */
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "checks/cgroup_leak.h"
#include "identity/block_device.h"

/* What facts point to. */
struct reading {
	struct memcgs_snapshot *memcgs;
	struct leak_groups groups;
	size_t *group_of;
	struct err pages_err;
};

static void read_groups(const struct check_env *env, struct reading *reading)
{
	const struct memcgs_snapshot *memcgs = reading->memcgs;
	const struct pods *pods = NULL;

	/* Without the table of pods a cgroup still has its path. */
	(void)sources_pods(env->sources, &pods, NULL);
	reading->group_of = xcalloc(memcgs->n + 1, sizeof(*reading->group_of));
	for (size_t i = 0; i < memcgs->n; i++) {
		const struct memcgs_entry *entry = &memcgs->entries[i];
		struct owner owner;

		reading->group_of[i] = SIZE_MAX;
		if (!sources_means_cgroup(env->sources, entry->id, entry->path))
			continue;
		owner = owner_of_cgroup(pods, env->sources->opts.identity.history, entry->id,
					entry->path, true);
		reading->group_of[i] = leak_groups_add(&reading->groups, entry, &owner);
		owner_done(&owner);
	}
}

/*
 * Whether the files of each group that will be a finding are known, most of its pages at least. A scan of everything, as other
 * checks have it made, keeps the files of the largest cgroups; dying ones are small.
 */
static bool are_named(const struct check_env *env, const struct leak_groups *groups)
{
	for (size_t i = 0; i < groups->n; i++) {
		const struct leak_group *group = &groups->items[i];

		if (group->named_bytes < group->pinned_bytes / 2 &&
		    spec_severity(env->spec, "CgroupLeak", group->dying, 0) != SEVERITY_NONE)
			return false;
	}
	return true;
}

/* Scans the pages of the dying cgroups, of the largest when there are too many for one scan. */
static int scan_dying(const struct check_env *env, struct leak_facts *facts,
		      struct reading *reading)
{
	_cleanup_free_ uint64_t *ids = xcalloc(PAGES_MAX_MEMCG_IDS, sizeof(*ids));
	const struct pages_snapshot *pages;
	uint64_t wanted = 0;
	size_t n;
	int r;

	for (size_t i = 0; i < facts->memcgs->n; i++) {
		const struct memcgs_entry *entry = &facts->memcgs->entries[i];

		if (reading->group_of[i] == SIZE_MAX || memcgs_lru_bytes(entry) == 0)
			continue;
		if (wanted < PAGES_MAX_MEMCG_IDS)
			ids[wanted] = entry->id;
		wanted++;
	}
	if (wanted == 0)
		return 0;
	n = wanted < PAGES_MAX_MEMCG_IDS ? wanted : PAGES_MAX_MEMCG_IDS;
	r = sources_pages_of(env->sources, ids, n, &pages, &reading->pages_err);
	if (r < 0)
		return r;
	facts->pages = pages;
	facts->not_scanned = wanted - n;
	leak_groups_files(&reading->groups, facts->memcgs, reading->group_of, pages);
	return 0;
}

static void read_files(const struct check_env *env, struct leak_facts *facts,
		       struct reading *reading)
{
	if (env->sources->pages && !spec_limits_pods(env->spec)) {
		facts->pages = env->sources->pages;
		leak_groups_files(&reading->groups, facts->memcgs, reading->group_of, facts->pages);
		if (are_named(env, &reading->groups))
			return;
	}
	if (scan_dying(env, facts, reading) < 0)
		facts->pages_problem = reading->pages_err.msg;
}

static void read_remedies(const struct check_env *env, struct leak_groups *groups)
{
	const struct cgroupfs *cg = &env->host->cgroups;
	_cleanup_root_ struct root sys = ROOT_INIT;
	bool has_sys = root_open(&sys, "/sys", NULL) == 0;

	for (size_t i = 0; i < groups->n; i++) {
		struct leak_group *group = &groups->items[i];
		const struct pages_file *file = group->device.file;

		if (file && has_sys)
			group->device_name =
				block_device_name(&sys, file->dev_major, file->dev_minor);
		if (strcmp(group->place, "/") == 0)
			continue;
		if (cgroupfs_has(cg, group->place, "memory.reclaim"))
			group->reclaim = LEAK_RECLAIM_AMOUNT;
		else if (cgroupfs_has(cg, group->place, "memory.force_empty"))
			group->reclaim = LEAK_RECLAIM_ALL;
	}
}

static int read_facts(const struct check_env *env, struct leak_facts *facts,
		      struct reading *reading, struct err *err)
{
	const struct memcgs_opts opts = {0};
	long cpus = sysconf(_SC_NPROCESSORS_CONF);
	int r = memcgs_read(&env->host->proc, &opts, &reading->memcgs, err);

	if (r < 0)
		return r;
	env->sources->cpu_spent_ns += reading->memcgs->cpu_ns;
	*facts = (struct leak_facts){
		.spec = env->spec,
		.memcgs = reading->memcgs,
		.groups = &reading->groups,
		.cgroup_mount = env->host->cgroups.memory.path,
		.n_cpus = cpus > 0 ? (unsigned int)cpus : 1,
		.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
	};
	r = sources_mounts(env->sources, &facts->mounts, err);
	if (r < 0)
		return r;
	read_groups(env, reading);
	read_files(env, facts, reading);
	read_remedies(env, &reading->groups);
	leak_groups_sort(&reading->groups);
	return 0;
}

static int finish(const struct check_env *env, void *self, struct check_result *result,
		  struct err *err)
{
	struct reading reading = {0};
	struct leak_facts facts;
	int r;

	(void)self;
	leak_groups_init(&reading.groups);
	r = read_facts(env, &facts, &reading, err);
	if (r == 0)
		cgroup_leak_judge(&facts, result);
	leak_groups_done(&reading.groups);
	memcgs_snapshot_free(reading.memcgs);
	free(reading.group_of);
	return r;
}

const struct check check_cgroup_leak = {
	.type = CHECK_CGROUP_LEAK,
	.needs = CHECK_NEEDS_PAGE_SCAN,
	.probe = check_probe_pages,
	.finish = finish,
};
