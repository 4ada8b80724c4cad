/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/sources.h"

#include <string.h>

void sources_init(struct sources *sources, const struct sources_opts *opts)
{
	memset(sources, 0, sizeof(*sources));
	sources->opts = *opts;
}

void sources_done(struct sources *sources)
{
	pages_snapshot_free(sources->pages);
	mounts_free(sources->mounts);
	memset(sources, 0, sizeof(*sources));
}

static void on_pages_progress(void *arg, unsigned int permille)
{
	struct sources *sources = arg;

	sources->opts.progress(sources->opts.arg, "page cache", permille);
}

int sources_pages(struct sources *sources, const struct pages_snapshot **ret, struct err *err)
{
	struct pages_opts opts = {
		.top = sources->opts.top,
		.progress = sources->opts.progress ? on_pages_progress : NULL,
		.arg = sources,
	};

	if (!sources->pages && sources->pages_failed == 0) {
		if (sources->opts.cpu_budget_ns > sources->cpu_spent_ns)
			opts.cpu_budget_ns = sources->opts.cpu_budget_ns - sources->cpu_spent_ns;
		else if (sources->opts.cpu_budget_ns > 0)
			opts.cpu_budget_ns = 1;
		sources->pages_failed = pages_scan(&sources->opts.host->proc, &opts,
						   &sources->pages, &sources->pages_err);
		if (sources->pages)
			sources->cpu_spent_ns += sources->pages->cpu_ns;
	}
	if (sources->pages_failed < 0) {
		if (err)
			*err = sources->pages_err;
		return sources->pages_failed;
	}
	*ret = sources->pages;
	return 0;
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
