/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/dentries.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../bpf/dentries.h"
#include "../bpf/pages.h"
#include "dentries.skel.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "instruments/dentries_internal.h"

/* One call grows while it is far below the millisecond it may take, and shrinks where memory is slow to read. */
#define CALL_SHORT_NS (150LL * 1000)
#define CALL_LONG_NS  (350LL * 1000)
#define CHUNKS_FIRST  8
#define OBJECTS_FIRST 512 /* and those of the chunk where it ends: at most 1344 dentries */
#define OBJECTS_MIN   64
#define OBJECTS_MOST  1024

/* What choosing a sample reckons with: a page frame and an object, cold. */
#define FRAME_NS  20
#define OBJECT_NS 250

/* --- runs --------------------------------------------------------------------------------------------------------------- */

static uint32_t super_new(struct dentries_work *w)
{
	if (w->n_supers == w->cap_supers) {
		w->cap_supers = w->cap_supers ? w->cap_supers * 2 : 64;
		w->supers = xreallocarray(w->supers, w->cap_supers, sizeof(*w->supers));
	}
	memset(&w->supers[w->n_supers], 0, sizeof(*w->supers));
	return (uint32_t)w->n_supers++;
}

static uint32_t super_ask(struct dentries_work *w, uint64_t address)
{
	struct pages_super *a = &w->skel->bss->super;
	uint32_t i;

	if (w->n_supers >= DENTRIES_MAX_SUPERS)
		return 0;
	a->address = address;
	a->valid = 0;
	i = super_new(w);
	if (bpf_run(w->skel->progs.pages_super, &w->calls) < 0 || !a->valid)
		return i;
	pages_super_fill(&w->supers[i].info, a);
	w->supers[i].valid = true;
	return i;
}

static uint32_t super_index(struct dentries_work *w, uint64_t address)
{
	uint32_t *known;

	if (address == w->last_super)
		return w->last_super_index;
	known = pages_index_find(&w->super_of, address);
	w->last_super = address;
	w->last_super_index = known ? *known : super_ask(w, address);
	if (!known)
		pages_index_add(&w->super_of, address, w->last_super_index);
	return w->last_super_index;
}

static void take_run(struct dentries_work *w, struct dentries_snapshot *s,
		     const struct dentries_run *run)
{
	uint64_t unit = w->blocks ? run->pfn / PAGES_CHUNK : run->pfn;
	bool dentry = w->skel->bss->caches[run->slot % DENTRIES_CACHES].kind == DENTRIES_DENTRY;
	uint32_t i = super_index(w, run->sb), g = dentries_group_index(w, s, run->charged);
	struct dentries_super_rec *sb = &w->supers[i];

	if (i == 0) {
		s->supers_beyond += run->n;
	} else if (!sb->valid) {
		s->refused += run->n;
		return;
	}
	s->objects += run->n;
	if (!dentry) {
		sb->inode_slot = run->slot % DENTRIES_CACHES;
		dentries_count_add(&sb->inodes, unit, run->n, 0, 0);
		dentries_count_add(&w->inodes, unit, run->n, 0, 0);
		dentries_count_add(&w->groups[g].inodes, unit, run->n, 0,
				   run->n * (uint32_t)w->object_bytes[sb->inode_slot]);
		return;
	}
	dentries_count_add(&sb->dentries, unit, run->n, run->negative, run->names);
	dentries_count_add(&w->dentries, unit, run->n, run->negative, run->names);
	dentries_count_add(&w->groups[g].dentries, unit, run->n, run->negative, run->names);
	if (run->parent)
		dentries_dirs_add(&w->dirs, run->parent, i, g, unit, run->n, run->negative,
				  run->names);
}

static void drain(struct dentries_work *w, struct dentries_snapshot *s)
{
	struct dentries_bpf__bss *bss = w->skel->bss;

	for (uint32_t i = 0; i < bss->scan.n_runs && i < DENTRIES_RUNS; i++)
		take_run(w, s, &bss->runs[i]);
	bss->scan.n_runs = 0;
}

