/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/reclaim.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "../bpf/latency.h"
#include "reclaim.skel.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "instruments/bpf_load.h"
#include "instruments/ksyms.h"
#include "instruments/latency_map.h"

const char *const reclaim_cause_names[RECLAIM_CAUSES] = {
	"limit", "high", "global", "node", "soft", "proactive", "async",
};

_Static_assert((int)RECLAIM_CAUSES <= (int)LATENCY_MAP_CAUSES, "every cause can be retired");

#define OUTLIER_NS  (1 * NSEC_PER_MSEC)
#define KEPT_FOR_NS (600 * NSEC_PER_SEC) /* the longest window of a run */

struct reclaim {
	struct reclaim_bpf *skel;
	struct ring_buffer *ring;
	struct latency_map map;
	pthread_mutex_t lock; /* of reading */
	struct reclaim_event kept[RECLAIM_OUTLIERS];
	size_t n_kept;
	uint64_t displaced;
	bool by_stack, by_pid;
};

/* --- functions that tell the cause ------------------------------------------------------------------------------------ */

/* Without symbols the margins alone decide: fine but where memory.high is set close below a limit. */
static bool set_symbols(const struct host *host, struct reclaim_bpf *skel)
{
	static const struct {
		const char *function;
		enum reclaim_cause cause;
	} known[] = {
		{"try_charge_memcg", RECLAIM_LIMIT}, /* since 5.13 */
		{"try_charge", RECLAIM_LIMIT},
		{"__mem_cgroup_handle_over_high", RECLAIM_HIGH}, /* since 6.17 */
		{"mem_cgroup_handle_over_high", RECLAIM_HIGH},
		{"reclaim_high", RECLAIM_HIGH},
		{"user_proactive_reclaim", RECLAIM_PROACTIVE}, /* since 6.17 */
		{"memory_reclaim", RECLAIM_PROACTIVE},	       /* since 5.19 */
		{"memory_high_write", RECLAIM_PROACTIVE},
		{"memory_max_write", RECLAIM_PROACTIVE},
		{"mem_cgroup_resize_max", RECLAIM_PROACTIVE},
		{"mem_cgroup_force_empty_write", RECLAIM_PROACTIVE},
		{"mem_cgroup_force_empty", RECLAIM_PROACTIVE},
	};
	struct ksyms *ksyms = NULL;
	size_t n = 0;

	_Static_assert(ARRAY_SIZE(known) <= RECLAIM_SYMBOLS, "all fit");
	if (ksyms_load(&host->proc, &ksyms, NULL) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		uint64_t begin = ksyms_address(ksyms, known[i].function);
		/* rodata is const for programs only; before loading it is plain memory. */
		struct reclaim_symbol *symbol = (struct reclaim_symbol *)&skel->rodata->symbols[n];

		if (begin == 0)
			continue;
		symbol->begin = begin;
		symbol->end = ksyms_end(ksyms, begin);
		symbol->cause = known[i].cause;
		n++;
	}
	ksyms_free(ksyms);
	return n > 0;
}

/* --- attaching -------------------------------------------------------------------------------------------------------- */

struct loading {
	struct reclaim *reclaim;
	const struct host *host;
	const struct reclaim_opts *opts;
};

static int try_load(void *arg, const struct bpf_attempt *attempt)
{
	const struct loading *loading = arg;
	struct reclaim *reclaim = loading->reclaim;
	BPF_OPEN_OPTS(open_opts);
	struct reclaim_bpf *skel = reclaim_bpf__open_opts(&open_opts);
	int r = 0;

	if (!skel)
		return -errno;
	skel->rodata->has_storage = !attempt->by_pid;
	skel->rodata->is_v1 = loading->host->cgroups.mode != CGROUP_V2;
	skel->rodata->outlier_ns = loading->opts->outlier_ns ? loading->opts->outlier_ns
							     : OUTLIER_NS;
	reclaim->by_stack = set_symbols(loading->host, skel);
	reclaim->by_pid = attempt->by_pid;
	(void)bpf_map__set_autocreate(skel->maps.storage, !attempt->by_pid);
	if (attempt->skip_missing)
		r = bpf_load_skip_missing(skel->obj);
	if (r >= 0)
		r = reclaim_bpf__load(skel);
	if (r < 0) {
		reclaim_bpf__destroy(skel);
		return r;
	}
	reclaim->skel = skel;
	return 0;
}

static int load(struct reclaim *reclaim, const struct host *host, const struct reclaim_opts *opts,
		struct err *err)
{
	struct loading loading = {reclaim, host, opts};
	struct bpf_load turn = bpf_load_begin();
	int r = bpf_load_attempts(try_load, &loading, opts->by_pid);

	return bpf_load_end(&turn, r, "the reclaim latency programs", err);
}

static int on_outlier(void *arg, void *data, size_t n);

