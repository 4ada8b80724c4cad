/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/kernel_pages.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "../bpf/kernel_pages.h"
#include "../bpf/pages.h"
#include "kernel_pages.skel.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "instruments/bpf_load.h"
#include "instruments/bpf_run.h"
#include "instruments/pages_internal.h"

#define CHUNKS_FIRST 8

/* Shared with the BPF programs under its own names; see bpf/page_class.h. */
_Static_assert((int)KERNEL_PAGES_N == (int)PAGE_CLASSES &&
		       (int)KERNEL_PAGES_PCP == (int)PAGE_CLASS_PCP &&
		       (int)KERNEL_PAGES_HUGETLB == (int)PAGE_CLASS_HUGETLB &&
		       (int)KERNEL_PAGES_ACCOUNTED == (int)PAGE_CLASS_ACCOUNTED &&
		       (int)KERNEL_PAGES_TAIL == (int)PAGE_CLASS_TAIL,
	       "the same classes in the same order");

struct work {
	const struct kernel_pages_opts *opts;
	struct kernel_pages_bpf *skel;
	struct bpf_calls calls;
	struct kernel_pages_snapshot *s;
	struct pages_index memcg_of; /* what pages point to, and the memcg itself -> index */
	size_t cap;
	uint64_t page_size, cpu_begin_ns;
};

const char *kernel_pages_class_name(enum kernel_pages_class c)
{
	static const char *const names[KERNEL_PAGES_N] = {
		[KERNEL_PAGES_FREE] = "free",
		[KERNEL_PAGES_PCP] = "perCPUFree",
		[KERNEL_PAGES_ANON] = "anon",
		[KERNEL_PAGES_FILE] = "file",
		[KERNEL_PAGES_SLAB] = "slab",
		[KERNEL_PAGES_KMALLOC] = "kmalloc",
		[KERNEL_PAGES_TABLE] = "pageTables",
		[KERNEL_PAGES_HUGETLB] = "hugePages",
		[KERNEL_PAGES_COMPRESSED] = "compressed",
		[KERNEL_PAGES_OFFLINE] = "offline",
		[KERNEL_PAGES_RESERVED] = "reserved",
		[KERNEL_PAGES_PAGE_POOL] = "pagePool",
		[KERNEL_PAGES_ACCOUNTED] = "accounted",
		[KERNEL_PAGES_COMPOUND] = "compound",
		[KERNEL_PAGES_PLAIN] = "plain",
		[KERNEL_PAGES_TAIL] = "tail",
	};

	return c < KERNEL_PAGES_N ? names[c] : "unknown";
}

static int load(struct kernel_pages_bpf **ret, struct err *err)
{
	struct bpf_load loading = bpf_load_begin();
	BPF_OPEN_OPTS(opts);
	struct kernel_pages_bpf *skel = kernel_pages_bpf__open_opts(&opts);
	int r = skel ? kernel_pages_bpf__load(skel) : -errno;

	r = bpf_load_end(&loading, r, "the scan of kernel pages", err);
	if (r < 0) {
		kernel_pages_bpf__destroy(skel);
		return r;
	}
	*ret = skel;
	return 0;
}

/* --- memory cgroups ------------------------------------------------------------------------------------------------------ */

static uint32_t memcg_new(struct work *w, uint64_t id, char *path, bool dying)
{
	struct kernel_pages_snapshot *s = w->s;

	if (s->n_memcgs == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 64;
		s->memcgs = xreallocarray(s->memcgs, w->cap, sizeof(*s->memcgs));
	}
	s->memcgs[s->n_memcgs] = (struct kernel_pages_memcg){
		.id = id,
		.path = path,
		.dying = dying,
	};
	return (uint32_t)s->n_memcgs++;
}

/* The memory cgroup behind an address not seen before; it is asked right away, while its pages keep it. */
static uint32_t memcg_ask(struct work *w, uint64_t address)
{
	struct pages_group *g = &w->skel->bss->group;
	uint32_t *known, i;

	g->address = address;
	if (w->s->n_memcgs >= KERNEL_PAGES_MAX_MEMCGS ||
	    bpf_run(w->skel->progs.pages_group, &w->calls) < 0 || g->memcg == 0) {
		w->s->memcgs_unresolved++;
		return 0;
	}
	known = g->memcg == address ? NULL : pages_index_find(&w->memcg_of, g->memcg);
	if (known)
		return *known;
	i = memcg_new(w, g->id, pages_chain_join(&w->skel->bss->chain), !g->online);
	if (g->memcg != address)
		pages_index_add(&w->memcg_of, g->memcg, i);
	return i;
}

static void drain(struct work *w)
{
	struct kernel_pages_scan *scan = &w->skel->bss->scan;

	for (uint32_t i = 0; i < scan->n_runs && i < KERNEL_PAGES_RUNS; i++) {
		const struct kernel_pages_run *run = &w->skel->bss->runs[i];
		uint32_t *known = run->memcg ? pages_index_find(&w->memcg_of, run->memcg) : NULL;
		uint32_t memcg = known ? *known : 0;

		if (!known && run->memcg) {
			memcg = memcg_ask(w, run->memcg);
			pages_index_add(&w->memcg_of, run->memcg, memcg);
		}
		w->s->memcgs[memcg].bytes += run->charged * w->page_size;
		w->s->memcgs[memcg].unmapped_bytes += run->unmapped * w->page_size;
		w->s->unmapped_bytes += run->unmapped * w->page_size;
	}
	scan->n_runs = 0;
}