/* --- the walk ------------------------------------------------------------------------------------------------------------- */

/* nr_dentry nr_unused age_limit want_pages nr_negative dummy; nr_negative is 0 before 5.0. */
static void read_kernel_counts(const struct root *proc, struct dentries_snapshot *s)
{
	_cleanup_buf_ struct buf dentries = BUF_INIT(4096), inodes = BUF_INIT(4096);
	uint64_t v[5] = {0};
	char *rest, *word;

	if (root_read(proc, "sys/fs/dentry-state", &dentries, NULL) == 0 && dentries.data) {
		rest = dentries.data;
		for (size_t i = 0; i < ARRAY_SIZE(v) && (word = strsep(&rest, "\t \n")); i++)
			(void)num_u64(word, 0, UINT64_MAX, &v[i]);
		s->kernel_dentries = v[0];
		s->kernel_unused = v[1];
		s->kernel_negative = v[4];
	}
	if (root_read(proc, "sys/fs/inode-nr", &inodes, NULL) == 0 && inodes.data) {
		rest = inodes.data;
		(void)num_u64(strsep(&rest, "\t \n"), 0, UINT64_MAX, &s->kernel_inodes);
	}
}

static uint32_t enough(uint64_t ns, uint64_t budget)
{
	uint32_t every = 1;

	while (every < DENTRIES_MAX_EVERY && ns / every > budget)
		every *= 2;
	return every;
}

/* Reading every struct page is cheap and gives exact numbers of slabs: so slabs are left out first, blocks of pages only after. */
static void choose_sample(struct dentries_work *w, const struct dentries_snapshot *s)
{
	uint64_t budget = w->opts->cpu_budget_ns, frames = w->frames * FRAME_NS;
	uint64_t objects = (s->kernel_dentries + s->kernel_inodes) * OBJECT_NS;

	w->every = 1;
	if (w->opts->sample_every) {
		w->every = w->opts->sample_every;
		w->blocks = w->opts->sample_blocks;
	} else if (budget) {
		w->blocks = frames > budget / 2;
		w->every = w->blocks ? enough(frames + objects, budget)
				     : enough(objects, budget - frames);
	}
	w->blocks = w->blocks && w->every > 1;
}

static bool over_budget(const struct dentries_work *w)
{
	return w->opts->cpu_budget_ns &&
	       clock_thread_cpu_ns() - w->walk_begin_ns > w->opts->cpu_budget_ns;
}

static void adapt(struct dentries_scan *scan, int64_t ns)
{
	if (ns > CALL_LONG_NS) {
		scan->chunks = scan->chunks > 1 ? scan->chunks / 2 : 1;
		scan->objects_max = scan->objects_max > OBJECTS_MIN ? scan->objects_max / 2
								    : OBJECTS_MIN;
	} else if (ns < CALL_SHORT_NS) {
		if (scan->chunks < DENTRIES_CALL_CHUNKS)
			scan->chunks *= 2;
		if (scan->objects_max < OBJECTS_MOST)
			scan->objects_max *= 2;
	}
}

/* Returns 1 when the CPU budget ran out, 0 at the end of the range. */
static int walk_range(struct dentries_work *w, struct dentries_snapshot *s,
		      const struct pages_range *range, struct err *err)
{
	struct dentries_scan *scan = &w->skel->bss->scan;

	scan->next = range->start;
	scan->end = range->end;
	while (scan->next < scan->end) {
		uint64_t before = scan->next;
		int64_t ns = bpf_run(w->skel->progs.dentries_scan, &w->calls);

		if (ns < 0)
			return err_set(err, (int)-ns, "cannot run the walk of dentries");
		if (scan->next == before && scan->n_runs == 0)
			return err_say(err, EIO, "the walk of dentries does not advance");
		s->pfns += (scan->next < scan->end ? scan->next : scan->end) - before;
		adapt(scan, ns);
		if (scan->n_runs > (DENTRIES_RUNS - DENTRIES_CHUNK_RUNS) / 2)
			drain(w, s);
		if (over_budget(w))
			return 1;
	}
	return 0;
}

