/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/memcgs.h"

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "../bpf/memcgs.h"
#include "memcgs.skel.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "instruments/bpf_load.h"
#include "instruments/bpf_run.h"

#define STEPS_FIRST 64
#define STEPS_MIN   16
/* A host's memory cgroups fit in some thousands; more means that it never ends. */
#define CALLS_MAX 1000000ULL
/* A css that is being killed has its count biased by 2^63 for a moment. */
#define REFS_MAX (1ULL << 40)

struct walk {
	const struct memcgs_opts *opts;
	struct memcgs_bpf *skel;
	struct memcgs_snapshot *s;
	size_t cap, max;
	bool v2;
	uint64_t page_size;
	/* The path of the memory cgroup seen last; end[d] is its length up to level d, entry[d] its index + 1. */
	char path[MEMCGS_DEPTH * MEMCGS_NAME];
	size_t end[MEMCGS_DEPTH];
	size_t entry[MEMCGS_DEPTH];
};

uint64_t memcgs_lru_bytes(const struct memcgs_entry *e)
{
	return e->file_bytes + e->anon_bytes + e->unevictable_bytes;
}

/* --- the object ------------------------------------------------------------------------------------------------------- */

static int load(struct memcgs_bpf **ret, struct err *err)
{
	struct bpf_load loading = bpf_load_begin();
	BPF_OPEN_OPTS(opts);
	struct memcgs_bpf *skel = memcgs_bpf__open_opts(&opts);
	int r = skel ? memcgs_bpf__load(skel) : -errno;

	r = bpf_load_end(&loading, r, "the walk of memory cgroups", err);
	if (r < 0) {
		memcgs_bpf__destroy(skel);
		return r;
	}
	*ret = skel;
	return 0;
}

/* --- /proc ------------------------------------------------------------------------------------------------------------ */

/* The highest NUMA node with memory, and one. */
static int count_nodes(const struct root *proc, uint32_t *ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(ROOT_FILE_MAX);
	char *rest, *line;
	uint32_t n = 1;
	int r = root_read(proc, "zoneinfo", &text, err);

	if (r < 0)
		return r;
	rest = text.data;
	while ((line = strsep(&rest, "\n"))) {
		uint64_t node;

		if (strncmp(line, "Node ", 5) != 0)
			continue;
		line[5 + strspn(line + 5, "0123456789")] = '\0';
		if (num_u64(line + 5, 0, MEMCGS_NODES - 1, &node) == 0 && node >= n)
			n = (uint32_t)node + 1;
	}
	*ret = n;
	return 0;
}

int memcgs_kernel_count(const struct root *proc, uint64_t *ret, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(65536);
	char *rest, *line;
	int r = root_read(proc, "cgroups", &text, err);

	*ret = UINT64_MAX;
	if (r < 0)
		return r;
	rest = text.data;
	while ((line = strsep(&rest, "\n"))) {
		char *name = strsep(&line, "\t"), *hierarchy = strsep(&line, "\t");
		char *n = strsep(&line, "\t");

		if (n && strcmp(name, "memory") == 0 && strcmp(hierarchy, "0") != 0)
			return num_u64(n, 0, UINT64_MAX - 1, ret) < 0
				       ? err_say(err, EIO, "%s/cgroups: not a number", proc->path)
				       : 0;
	}
	return 0;
}

/* --- records ---------------------------------------------------------------------------------------------------------- */

/* Puts the record's name at the end of its parent's path. */
static void set_path(struct walk *w, const struct memcgs_record *r)
{
	size_t at, n;

	if (r->depth == 0) {
		w->path[0] = '\0';
		w->end[0] = 0;
		return;
	}
	at = w->end[r->depth - 1];
	n = strnlen(r->name, MEMCGS_NAME - 1);
	w->path[at] = '/';
	memcpy(w->path + at + 1, r->name, n);
	w->end[r->depth] = at + 1 + n;
	w->path[w->end[r->depth]] = '\0';
}

static struct memcgs_entry *push(struct walk *w)
{
	struct memcgs_snapshot *s = w->s;

	if (s->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 256;
		s->entries = xreallocarray(s->entries, w->cap, sizeof(*s->entries));
	}
	return &s->entries[s->n++];
}

static void take_away(uint64_t *from, uint64_t bytes)
{
	*from -= bytes < *from ? bytes : *from;
}

/* These counters hold what is below as well: so that they can be added up, a dying one keeps what is its own. */
static void take_from_parent(struct walk *w, const struct memcgs_record *r,
			     const struct memcgs_entry *e)
{
	struct memcgs_entry *parent;

	if (!e->dying || r->depth == 0 || w->entry[r->depth - 1] == 0)
		return;
	parent = &w->s->entries[w->entry[r->depth - 1] - 1];
	if (!parent->dying)
		return;
	take_away(&parent->swap_bytes, e->swap_bytes);
	take_away(&parent->kernel_bytes, e->kernel_bytes);
	take_away(&parent->slab_bytes, e->slab_bytes);
	take_away(&parent->socket_bytes, e->socket_bytes);
}

static void keep(struct walk *w, const struct memcgs_record *r, bool dying)
{
	uint64_t swap = w->v2 ? r->swap : r->swap > r->usage ? r->swap - r->usage : 0;
	struct memcgs_entry *e = push(w);

	*e = (struct memcgs_entry){
		.id = r->id,
		.path = xstrdup(r->depth == 0 ? "/" : w->path),
		.dying = dying,
		.file_bytes = r->file * w->page_size,
		.anon_bytes = r->anon * w->page_size,
		.unevictable_bytes = r->unevictable * w->page_size,
		.swap_bytes = swap * w->page_size,
		.usage_bytes = r->usage * w->page_size,
		.kernel_bytes = r->kernel * w->page_size,
		.slab_bytes = r->slab,
		.socket_bytes = r->sockets * w->page_size,
		.refs = r->refs < REFS_MAX ? r->refs : 0,
	};
	w->entry[r->depth] = w->s->n;
	take_from_parent(w, r, e);
}

