/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what judging page cache and shared memory needs. */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "checks/cache_rows.h"

enum {
	MAX_USAGES = 64, /* memcgs whose usage and limit are read: each costs one rstat flush */
	MAX_NAME = 1024, /* bytes of a path in a report */
};

/* What facts point to. */
struct cache_reading {
	struct cgroup_usage *usages;
	struct owner *owners;
	size_t n_owners;
	struct cache_place *places;
	size_t n_places;
};

static void read_usages(const struct host *host, struct cache_facts *facts,
			struct cache_reading *reading)
{
	size_t n = facts->pages->n_memcgs < MAX_USAGES ? facts->pages->n_memcgs : MAX_USAGES;

	reading->usages = xcalloc(n, sizeof(*reading->usages));
	for (size_t i = 0; i < n; i++) {
		const struct pages_memcg *memcg = &facts->pages->memcgs[i];

		reading->usages[i] = (struct cgroup_usage){0, 0, UINT64_MAX, UINT64_MAX};
		/* A cgroup that is dying or was removed meanwhile has no files: its share of the node counts. */
		if (!memcg->dying && host->cgroups.mode != CGROUP_NONE)
			(void)cgroupfs_usage(&host->cgroups, memcg->path, &reading->usages[i],
					     NULL);
	}
	facts->usages = reading->usages;
	facts->n_usages = n;
}

static void read_owners(const struct check_env *env, struct cache_facts *facts,
			struct cache_reading *reading)
{
	const struct pages_snapshot *pages = facts->pages;
	const struct pods *pods = NULL;

	/* Without the table of pods a cgroup still has its path. */
	(void)sources_pods(env->sources, &pods, NULL);
	reading->owners = xcalloc(pages->n_memcgs, sizeof(*reading->owners));
	reading->n_owners = pages->n_memcgs;
	for (size_t i = 0; i < pages->n_memcgs; i++)
		reading->owners[i] = owner_of_cgroup(pods, env->sources->opts.identity.history,
						     pages->memcgs[i].id, pages->memcgs[i].path,
						     pages->memcgs[i].dying);
	facts->owners = reading->owners;
	for (size_t i = 0; i < pages->n_memcgs && !facts->names_missing; i++) {
		if (reading->owners[i].pod_uid && !reading->owners[i].pod)
			facts->names_missing = pods && pods->runtime_problem
						       ? pods->runtime_problem
						       : "neither the container runtime nor the "
							 "history knows them";
	}
}

/* How the largest payer of a file sees it. */
static void read_place(const struct check_env *env, const struct cache_facts *facts,
		       const struct pages_file *file, struct cache_place *place)
{
	_cleanup_free_ char *host_path = NULL, *path = NULL;
	const struct container_view *view;
	const struct pages_memcg *payer;
	const struct pods *pods = NULL;
	const char *point = NULL;

	if (!file->path || file->kernel_mount || file->n_charges == 0)
		return;
	payer = &facts->pages->memcgs[file->charges[0].memcg];
	host_path = mounts_host_path(facts->mounts, file->dev_major, file->dev_minor, file->path);
	if (host_path)
		place->volume = container_volume_of_path(host_path);
	if (payer->dying || !facts->owners[file->charges[0].memcg].pod_uid)
		return;
	view = sources_view(env->sources, payer);
	if (!view)
		return;
	path = container_view_path(view, facts->mounts, file->dev_major, file->dev_minor,
				   file->path, &point);
	if (!path)
		return;
	place->container_path = text_escape_name(path, strlen(path));
	text_shorten_middle(place->container_path, MAX_NAME);
	if (!place->volume && sources_pods(env->sources, &pods, NULL) == 0)
		place->volume = pods_volume_name(pods, payer->id, point);
}

static void read_places(const struct check_env *env, struct cache_facts *facts,
			struct cache_reading *reading)
{
	const struct pages_snapshot *pages = facts->pages;

	reading->places = xcalloc(pages->n_files_kept, sizeof(*reading->places));
	reading->n_places = pages->n_files_kept;
	for (size_t i = 0; i < pages->n_files_kept; i++)
		read_place(env, facts, &pages->files[i], &reading->places[i]);
	facts->places = reading->places;
}

static int read_facts(const struct check_env *env, struct cache_facts *facts,
		      struct cache_reading *reading, struct err *err)
{
	const struct host *host = env->host;
	int r;

	memset(facts, 0, sizeof(*facts));
	memset(reading, 0, sizeof(*reading));
	r = sources_pages(env->sources, &facts->pages, err);
	if (r == 0)
		r = sources_mounts(env->sources, &facts->mounts, err);
	if (r < 0)
		return r;
	facts->spec = env->spec;
	facts->cgroup_mode = host->cgroups.mode;
	facts->cgroup_mount = host->cgroups.memory.path;
	facts->mem_total_bytes = host->mem_total_bytes;
	read_usages(host, facts, reading);
	read_owners(env, facts, reading);
	read_places(env, facts, reading);
	return 0;
}

static void reading_done(struct cache_reading *reading)
{
	free(reading->usages);
	for (size_t i = 0; i < reading->n_owners; i++)
		owner_done(&reading->owners[i]);
	free(reading->owners);
	for (size_t i = 0; i < reading->n_places; i++) {
		free(reading->places[i].container_path);
		free(reading->places[i].volume);
	}
	free(reading->places);
	memset(reading, 0, sizeof(*reading));
}

int cache_read_and_judge(const struct check_env *env,
			 void (*judge)(const struct cache_facts *facts,
				       struct check_result *result),
			 struct check_result *result, struct err *err)
{
	struct cache_reading reading;
	struct cache_facts facts;
	int r = read_facts(env, &facts, &reading, err);

	if (r == 0)
		judge(&facts, result);
	reading_done(&reading);
	return r;
}