static int walk_all(struct dentries_work *w, struct dentries_snapshot *s, struct err *err)
{
	struct dentries_scan *scan = &w->skel->bss->scan;
	int r = 0;

	w->walk_begin_ns = clock_thread_cpu_ns();
	scan->chunks = CHUNKS_FIRST;
	scan->objects_max = OBJECTS_FIRST;
	scan->chunk_mask = w->blocks ? w->every - 1 : 0;
	scan->slab_mask = w->blocks ? 0 : w->every - 1;
	scan->skipped = 0;
	for (size_t i = 0; i < w->n_ranges && r == 0; i++)
		r = walk_range(w, s, &w->ranges[i], err);
	if (r < 0)
		return r;
	drain(w, s);
	s->walk_cpu_ns = clock_thread_cpu_ns() - w->walk_begin_ns;
	s->coverage_permille = (unsigned int)(s->pfns * 1000 / w->frames);
	/* A sample of a small machine may well have none. */
	if (w->dentries.n == 0 && w->every == 1 && s->coverage_permille == 1000)
		return err_say(err, EIO,
			       "the kernel's structures are not what its BTF says: no dentry in "
			       "%" PRIu64 " page frames",
			       s->pfns);
	return 0;
}

static int read_all(struct dentries_work *w, const struct root *proc, struct dentries_snapshot *s,
		    struct err *err)
{
	int r = dentries_load(w, err);

	if (r == 0)
		r = dentries_prepare(w, proc, s, err);
	if (r < 0)
		return r;
	read_kernel_counts(proc, s);
	choose_sample(w, s);
	r = walk_all(w, s, err);
	if (r < 0)
		return r;
	read_kernel_counts(proc, s);
	return dentries_result(w, s, err);
}

int dentries_read(const struct root *proc, const struct dentries_opts *opts,
		  struct dentries_snapshot **ret, struct err *err)
{
	uint64_t begin_ns = clock_mono_ns(), cpu_begin_ns = clock_thread_cpu_ns();
	struct dentries_work w = {.opts = opts};
	uint32_t every = opts->sample_every;
	struct dentries_snapshot *s;
	int r;

	if (opts->top < 1 || opts->top > DENTRIES_MAX_TOP)
		return err_say(err, EINVAL, "top must be 1..%u", DENTRIES_MAX_TOP);
	if (every > DENTRIES_MAX_EVERY || (every & (every - 1)))
		return err_say(err, EINVAL, "a sample is of every 1, 2, 4, ... %u",
			       DENTRIES_MAX_EVERY);
	r = pages_probe(proc, err);
	if (r < 0)
		return r;
	s = xcalloc(1, sizeof(*s));
	s->method = "bpf-slab-walk";
	w.page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	w.dirs.max = DENTRIES_MAX_DIRECTORIES;
	(void)super_new(&w);
	dentries_groups_init(&w);
	r = read_all(&w, proc, s, err);
	s->bpf_calls = w.calls.n;
	s->bpf_max_call_ns = w.calls.max_ns;
	dentries_bpf__destroy(w.skel);
	dentries_dirs_done(&w.dirs);
	dentries_groups_done(&w);
	pages_index_done(&w.super_of);
	free(w.supers);
	free(w.ranges);
	/* libbpf took some MiB to relocate the object; the C library would keep them. */
	(void)malloc_trim(0);
	s->cpu_ns = clock_thread_cpu_ns() - cpu_begin_ns;
	s->duration_ns = clock_mono_ns() - begin_ns;
	if (r < 0) {
		dentries_snapshot_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void dentries_snapshot_free(struct dentries_snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_directories; i++)
		free(s->directories[i].path);
	for (size_t i = 0; i < s->n_groups; i++)
		free(s->groups[i].path);
	free(s->groups);
	free(s->directories);
	free(s->filesystems);
	free(s);
}
