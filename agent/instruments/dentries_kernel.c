/* SPDX-License-Identifier: Apache-2.0 */
/* The BPF object, and what it must be told before it can find objects in memory. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/dentries.h"
#include "../bpf/pages.h"
#include "dentries.skel.h"

#include "base/cleanup.h"
#include "instruments/bpf_load.h"
#include "instruments/dentries_internal.h"

int dentries_load(struct dentries_work *w, struct err *err)
{
	struct bpf_load loading = bpf_load_begin();
	BPF_OPEN_OPTS(opts);
	struct dentries_bpf *skel = dentries_bpf__open_opts(&opts);
	int r = skel ? dentries_bpf__load(skel) : -errno;

	r = bpf_load_end(&loading, r, "the walk of dentries", err);
	if (r < 0) {
		dentries_bpf__destroy(skel);
		return r;
	}
	w->skel = skel;
	return 0;
}

/* --- the direct map ----------------------------------------------------------------------------------------------------- */

#define VOTES_MIN 3

/* Where the direct map begins, as one slab with a free object has it. */
static uint64_t vote_base(const struct dentries_vote *v, uint64_t page_size)
{
	return (v->freelist & ~(v->pages * page_size - 1)) - v->pfn * page_size;
}

/* The base that most votes are for. */
static uint64_t count_votes(const struct dentries_votes *votes, uint64_t page_size,
			    uint32_t *ret_most)
{
	uint32_t n = votes->n < DENTRIES_VOTES ? votes->n : DENTRIES_VOTES;
	uint64_t best = 0;

	*ret_most = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t base = vote_base(&votes->items[i], page_size);
		uint32_t same = 0;

		for (uint32_t j = 0; j < n; j++)
			same += vote_base(&votes->items[j], page_size) == base;
		if (same > *ret_most) {
			*ret_most = same;
			best = base;
		}
	}
	return best;
}

static int collect_votes(struct dentries_work *w, struct err *err)
{
	struct dentries_bpf__bss *bss = w->skel->bss;
	struct dentries_scan *scan = &bss->scan;

	for (size_t i = w->n_ranges; i-- > 0 && bss->votes.n < DENTRIES_VOTES;) {
		scan->next = w->ranges[i].start;
		scan->end = w->ranges[i].end;
		while (scan->next < scan->end && bss->votes.n < DENTRIES_VOTES) {
			uint64_t before = scan->next;
			int64_t ns = bpf_run(w->skel->progs.dentries_direct, &w->calls);

			if (ns < 0)
				return err_set(err, (int)-ns, "cannot look for slabs");
			if (scan->next == before)
				return err_say(err, EIO, "the search for slabs does not advance");
		}
	}
	return 0;
}

static int find_direct(struct dentries_work *w, struct err *err)
{
	struct dentries_bpf__bss *bss = w->skel->bss;
	uint32_t most;
	int r = collect_votes(w, err);

	if (r < 0)
		return r;
	bss->scan.direct = count_votes(&bss->votes, w->page_size, &most);
	if (most < VOTES_MIN || most * 2 <= bss->votes.n)
		return err_say(err, EIO,
			       "cannot tell where the direct map begins (%u of %u slabs agree)",
			       most, bss->votes.n);
	return 0;
}

/* --- caches ------------------------------------------------------------------------------------------------------------- */

/* Asks for the cache of an object. false: it is in no slab. */
static bool look_up(struct dentries_work *w, uint64_t address)
{
	struct dentries_lookup *lookup = &w->skel->bss->lookup;

	lookup->address = address;
	return bpf_run(w->skel->progs.dentries_lookup, &w->calls) >= 0 && lookup->cache &&
	       lookup->size;
}

/* Takes over what was looked up. false: there is no room in its slots. */
static bool add_cache(struct dentries_work *w, enum dentries_kind kind)
{
	const struct dentries_lookup *lookup = &w->skel->bss->lookup;
	uint64_t bytes = lookup->pages * w->page_size;

	for (uint64_t i = 0; i < DENTRIES_PROBES; i++) {
		uint64_t slot = (DENTRIES_SLOT(lookup->cache) + i) % DENTRIES_CACHES;
		struct dentries_cache *c = &w->skel->bss->caches[slot];

		if (c->address == lookup->cache)
			return true;
		if (c->address)
			continue;
		*c = (struct dentries_cache){
			.address = lookup->cache,
			.size = lookup->size,
			.first = lookup->first,
			.inode = kind == DENTRIES_INODE ? lookup->offset : 0,
			.kind = kind,
		};
		w->object_bytes[slot] = lookup->size <= bytes ? bytes / (bytes / lookup->size) : 0;
		return true;
	}
	return false;
}

/* Of each type of filesystem that is there two inodes show the caches of all of them. */
static void add_inode_caches(struct dentries_work *w, struct dentries_snapshot *s)
{
	const struct dentries_supers *supers = &w->skel->bss->supers;
	struct pages_index types = {NULL, NULL, 0, 0};

	for (uint32_t i = 0; i < supers->n && i < DENTRIES_SUPERS; i++) {
		uint64_t type = supers->items[i].type;

		if (!type || pages_index_find(&types, type))
			continue;
		pages_index_add(&types, type, 1);
		if (!look_up(w, supers->items[i].root_inode) || !add_cache(w, DENTRIES_INODE))
			s->caches_unknown++;
		/* An empty list of inodes leads into the superblock, which is in a slab of its own kind. */
		if (look_up(w, supers->items[i].newest_inode) &&
		    strncmp(w->skel->bss->lookup.name, "kmalloc", 7) != 0)
			(void)add_cache(w, DENTRIES_INODE);
	}
	pages_index_done(&types);
}

static int find_caches(struct dentries_work *w, struct dentries_snapshot *s, struct err *err)
{
	struct dentries_bpf__bss *bss = w->skel->bss;
	int64_t ns = bpf_run(w->skel->progs.dentries_supers, &w->calls);

	if (ns < 0)
		return err_set(err, (int)-ns, "cannot list superblocks");
	if (!look_up(w, bss->supers.root) || strcmp(bss->lookup.name, "dentry") != 0 ||
	    bss->lookup.offset != 0)
		return err_say(err, EIO,
			       "the kernel's structures are not what its BTF says: no dentry is "
			       "where the root's should be");
	s->dentry_size = bss->lookup.size;
	(void)add_cache(w, DENTRIES_DENTRY);
	add_inode_caches(w, s);
	return 0;
}

int dentries_prepare(struct dentries_work *w, const struct root *proc, struct dentries_snapshot *s,
		     struct err *err)
{
	struct dentries_bpf__bss *bss = w->skel->bss;
	const struct pages_anchor_programs anchor = PAGES_ANCHOR_PROGRAMS(w->skel, &w->calls);
	uint64_t vmemmap = 0;
	int r = pages_ranges_read(proc, &w->ranges, &w->n_ranges, err);

	if (r == 0)
		r = pages_anchor_find(&anchor, proc, &vmemmap, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < w->n_ranges; i++)
		w->frames += w->ranges[i].end - w->ranges[i].start;
	bss->scan.vmemmap = vmemmap;
	bss->scan.page_shift = (__u32)__builtin_ctzll(w->page_size);
	bss->scan.chunks = 8;
	r = find_direct(w, err);
	if (r == 0)
		r = find_caches(w, s, err);
	return r;
}
