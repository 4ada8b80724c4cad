/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What several checks of one run read: each is read at most once, when first asked for, and freed with the run.
 */
#ifndef MEMDIAG_CHECKS_SOURCES_H
#define MEMDIAG_CHECKS_SOURCES_H

#include <stdint.h>

#include "base/err.h"
#include "identity/mounts.h"
#include "instruments/host.h"
#include "instruments/pages.h"

struct sources_opts {
	const struct host *host;
	size_t top;
	uint64_t cpu_budget_ns; /* for all scans of the run together */
	/* Called now and then during scans; NULL is fine. */
	void (*progress)(void *arg, const char *what, unsigned int permille);
	void *arg;
};

struct sources {
	struct sources_opts opts;
	uint64_t cpu_spent_ns;
	struct pages_snapshot *pages;
	int pages_failed; /* -errno of the scan: it is not tried again */
	struct err pages_err;
	struct mounts *mounts;
};

void sources_init(struct sources *sources, const struct sources_opts *opts);
void sources_done(struct sources *sources);

/* Borrowed until sources_done(). */
int sources_pages(struct sources *sources, const struct pages_snapshot **ret, struct err *err);
int sources_mounts(struct sources *sources, const struct mounts **ret, struct err *err);

#endif
