/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/pages.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/pages.h"
#include "pages.skel.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "instruments/pages_internal.h"

#define CHUNKS_FIRST	  8
#define PROGRESS_EVERY_NS (200ULL * NSEC_PER_MSEC)
/* Entries of the log whose table slot is fetched ahead. */
#define PREFETCH 8

struct scan {
	struct pages_work *work;
	struct pages_snapshot *snapshot;
	const struct pages_range *ranges;
	size_t n_ranges;
	uint64_t total_pfns, cpu_begin_ns, progress_ns;
};

/* Takes the run-length log over into the table. */
static void drain(struct pages_work *w)
{
	struct pages_bpf__bss *bss = w->kernel.skel->bss;
	const struct pages_run *runs = bss->runs;
	uint32_t n = bss->scan.n_runs;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t memcg = pages_memcg_index(w, runs[i].memcg);

		if (i + PREFETCH < n)
			pages_table_prefetch(&w->table, runs[i + PREFETCH].mapping);
		if (!pages_table_add(&w->table, runs[i].mapping, memcg, runs[i].pages,
				     runs[i].dirty))
			w->memcgs[memcg].unnamed += runs[i].pages;
	}
	bss->scan.n_runs = 0;
}

static void progress(struct scan *s)
{
	const struct pages_opts *opts = s->work->opts;
	uint64_t now;

	if (!opts->progress)
		return;
	now = clock_mono_ns();
	if (now - s->progress_ns < PROGRESS_EVERY_NS)
		return;
	s->progress_ns = now;
	opts->progress(opts->arg, (unsigned int)(s->snapshot->pfns * 1000 / s->total_pfns));
}

static bool over_budget(const struct scan *s)
{
	uint64_t budget = s->work->opts->cpu_budget_ns;

	return budget && clock_thread_cpu_ns() - s->cpu_begin_ns > budget;
}

/* Returns 1 when the CPU budget ran out, 0 at the end of the range. */
static int scan_range(struct scan *s, const struct pages_range *range, struct err *err)
{
	struct pages_work *w = s->work;
	struct pages_scan *scan = &w->kernel.skel->bss->scan;
	uint64_t before;
	int64_t ns;

	scan->next = range->start;
	scan->end = range->end;
	while (scan->next < scan->end) {
		before = scan->next;
		ns = pages_kernel_run(&w->kernel, PAGES_PROGRAM_SCAN);
		if (ns < 0)
			return err_set(err, (int)-ns, "cannot run the page scan");
		if (scan->next == before && scan->n_runs == 0)
			return err_say(err, EIO, "the page scan does not advance");
		s->snapshot->pfns += (scan->next < scan->end ? scan->next : scan->end) - before;
		scan->chunks = bpf_pace(scan->chunks, ns, 1, PAGES_CHUNKS_MAX);
		if (scan->n_runs >= PAGES_RUNS / 2)
			drain(w);
		progress(s);
		if (over_budget(s))
			return 1;
	}
	return 0;
}

static int scan_all(struct pages_work *w, const struct root *proc, struct pages_snapshot *snapshot,
		    uint64_t cpu_begin_ns, struct err *err)
{
	_cleanup_free_ struct pages_range *ranges = NULL;
	struct pages_scan *scan = &w->kernel.skel->bss->scan;
	struct scan s = {.work = w, .snapshot = snapshot, .cpu_begin_ns = cpu_begin_ns};
	struct pages_anchor_programs anchor;
	uint64_t vmemmap = 0;
	int r = pages_ranges_read(proc, &ranges, &s.n_ranges, err);

	if (r < 0)
		return r;
	anchor = pages_kernel_anchor(&w->kernel);
	r = pages_anchor_find(&anchor, proc, &vmemmap, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < s.n_ranges; i++)
		s.total_pfns += ranges[i].end - ranges[i].start;
	s.progress_ns = clock_mono_ns();
	scan->vmemmap = vmemmap;
	scan->chunks = CHUNKS_FIRST;
	for (size_t i = 0; i < s.n_ranges && r == 0; i++)
		r = scan_range(&s, &ranges[i], err);
	if (r < 0)
		return r;
	drain(w);
	snapshot->skipped_chunks = scan->skipped;
	snapshot->coverage_permille = (unsigned int)(snapshot->pfns * 1000 / s.total_pfns);
	return 0;
}