static int attach(struct reclaim *reclaim, struct err *err)
{
	struct bpf_load loading = bpf_load_begin();
	int r = reclaim_bpf__attach(reclaim->skel);

	if (r == 0) {
		reclaim->ring = ring_buffer__new(bpf_map__fd(reclaim->skel->maps.outliers),
						 on_outlier, reclaim, NULL);
		r = reclaim->ring ? 0 : -errno;
	}
	r = bpf_load_end(&loading, r, "the reclaim latency programs", err);
	if (r == 0)
		reclaim->skel->bss->active = true;
	return r;
}

int reclaim_open(const struct host *host, const struct reclaim_opts *opts, struct reclaim **ret,
		 struct err *err)
{
	struct reclaim *reclaim = xcalloc(1, sizeof(*reclaim));
	int r;

	(void)pthread_mutex_init(&reclaim->lock, NULL);
	r = load(reclaim, host, opts, err);
	if (r == 0)
		r = attach(reclaim, err);
	/* What libbpf and the symbols took. */
	(void)malloc_trim(0);
	if (r < 0) {
		reclaim_close(reclaim);
		return r;
	}
	reclaim->map.fd = bpf_map__fd(reclaim->skel->maps.rows);
	*ret = reclaim;
	return 0;
}

void reclaim_close(struct reclaim *reclaim)
{
	if (!reclaim)
		return;
	if (reclaim->skel)
		reclaim->skel->bss->active = false;
	ring_buffer__free(reclaim->ring);
	reclaim_bpf__destroy(reclaim->skel);
	(void)pthread_mutex_destroy(&reclaim->lock);
	free(reclaim);
}

/* --- reading ---------------------------------------------------------------------------------------------------------- */

/* The one to give up for another: one that no run's window holds any more, else the shortest. */
static struct reclaim_event *least(struct reclaim *reclaim)
{
	uint64_t old = clock_mono_ns() - KEPT_FOR_NS;
	struct reclaim_event *ret = &reclaim->kept[0];

	for (size_t i = 0; i < reclaim->n_kept; i++) {
		if (reclaim->kept[i].end_ns < old)
			return &reclaim->kept[i];
		if (reclaim->kept[i].duration_ns < ret->duration_ns)
			ret = &reclaim->kept[i];
	}
	return ret;
}

static int on_outlier(void *arg, void *data, size_t n)
{
	struct reclaim *reclaim = arg;
	const struct reclaim_event *event = data;
	struct reclaim_event *place;

	if (n < sizeof(*event))
		return 0;
	if (reclaim->n_kept < RECLAIM_OUTLIERS) {
		reclaim->kept[reclaim->n_kept++] = *event;
		return 0;
	}
	reclaim->displaced++;
	place = least(reclaim);
	if (place->duration_ns < event->duration_ns || place->end_ns + KEPT_FOR_NS < event->end_ns)
		*place = *event;
	return 0;
}

static int by_end(const void *pa, const void *pb)
{
	const struct reclaim_event *a = pa, *b = pb;

	return (a->end_ns > b->end_ns) - (a->end_ns < b->end_ns);
}

static int read_locked(struct reclaim *reclaim, struct reclaim_snapshot *s, struct err *err)
{
	const struct reclaim_counters *counters = &reclaim->skel->bss->counters;
	int r = latency_map_read(&reclaim->map, counters->lost + counters->lost_tasks, &s->latency,
				 err);

	if (r < 0)
		return r;
	(void)ring_buffer__consume(reclaim->ring);
	s->n_outliers = reclaim->n_kept;
	s->outliers = xcalloc(s->n_outliers + 1, sizeof(*s->outliers));
	memcpy(s->outliers, reclaim->kept, s->n_outliers * sizeof(*s->outliers));
	s->outliers_unkept = counters->outliers_unkept + reclaim->displaced;
	return 0;
}

int reclaim_read(struct reclaim *reclaim, struct reclaim_snapshot **ret, struct err *err)
{
	struct reclaim_snapshot *s = xcalloc(1, sizeof(*s));
	int r;

	(void)pthread_mutex_lock(&reclaim->lock);
	r = read_locked(reclaim, s, err);
	(void)pthread_mutex_unlock(&reclaim->lock);
	if (r < 0) {
		reclaim_snapshot_free(s);
		return r;
	}
	qsort(s->outliers, s->n_outliers, sizeof(*s->outliers), by_end);
	s->outlier_ns = reclaim->skel->rodata->outlier_ns;
	s->by_stack = reclaim->by_stack;
	s->by_pid = reclaim->by_pid;
	*ret = s;
	return 0;
}

void reclaim_snapshot_free(struct reclaim_snapshot *snapshot)
{
	if (!snapshot)
		return;
	latency_snapshot_free(snapshot->latency);
	free(snapshot->outliers);
	free(snapshot);
}

/* --- the registry ----------------------------------------------------------------------------------------------------- */

static int capture_open(const struct host *host, void **ret, struct err *err)
{
	const struct reclaim_opts opts = {0};
	struct reclaim *reclaim = NULL;
	int r = reclaim_open(host, &opts, &reclaim, err);

	if (r == 0)
		*ret = reclaim;
	return r;
}

static void capture_close(void *self)
{
	reclaim_close(self);
}

const struct capture_ops reclaim_capture = {
	.name = "reclaim latency",
	.open = capture_open,
	.close = capture_close,
};
