/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What several checks of one run read: each is read at most once, when first asked for, and freed with the run.
 */
#ifndef MEMDIAG_CHECKS_SOURCES_H
#define MEMDIAG_CHECKS_SOURCES_H

#include <stdint.h>

#include "base/err.h"
#include "identity/container_view.h"
#include "identity/mounts.h"
#include "identity/pods.h"
#include "instruments/host.h"
#include "instruments/pages.h"
#include "spec/spec.h"

/* Whom to ask for names; all borrowed. */
struct identity_opts {
	const char *cri_socket;		    /* as in struct pods_opts */
	const struct kubelet_opts *kubelet; /* NULL: do not ask */
	struct history *history;	    /* NULL: none */
};

struct sources_opts {
	const struct host *host;
	const struct spec *spec;
	struct identity_opts identity;
	size_t top;
	uint64_t cpu_budget_ns; /* for all scans of the run together */
	/* Called now and then during scans; NULL is fine. */
	void (*progress)(void *arg, const char *what, unsigned int permille);
	void *arg;
};

enum { SOURCES_MAX_VIEWS = 128 }; /* containers whose mounts one run reads */

struct sources {
	struct sources_opts opts;
	uint64_t cpu_spent_ns;
	struct pages_snapshot *pages;
	int pages_failed; /* -errno of the scan: it is not tried again */
	struct err pages_err;
	struct pages_snapshot *pages_of; /* what sources_pages_of() scanned last */
	struct mounts *mounts;
	struct pods *pods;
	/* How containers see files, by cgroup; read when first asked for. */
	struct source_view {
		char *cgroup;
		struct container_view *view; /* NULL: it has none */
	} views[SOURCES_MAX_VIEWS];
	size_t n_views;
};

void sources_init(struct sources *sources, const struct sources_opts *opts);
void sources_done(struct sources *sources);

/*
 * Borrowed until sources_done(). With a spec that limits the run to pods the scan is limited to their cgroups; -ENODATA when
 * there are none on this node.
 */
int sources_pages(struct sources *sources, const struct pages_snapshot **ret, struct err *err);
/*
 * Scans what is charged to these memory cgroups only, 1 to PAGES_MAX_MEMCG_IDS. Borrowed until the next call.
 */
int sources_pages_of(struct sources *sources, const uint64_t *ids, size_t n,
		     const struct pages_snapshot **ret, struct err *err);
/* CPU time that scans of this run may still take, at least 1; 0: there is no budget. */
uint64_t sources_budget_left(const struct sources *sources);
/* Whether the spec's target means this cgroup's pod; true for all when it names none. */
bool sources_means_pod(const struct spec *spec, const struct pod_cgroup *item);
/* The same of a cgroup's pod or, by the history, former pod. After sources_pods(), without which only its path tells. */
bool sources_means_cgroup(const struct sources *sources, uint64_t cgroup_id, const char *path);
int sources_pods(struct sources *sources, const struct pods **ret, struct err *err);
/* NULL: the cgroup's processes see what the host sees, or there are none, or nobody may tell. */
const struct container_view *sources_view(struct sources *sources, const struct pages_memcg *memcg);
int sources_mounts(struct sources *sources, const struct mounts **ret, struct err *err);

#endif