/* Whether what was found can be page cache at all. */
static int plausible(const struct pages_work *w, const struct pages_snapshot *s, struct err *err)
{
	const struct pages_filter *f = &w->kernel.skel->bss->filter;

	if (s->coverage_permille < 1000 || s->total_bytes > 0 || s->nr_file_pages_before == 0)
		return 0;
	if (w->opts->n_memcg_ids == 0)
		return err_say(
			err, EIO,
			"the kernel's structures are not what its BTF says: no page is a file's");
	/* Those asked for may well have nothing; but some memory cgroup has. */
	if (f->known == 0 && !f->none_wanted)
		return err_say(err, EIO,
			       "no page is charged to a memory cgroup: the kernel has them "
			       "disabled, or its structures are not what its BTF says");
	return 0;
}

static int scan_and_name(struct pages_work *w, const struct root *proc, struct pages_snapshot *s,
			 uint64_t cpu_begin_ns, struct err *err)
{
	struct pages_vmstat before, after;
	int r = pages_kernel_load(&w->kernel, w->opts->memcg_ids, w->opts->n_memcg_ids, err);

	if (r < 0)
		return r;
	r = pages_vmstat_read(proc, &before, err);
	if (r < 0)
		return r;
	s->nr_file_pages_before = before.file_pages;
	r = scan_all(w, proc, s, cpu_begin_ns, err);
	if (r < 0)
		return r;
	r = pages_vmstat_read(proc, &after, err);
	if (r < 0)
		return r;
	s->nr_file_pages_after = after.file_pages;
	s->moved_pages = after.moved_pages - before.moved_pages;
	r = pages_select(w, s, err);
	if (r < 0)
		return r;
	r = plausible(w, s, err);
	if (r < 0)
		return r;
	r = pages_name_files(w, s, err);
	if (r < 0)
		return r;
	r = pages_name_directories(w, s, err);
	if (r < 0)
		return r;
	pages_link(w, s);
	s->memcgs_unresolved = w->memcgs_unresolved;
	s->supers_unresolved = w->supers_unresolved;
	return 0;
}

int pages_scan(const struct root *proc, const struct pages_opts *opts, struct pages_snapshot **ret,
	       struct err *err)
{
	uint64_t begin_ns = clock_mono_ns(), cpu_begin_ns = clock_thread_cpu_ns();
	struct pages_work w = {.opts = opts};
	struct pages_snapshot *s;
	int r = pages_probe(proc, err);

	if (r < 0)
		return r;
	if (opts->top < 1 || opts->top > PAGES_MAX_TOP)
		return err_say(err, EINVAL, "top must be 1..%u", PAGES_MAX_TOP);
	if (opts->n_memcg_ids > PAGES_MAX_MEMCG_IDS)
		return err_say(err, EINVAL, "a scan can be limited to %u memory cgroups, not %zu",
			       PAGES_MAX_MEMCG_IDS, opts->n_memcg_ids);
	s = xcalloc(1, sizeof(*s));
	s->method = "bpf-page-scan";
	pages_table_init(&w.table, opts->max_files ? opts->max_files : PAGES_MAX_FILES);
	pages_groups_init(&w);
	r = scan_and_name(&w, proc, s, cpu_begin_ns, err);
	s->bpf_calls = w.kernel.calls.n;
	s->bpf_max_call_ns = w.kernel.calls.max_ns;
	pages_kernel_unload(&w.kernel);
	pages_table_done(&w.table);
	pages_groups_done(&w);
	free(w.selected);
	/* libbpf took some ten MiB to relocate the object; the C library would keep them. */
	(void)malloc_trim(0);
	s->cpu_ns = clock_thread_cpu_ns() - cpu_begin_ns;
	s->duration_ns = clock_mono_ns() - begin_ns;
	if (r < 0) {
		pages_snapshot_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void pages_snapshot_free(struct pages_snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_files_kept; i++) {
		free(s->files[i].path);
		free(s->files[i].charges);
	}
	for (size_t i = 0; i < s->n_memcgs; i++)
		free(s->memcgs[i].path);
	for (size_t i = 0; i < s->n_shmem_directories; i++)
		free(s->shmem_directories[i].path);
	free(s->files);
	free(s->memcgs);
	free(s->shmem_directories);
	free(s);
}