static void take_record(struct walk *w, const struct memcgs_record *r)
{
	struct memcgs_snapshot *s = w->s;
	bool dying = r->flags & MEMCGS_DYING;

	if (r->depth >= MEMCGS_DEPTH)
		return;
	set_path(w, r);
	if (r->depth > 0 && w->entry[r->depth - 1] > 0)
		s->entries[w->entry[r->depth - 1] - 1].children++;
	w->entry[r->depth] = 0;
	if (dying) {
		s->dying++;
		s->dying_file_bytes += r->file * w->page_size;
		s->dying_anon_bytes += r->anon * w->page_size;
		s->dying_unevictable_bytes += r->unevictable * w->page_size;
	} else {
		s->live++;
	}
	if (!dying && !w->opts->live)
		return;
	if (s->n >= w->max)
		s->not_kept++;
	else
		keep(w, r, dying);
}

static int by_bytes(const void *pa, const void *pb)
{
	const struct memcgs_entry *a = pa, *b = pb;
	uint64_t x = memcgs_lru_bytes(a), y = memcgs_lru_bytes(b);

	if (x != y)
		return x > y ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

static void finish(struct walk *w)
{
	struct memcgs_snapshot *s = w->s;

	for (size_t i = 0; i < s->n; i++) {
		struct memcgs_entry *e = &s->entries[i];
		uint64_t known = memcgs_lru_bytes(e) / w->page_size + e->children;

		e->other_refs = e->refs > known ? e->refs - known : 0;
	}
	if (s->n > 1)
		qsort(s->entries, s->n, sizeof(*s->entries), by_bytes);
}

/* --- the walk --------------------------------------------------------------------------------------------------------- */

static int walk_all(struct walk *w, struct err *err)
{
	struct memcgs_walk *walk = &w->skel->bss->walk;
	uint32_t most = w->opts->steps ? w->opts->steps : MEMCGS_LOG;
	struct bpf_calls calls = {0};

	walk->steps = most < STEPS_FIRST ? most : STEPS_FIRST;
	while (!walk->done) {
		int64_t ns = bpf_run(w->skel->progs.memcgs_walk, &calls);

		if (ns < 0)
			return err_set(err, (int)-ns, "cannot run the walk of memory cgroups");
		for (uint32_t i = 0; i < walk->n && i < MEMCGS_LOG; i++)
			take_record(w, &w->skel->bss->records[i]);
		walk->n = 0;
		walk->steps = bpf_pace(walk->steps, ns, most < STEPS_MIN ? most : STEPS_MIN, most);
		if (calls.n > CALLS_MAX)
			return err_say(err, EIO, "the walk of memory cgroups does not end");
	}
	w->s->bpf_calls = calls.n;
	w->s->bpf_max_call_ns = calls.max_ns;
	if (w->s->live == 0 && walk->memory == 0)
		return err_say(err, EOPNOTSUPP, "this kernel has no memory cgroups");
	if (walk->done != 1 || w->s->live == 0)
		return err_say(
			err, EIO,
			"the kernel's structures are not what its BTF says: no memory cgroup");
	return 0;
}

static int walk_loaded(struct walk *w, const struct root *proc, struct err *err)
{
	uint64_t begin, unused;
	int r = count_nodes(proc, &w->skel->bss->walk.nodes, err);

	if (r < 0)
		return r;
	r = memcgs_kernel_count(proc, &unused, err);
	if (r < 0)
		return r;
	w->v2 = unused == UINT64_MAX;
	w->skel->bss->walk.v1 = !w->v2;
	begin = clock_thread_cpu_ns();
	r = walk_all(w, err);
	w->s->walk_cpu_ns = clock_thread_cpu_ns() - begin;
	if (r < 0)
		return r;
	r = memcgs_kernel_count(proc, &w->s->kernel_count, err);
	if (r < 0)
		return r;
	w->s->resumed = w->skel->bss->walk.resumed;
	w->s->too_deep = w->skel->bss->walk.too_deep;
	finish(w);
	return 0;
}

int memcgs_read(const struct root *proc, const struct memcgs_opts *opts,
		struct memcgs_snapshot **ret, struct err *err)
{
	uint64_t begin_ns = clock_mono_ns(), cpu_begin_ns = clock_thread_cpu_ns();
	_cleanup_free_ struct walk *w = xcalloc(1, sizeof(*w));
	int r;

	w->opts = opts;
	w->max = opts->max ? opts->max : MEMCGS_MAX;
	w->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	r = load(&w->skel, err);
	if (r < 0)
		return r;
	w->s = xcalloc(1, sizeof(*w->s));
	r = walk_loaded(w, proc, err);
	memcgs_bpf__destroy(w->skel);
	/* libbpf took some MiB to relocate the object; the C library would keep them. */
	(void)malloc_trim(0);
	w->s->cpu_ns = clock_thread_cpu_ns() - cpu_begin_ns;
	w->s->duration_ns = clock_mono_ns() - begin_ns;
	if (r < 0) {
		memcgs_snapshot_free(w->s);
		return r;
	}
	*ret = w->s;
	return 0;
}

void memcgs_snapshot_free(struct memcgs_snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n; i++)
		free(s->entries[i].path);
	free(s->entries);
	free(s);
}
