/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/alloc_trace.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "../bpf/alloc_trace.h"
#include "alloc_trace.skel.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "instruments/alloc_trace_internal.h"
#include "instruments/bpf_load.h"
#include "instruments/bpf_run.h"

#define ROWS_DEFAULT 64
#define BATCH	     512 /* entries of a map read at once */

_Static_assert(ALLOC_TRACE_FRAMES_MAX == ALLOC_TRACE_DEPTH, "the header tells the depth");

struct alloc_trace {
	const struct root *proc;
	size_t max_rows;
	struct alloc_trace_bpf *skel;
	uint64_t begin_ns, cpu_ns;
};

/* --- attaching ------------------------------------------------------------------------------------------------------------ */

static int load(struct alloc_trace_bpf **ret, struct err *err)
{
	struct bpf_load loading = bpf_load_begin();
	BPF_OPEN_OPTS(opts);
	struct alloc_trace_bpf *skel = alloc_trace_bpf__open_opts(&opts);
	int r = skel ? alloc_trace_bpf__load(skel) : -errno;

	r = bpf_load_end(&loading, r, "the trace of allocations", err);
	if (r < 0) {
		alloc_trace_bpf__destroy(skel);
		return r;
	}
	*ret = skel;
	return 0;
}

/* Nothing is counted until both are there: an allocation whose free went by unseen would never go away. */
static int attach(struct alloc_trace_bpf *skel, struct err *err)
{
	skel->links.alloc_trace_free = bpf_program__attach(skel->progs.alloc_trace_free);
	if (!skel->links.alloc_trace_free)
		return err_set(err, errno, "cannot attach to the trace event kmem/mm_page_free");
	skel->links.alloc_trace_alloc = bpf_program__attach(skel->progs.alloc_trace_alloc);
	if (!skel->links.alloc_trace_alloc)
		return err_set(err, errno, "cannot attach to the trace event kmem/mm_page_alloc");
	__atomic_store_n(&skel->bss->active, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void detach(struct alloc_trace_bpf *skel)
{
	__atomic_store_n(&skel->bss->active, 0, __ATOMIC_SEQ_CST);
	(void)bpf_link__destroy(skel->links.alloc_trace_alloc);
	(void)bpf_link__destroy(skel->links.alloc_trace_free);
	skel->links.alloc_trace_alloc = NULL;
	skel->links.alloc_trace_free = NULL;
}

int alloc_trace_start(const struct root *proc, const struct alloc_trace_opts *opts,
		      struct alloc_trace **ret, struct err *err)
{
	uint64_t cpu_ns = clock_thread_cpu_ns();
	struct alloc_trace_bpf *skel = NULL;
	struct alloc_trace *t;
	int r = bpf_probe(proc, err);

	/* What libbpf says of a missing privilege names none. */
	if (r < 0)
		return r;
	r = load(&skel, err);
	if (r < 0)
		return r;
	r = attach(skel, err);
	if (r < 0) {
		alloc_trace_bpf__destroy(skel);
		return r;
	}
	t = xcalloc(1, sizeof(*t));
	t->proc = proc;
	t->max_rows = opts->max_rows ? opts->max_rows : ROWS_DEFAULT;
	t->skel = skel;
	t->begin_ns = clock_mono_ns();
	t->cpu_ns = clock_thread_cpu_ns() - cpu_ns;
	*ret = t;
	return 0;
}

void alloc_trace_cancel(struct alloc_trace *t)
{
	if (!t)
		return;
	detach(t->skel);
	alloc_trace_bpf__destroy(t->skel);
	free(t);
}

/* --- reading -------------------------------------------------------------------------------------------------------------- */

/* All of a hash map that nobody writes to any more. Returns how many entries; the caller frees both arrays. */
static int read_map(const struct bpf_map *map, size_t max, size_t value_size, uint64_t **ret_keys,
		    void **ret_values, size_t *ret_n, struct err *err)
{
	_cleanup_free_ uint64_t *keys = xcalloc(max, sizeof(*keys));
	_cleanup_free_ char *values = xcalloc(max, value_size);
	uint64_t at = 0;
	size_t n = 0;
	int r = 0;

	while (r == 0 && n < max) {
		__u32 count = max - n < BATCH ? (__u32)(max - n) : BATCH;

		/* -ENOENT: these were the last ones. -ENOSPC: a bucket with more than that; there are none so long. */
		r = bpf_map_lookup_batch(bpf_map__fd(map), n ? &at : NULL, &at, keys + n,
					 values + n * value_size, &count, NULL);
		if (r < 0 && r != -ENOENT)
			return err_set(err, -r, "cannot read the trace of allocations");
		n += count;
	}
	*ret_keys = take_ptr(keys);
	*ret_values = take_ptr(values);
	*ret_n = n;
	return 0;
}

/* Asks the kernel what the pages are by now. */
static int look(struct alloc_trace *t, struct alloc_trace_record *records, size_t n,
		struct err *err)
{
	struct alloc_trace_bpf__bss *bss = t->skel->bss;
	struct bpf_calls calls = {0};

	for (size_t i = 0; i < n; i += ALLOC_TRACE_LOOK) {
		size_t count = n - i < ALLOC_TRACE_LOOK ? n - i : ALLOC_TRACE_LOOK;
		int64_t ns;

		for (size_t k = 0; k < count; k++)
			bss->looks[k].page = records[i + k].page;
		bss->n_looks = (__u32)count;
		ns = bpf_run(t->skel->progs.alloc_trace_look, &calls);
		if (ns < 0)
			return err_set(err, (int)-ns, "cannot look at allocated pages");
		for (size_t k = 0; k < count; k++) {
			records[i + k].class = bss->looks[k].class;
			records[i + k].accounted = bss->looks[k].accounted;
		}
	}
	return 0;
}

static int read_records(struct alloc_trace *t, struct alloc_trace_record **ret, size_t *ret_n,
			struct err *err)
{
	_cleanup_free_ uint64_t *pages = NULL;
	_cleanup_free_ void *values = NULL;
	const struct alloc_trace_live *live;
	struct alloc_trace_record *records;
	size_t n = 0;
	int r = read_map(t->skel->maps.live, ALLOC_TRACE_LIVE, sizeof(*live), &pages, &values, &n,
			 err);

	if (r < 0)
		return r;
	live = values;
	records = xcalloc(n + 1, sizeof(*records));
	for (size_t i = 0; i < n; i++)
		records[i] = (struct alloc_trace_record){
			.page = pages[i],
			.stack = live[i].stack,
			.gfp = live[i].gfp,
			.order = live[i].order,
		};
	r = look(t, records, n, err);
	if (r < 0) {
		free(records);
		return r;
	}
	*ret = records;
	*ret_n = n;
	return 0;
}

/* Events that the kernel did not hand to a program because it was already running on that CPU. */
static uint64_t missed(const struct bpf_program *program)
{
	struct bpf_prog_info info = {0};
	__u32 size = sizeof(info);

	return bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) == 0
		       ? info.recursion_misses
		       : 0;
}

static int read_counters(struct alloc_trace *t, struct alloc_trace_snapshot *s, struct err *err)
{
	int n = libbpf_num_possible_cpus(), r;
	_cleanup_free_ struct alloc_trace_counters *c = NULL;
	__u32 zero = 0;

	if (n < 0)
		return err_set(err, -n, "cannot tell the number of CPUs");
	c = xcalloc((size_t)n, sizeof(*c));
	r = bpf_map_lookup_elem(bpf_map__fd(t->skel->maps.counters), &zero, c);
	if (r < 0)
		return err_set(err, -r, "cannot read the counters of the trace");
	for (int i = 0; i < n; i++) {
		s->allocations += c[i].allocations;
		s->sampled += c[i].sampled;
		s->live_dropped += c[i].live_dropped;
		s->stacks_dropped += c[i].stacks_dropped;
	}
	s->missed =
		missed(t->skel->progs.alloc_trace_alloc) + missed(t->skel->progs.alloc_trace_free);
	return 0;
}

static int read_all(struct alloc_trace *t, struct alloc_trace_snapshot *s, struct err *err)
{
	_cleanup_free_ struct alloc_trace_record *records = NULL;
	_cleanup_free_ uint64_t *keys = NULL;
	_cleanup_free_ void *values = NULL;
	struct alloc_trace_stacks stacks = {0};
	struct err hidden = {0};
	struct ksyms *k = NULL;
	size_t n = 0;
	int r = read_records(t, &records, &n, err);

	if (r == 0)
		r = read_counters(t, s, err);
	if (r == 0)
		r = read_map(t->skel->maps.stacks, ALLOC_TRACE_STACKS,
			     sizeof(struct alloc_trace_stack), &keys, &values, &stacks.n, err);
	if (r < 0)
		return r;
	stacks.keys = keys;
	stacks.values = values;
	if (ksyms_load(t->proc, &k, &hidden) < 0)
		(void)snprintf(s->symbols_missing, sizeof(s->symbols_missing), "%.*s",
			       (int)sizeof(s->symbols_missing) - 1, hidden.msg);
	alloc_trace_sum(records, n, &stacks, k, t->max_rows, (uint64_t)sysconf(_SC_PAGESIZE), s);
	ksyms_free(k);
	return 0;
}

int alloc_trace_stop(struct alloc_trace *t, struct alloc_trace_snapshot **ret, struct err *err)
{
	uint64_t cpu_ns = clock_thread_cpu_ns();
	struct alloc_trace_snapshot *s = xcalloc(1, sizeof(*s));
	int r;

	s->window_ns = clock_mono_ns() - t->begin_ns;
	detach(t->skel);
	r = read_all(t, s, err);
	s->cpu_ns = t->cpu_ns + clock_thread_cpu_ns() - cpu_ns;
	alloc_trace_cancel(t);
	/* libbpf's and the symbols' memory; the C library would keep it. */
	(void)malloc_trim(0);
	if (r < 0) {
		alloc_trace_snapshot_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void alloc_trace_snapshot_free(struct alloc_trace_snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_rows; i++) {
		for (size_t f = 0; f < s->rows[i].n_frames; f++)
			free(s->rows[i].frames[f]);
		free(s->rows[i].frames);
	}
	free(s->rows);
	free(s);
}
