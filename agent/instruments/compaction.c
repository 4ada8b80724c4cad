/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/compaction.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#include <bpf/libbpf.h>

#include "../bpf/latency.h"
#include "compaction.skel.h"

#include "base/mem.h"
#include "instruments/bpf_load.h"
#include "instruments/latency_map.h"

const char *const compaction_cause_names[COMPACTION_CAUSES] = {
	"direct-success", "direct-failure", "direct-deferred", "kcompactd", "manual",
};

_Static_assert((int)COMPACTION_CAUSES <= (int)LATENCY_MAP_CAUSES, "every cause can be retired");

struct compaction {
	struct compaction_bpf *skel;
	struct latency_map map;
	pthread_mutex_t lock; /* of reading */
	int end_args;	      /* of the tracepoint mm_compaction_end */
};

static int try_load(void *arg, const struct bpf_attempt *attempt)
{
	struct compaction *compaction = arg;
	BPF_OPEN_OPTS(open_opts);
	struct compaction_bpf *skel = compaction_bpf__open_opts(&open_opts);
	int r = 0;

	if (!skel)
		return -errno;
	skel->rodata->has_storage = !attempt->by_pid;
	skel->rodata->has_control = compaction->end_args == 5;
	(void)bpf_map__set_autocreate(skel->maps.storage, !attempt->by_pid);
	if (attempt->skip_missing)
		r = bpf_load_skip_missing(skel->obj);
	if (r >= 0)
		r = compaction_bpf__load(skel);
	if (r < 0) {
		compaction_bpf__destroy(skel);
		return r;
	}
	compaction->skel = skel;
	return 0;
}

static int load(struct compaction *compaction, bool by_pid, struct err *err)
{
	struct bpf_load turn;
	int r;

	compaction->end_args = bpf_load_tracepoint_args("mm_compaction_end");
	if (compaction->end_args < 0)
		return err_say(err, EOPNOTSUPP, "this kernel does not compact memory");
	if (compaction->end_args != 5 && compaction->end_args != 6)
		return err_say(err, EOPNOTSUPP,
			       "this kernel's tracepoint mm_compaction_end has %d arguments, "
			       "which is unknown",
			       compaction->end_args);
	turn = bpf_load_begin();
	r = bpf_load_attempts(try_load, compaction, by_pid);
	if (r == 0)
		r = compaction_bpf__attach(compaction->skel);
	r = bpf_load_end(&turn, r, "the compaction latency programs", err);
	if (r == 0)
		compaction->skel->bss->active = true;
	return r;
}

int compaction_open(const struct compaction_opts *opts, struct compaction **ret, struct err *err)
{
	struct compaction *compaction = xcalloc(1, sizeof(*compaction));
	int r;

	(void)pthread_mutex_init(&compaction->lock, NULL);
	r = load(compaction, opts->by_pid, err);
	(void)malloc_trim(0); /* what libbpf took */
	if (r < 0) {
		compaction_close(compaction);
		return r;
	}
	compaction->map.fd = bpf_map__fd(compaction->skel->maps.rows);
	*ret = compaction;
	return 0;
}

void compaction_close(struct compaction *compaction)
{
	if (!compaction)
		return;
	if (compaction->skel)
		compaction->skel->bss->active = false;
	compaction_bpf__destroy(compaction->skel);
	(void)pthread_mutex_destroy(&compaction->lock);
	free(compaction);
}

int compaction_read(struct compaction *compaction, struct latency_snapshot **ret, struct err *err)
{
	const struct compaction_counters *counters = &compaction->skel->bss->counters;
	int r;

	(void)pthread_mutex_lock(&compaction->lock);
	r = latency_map_read(&compaction->map, counters->lost + counters->lost_tasks, ret, err);
	(void)pthread_mutex_unlock(&compaction->lock);
	return r;
}

static int capture_open(const struct host *host, void **ret, struct err *err)
{
	const struct compaction_opts opts = {0};
	struct compaction *compaction = NULL;
	int r = compaction_open(&opts, &compaction, err);

	(void)host;
	if (r == 0)
		*ret = compaction;
	return r;
}

static void capture_close(void *self)
{
	compaction_close(self);
}

const struct capture_ops compaction_capture = {
	.name = "compaction latency",
	.open = capture_open,
	.close = capture_close,
};
