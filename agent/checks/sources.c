/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/sources.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"

void sources_init(struct sources *sources, const struct sources_opts *opts)
{
	memset(sources, 0, sizeof(*sources));
	sources->opts = *opts;
}

void sources_done(struct sources *sources)
{
	pages_snapshot_free(sources->pages);
	pages_snapshot_free(sources->pages_of);
	mounts_free(sources->mounts);
	pods_free(sources->pods);
	for (size_t i = 0; i < sources->n_views; i++) {
		free(sources->views[i].cgroup);
		container_view_free(sources->views[i].view);
	}
	memset(sources, 0, sizeof(*sources));
}

static void on_pages_progress(void *arg, unsigned int permille)
{
	struct sources *sources = arg;

	sources->opts.progress(sources->opts.arg, "page cache", permille);
}

bool sources_means_pod(const struct spec *spec, const struct pod_cgroup *item)
{
	if (spec->pod_name)
		return item->ns && item->pod && strcmp(item->ns, spec->pod_namespace) == 0 &&
		       strcmp(item->pod, spec->pod_name) == 0;
	return pod_matches(item, spec->namespaces, spec->pod_selector);
}

bool sources_means_cgroup(const struct sources *sources, uint64_t cgroup_id, const char *path)
{
	const struct spec *spec = sources->opts.spec;
	struct pod_cgroup scratch = {0};
	const struct pod_cgroup *item;
	bool ret;

	if (!spec_limits_pods(spec))
		return true;
	item = pods_find(sources->pods, cgroup_id, path, sources->opts.identity.history, &scratch);
	ret = item && sources_means_pod(spec, item);
	pod_cgroup_done(&scratch);
	return ret;
}

/* The cgroups of the pods that the spec means. The caller frees *ret. */
static int select_cgroups(struct sources *sources, uint64_t **ret, size_t *ret_n, struct err *err)
{
	const struct spec *spec = sources->opts.spec;
	const struct pods *pods;
	uint64_t *ids;
	size_t n = 0;
	int r = sources_pods(sources, &pods, err);

	if (r < 0)
		return r;
	ids = xcalloc(pods->n, sizeof(*ids));
	for (size_t i = 0; i < pods->n; i++) {
		if (sources_means_pod(spec, &pods->items[i]))
			ids[n++] = pods->items[i].cgroup_id;
	}
	if (n == 0) {
		free(ids);
		return err_say(err, ENODATA, "no pod on this node matches spec.target%s%s",
			       pods->runtime_problem ? "; names are missing: " : "",
			       pods->runtime_problem ? pods->runtime_problem : "");
	}
	*ret = ids;
	*ret_n = n;
	return 0;
}

uint64_t sources_budget_left(const struct sources *sources)
{
	uint64_t budget = sources->opts.cpu_budget_ns, spent = sources->cpu_spent_ns;

	if (budget == 0)
		return 0;
	return budget > spent ? budget - spent : 1;
}

/* Only what is charged to these; n 0: everything. */
static int scan(struct sources *sources, const uint64_t *ids, size_t n, struct pages_snapshot **ret,
		struct err *err)
{
	struct pages_opts opts = {
		.top = sources->opts.top,
		.memcg_ids = ids,
		.n_memcg_ids = n,
		.cpu_budget_ns = sources_budget_left(sources),
		.progress = sources->opts.progress ? on_pages_progress : NULL,
		.arg = sources,
	};
	int r;

	r = pages_scan(&sources->opts.host->proc, &opts, ret, err);
	if (r == 0)
		sources->cpu_spent_ns += (*ret)->cpu_ns;
	return r;
}

static int scan_pages(struct sources *sources, struct err *err)
{
	_cleanup_free_ uint64_t *ids = NULL;
	size_t n = 0;
	int r;

	if (spec_limits_pods(sources->opts.spec)) {
		r = select_cgroups(sources, &ids, &n, err);
		if (r < 0)
			return r;
	}
	return scan(sources, ids, n, &sources->pages, err);
}

int sources_pages(struct sources *sources, const struct pages_snapshot **ret, struct err *err)
{
	if (!sources->pages && sources->pages_failed == 0)
		sources->pages_failed = scan_pages(sources, &sources->pages_err);
	if (sources->pages_failed < 0) {
		if (err)
			*err = sources->pages_err;
		return sources->pages_failed;
	}
	*ret = sources->pages;
	return 0;
}

int sources_pages_of(struct sources *sources, const uint64_t *ids, size_t n,
		     const struct pages_snapshot **ret, struct err *err)
{
	struct pages_snapshot *snapshot = NULL;
	int r;

	if (n == 0)
		return err_say(err, EINVAL, "no memory cgroup to look for");
	r = scan(sources, ids, n, &snapshot, err);
	if (r < 0)
		return r;
	pages_snapshot_free(sources->pages_of);
	sources->pages_of = snapshot;
	*ret = snapshot;
	return 0;
}

int sources_pods(struct sources *sources, const struct pods **ret, struct err *err)
{
	if (!sources->pods) {
		const struct pods_opts opts = {
			.host = sources->opts.host,
			.cri_socket = sources->opts.identity.cri_socket,
			.kubelet = sources->opts.identity.kubelet,
			.history = sources->opts.identity.history,
		};
		int r = pods_read(&opts, &sources->pods, err);

		if (r < 0)
			return r;
	}
	*ret = sources->pods;
	return 0;
}

/* A container that is gone has no view: its files keep the host's path. */
static struct container_view *read_view(struct sources *sources, const struct pages_memcg *memcg)
{
	const struct host *host = sources->opts.host;
	struct container_view *view = NULL;
	struct pod_cgroup scratch = {0};
	const struct pod_cgroup *item;
	const struct pods *pods = NULL;
	int r = container_view_read(&host->proc, &host->cgroups, memcg->path, &view, NULL);

	if ((r != -EACCES && r != -EPERM) || sources_pods(sources, &pods, NULL) < 0 ||
	    !pods->runtime_socket)
		return view;
	item = pods_find(pods, memcg->id, memcg->path, NULL, &scratch);
	if (item && item->name.container_id[0])
		(void)container_view_ask(pods->runtime_socket, item->name.container_id, &view,
					 NULL);
	pod_cgroup_done(&scratch);
	return view;
}

const struct container_view *sources_view(struct sources *sources, const struct pages_memcg *memcg)
{
	struct source_view *entry;

	for (size_t i = 0; i < sources->n_views; i++) {
		if (strcmp(sources->views[i].cgroup, memcg->path) == 0)
			return sources->views[i].view;
	}
	if (sources->n_views == SOURCES_MAX_VIEWS)
		return NULL;
	entry = &sources->views[sources->n_views++];
	entry->cgroup = xstrdup(memcg->path);
	entry->view = read_view(sources, memcg);
	return entry->view;
}

int sources_mounts(struct sources *sources, const struct mounts **ret, struct err *err)
{
	if (!sources->mounts) {
		int r = mounts_read(&sources->opts.host->proc, &sources->mounts, err);

		if (r < 0)
			return r;
	}
	*ret = sources->mounts;
	return 0;
}