static int by_bytes(const void *pa, const void *pb)
{
	const struct kernel_pages_memcg *a = pa, *b = pb;

	const uint64_t x = a->bytes + a->unmapped_bytes, y = b->bytes + b->unmapped_bytes;

	if (x != y)
		return x > y ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

/* --- the scan ------------------------------------------------------------------------------------------------------------- */

/* Returns 1 when the CPU budget ran out, 0 at the end of the range. */
static int scan_range(struct work *w, const struct pages_range *range, struct err *err)
{
	struct kernel_pages_scan *scan = &w->skel->bss->scan;
	uint64_t before;
	int64_t ns;

	scan->next = range->start;
	scan->end = range->end;
	while (scan->next < scan->end) {
		before = scan->next;
		ns = bpf_run(w->skel->progs.kernel_pages_scan, &w->calls);
		if (ns < 0)
			return err_set(err, (int)-ns, "cannot run the scan of kernel pages");
		if (scan->next == before && scan->n_runs == 0)
			return err_say(err, EIO, "the scan of kernel pages does not advance");
		w->s->pfns += (scan->next < scan->end ? scan->next : scan->end) - before;
		scan->chunks = bpf_pace(scan->chunks, ns, 1, KERNEL_PAGES_CHUNKS_MAX);
		if (scan->n_runs >= KERNEL_PAGES_RUNS / 2)
			drain(w);
		if (w->opts->cpu_budget_ns &&
		    clock_thread_cpu_ns() - w->cpu_begin_ns > w->opts->cpu_budget_ns)
			return 1;
	}
	return 0;
}

static int scan_all(struct work *w, const struct root *proc, struct err *err)
{
	const struct pages_anchor_programs anchor = PAGES_ANCHOR_PROGRAMS(w->skel, &w->calls);
	_cleanup_free_ struct pages_range *ranges = NULL;
	struct kernel_pages_scan *scan = &w->skel->bss->scan;
	uint64_t total = 0, vmemmap = 0;
	size_t n = 0;
	int r = pages_ranges_read(proc, &ranges, &n, err);

	if (r < 0)
		return r;
	r = pages_anchor_find(&anchor, proc, &vmemmap, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		total += ranges[i].end - ranges[i].start;
	scan->vmemmap = vmemmap;
	scan->chunks = CHUNKS_FIRST;
	for (size_t i = 0; i < n && r == 0; i++)
		r = scan_range(w, &ranges[i], err);
	if (r < 0)
		return r;
	drain(w);
	w->s->coverage_permille = (unsigned int)(w->s->pfns * 1000 / total);
	return 0;
}

static int finish(struct work *w, struct err *err)
{
	const struct kernel_pages_scan *scan = &w->skel->bss->scan;
	struct kernel_pages_snapshot *s = w->s;

	for (size_t i = 0; i < KERNEL_PAGES_N; i++)
		s->bytes[i] = scan->pages[i] * w->page_size;
	s->torn_bytes = scan->torn * w->page_size;
	s->skipped_chunks = scan->skipped;
	/* No Linux runs without any of these. */
	if (s->coverage_permille == 1000 &&
	    (s->bytes[KERNEL_PAGES_FILE] == 0 || s->bytes[KERNEL_PAGES_SLAB] == 0 ||
	     s->bytes[KERNEL_PAGES_TABLE] == 0))
		return err_say(err, EIO,
			       "the kernel's structures are not what its BTF says: no page is a "
			       "process', slab, or a page table");
	qsort(s->memcgs, s->n_memcgs, sizeof(*s->memcgs), by_bytes);
	/* Only the one for what could not be told can be empty. */
	if (s->memcgs[s->n_memcgs - 1].bytes + s->memcgs[s->n_memcgs - 1].unmapped_bytes == 0)
		free(s->memcgs[--s->n_memcgs].path);
	return 0;
}

int kernel_pages_scan(const struct root *proc, const struct kernel_pages_opts *opts,
		      struct kernel_pages_snapshot **ret, struct err *err)
{
	uint64_t begin_ns = clock_mono_ns();
	struct work w = {
		.opts = opts,
		.page_size = (uint64_t)sysconf(_SC_PAGESIZE),
		.cpu_begin_ns = clock_thread_cpu_ns(),
	};
	int r = pages_probe(proc, err);

	if (r < 0)
		return r;
	r = load(&w.skel, err);
	if (r < 0)
		return r;
	w.s = xcalloc(1, sizeof(*w.s));
	(void)memcg_new(&w, 0, xstrdup("/"), false);
	r = scan_all(&w, proc, err);
	if (r == 0)
		r = finish(&w, err);
	kernel_pages_bpf__destroy(w.skel);
	pages_index_done(&w.memcg_of);
	/* libbpf took some MiB to relocate the object; the C library would keep them. */
	(void)malloc_trim(0);
	w.s->bpf_calls = w.calls.n;
	w.s->bpf_max_call_ns = w.calls.max_ns;
	w.s->cpu_ns = clock_thread_cpu_ns() - w.cpu_begin_ns;
	w.s->duration_ns = clock_mono_ns() - begin_ns;
	if (r < 0) {
		kernel_pages_snapshot_free(w.s);
		return r;
	}
	*ret = w.s;
	return 0;
}

void kernel_pages_snapshot_free(struct kernel_pages_snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_memcgs; i++)
		free(s->memcgs[i].path);
	free(s->memcgs);
	free(s);
}
