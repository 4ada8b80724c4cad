// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Finds the slabs of dentries and inodes among all pages, and says of which directory and filesystem each object is.
 *
 * As in pages.bpf.c nothing is attached, state is global, and what a loop does is a global function. Objects are read without
 * a lock, so each is judged by what it holds: one that is free, being made or torn down is counted apart.
 */
#include "compat/file.h"
#include "compat/slab.h"
#include "compat/task.h"
#include "dentries.h"
#include "pages.h"
#include "pages_anchor.h"
#include "pages_chain.h"
#include "pages_chunk.h"
#include "pages_group.h"
#include "pages_super.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define OBJECT_MAX 512 /* a dentry has 192 bytes, more with debug options */

/* Requests and answers; see dentries.h. */
struct dentries_scan scan;
struct dentries_run runs[DENTRIES_RUNS];
struct dentries_cache caches[DENTRIES_CACHES];
struct dentries_votes votes;
struct dentries_supers supers;
struct dentries_lookup lookup;

char object[OBJECT_MAX] __attribute__((aligned(8)));

static __always_inline bool is_kernel(__u64 address)
{
	return (__s64)address < 0;
}

/* Such an address, and aligned as a structure is. */
static __always_inline bool is_struct(__u64 address)
{
	return is_kernel(address) && !(address & 7);
}

/* Whether a block or slab is in the sample. Neighbours have nothing to do with each other in the upper half of the product. */
static __always_inline bool sampled(__u64 number, __u32 mask)
{
	return !((number * 0x9e3779b97f4a7c15ULL >> 40) & mask);
}

/* --- objects ---------------------------------------------------------------------------------------------------------- */

/* Adds an object to the run that is open in this slab, or opens the next. */
static __always_inline void run_add(__u32 i, __u64 sb, __u64 parent, __u32 negative, __u32 names)
{
	__u32 n = scan.n_runs;
	struct dentries_run *run = &runs[(n - 1) & (DENTRIES_RUNS - 1)];
	__u64 charged = 0;

	if (scan.charges)
		compat_read(charged, scan.charges + i * scan.stride + compat_slab_charge_at());
	if (!n || run->pfn != scan.pfn || run->parent != parent || run->sb != sb ||
	    run->charged != charged) {
		run = &runs[n & (DENTRIES_RUNS - 1)];
		run->pfn = scan.pfn;
		run->sb = sb;
		run->parent = parent;
		run->charged = charged;
		run->slot = scan.slot;
		run->n = 0;
		run->negative = 0;
		run->names = 0;
		scan.n_runs = n + 1;
	}
	run->n++;
	run->negative += negative;
	run->names += names;
}

#define OBJECT(type, of, member) \
	(*(const type *)(object + bpf_core_field_offset(struct of, member)))

/* A dead dentry's count is negative since it was torn down, and stays so until the object is used again. */
__attribute__((noinline)) int dentry_one(__u64 address, __u32 i)
{
	const __u32 size = bpf_core_type_size(struct dentry);
	__u64 sb, parent, name;
	__u32 names = 0;

	if (size > OBJECT_MAX || bpf_probe_read_kernel(object, size, (const void *)address)) {
		scan.refused++;
		return 0;
	}
	sb = OBJECT(__u64, dentry, d_sb);
	if (OBJECT(__s32, dentry, d_lockref.count) < 0 || !is_kernel(sb)) {
		scan.unused++;
		return 0;
	}
	parent = OBJECT(__u64, dentry, d_parent);
	name = OBJECT(__u64, dentry, d_name.name);
	if (!is_struct(sb) || !is_struct(parent) || !is_kernel(name)) {
		scan.refused++;
		return 0;
	}
	/* Longer names are in an allocation of their own: two words before it, and kmalloc's sizes are multiples of 32. */
	if (name != address + compat_dentry_short_name())
		names = (OBJECT(__u32, dentry, d_name.len) + 17 + 31) & ~31U & 0xfff;
	run_add(i, sb, parent == address ? 0 : parent, !OBJECT(__u64, dentry, d_inode), names);
	return 0;
}

/* An inode that was torn down keeps I_CLEAR; one that was never used has no superblock. */
__attribute__((noinline)) int inode_one(__u64 address, __u32 i)
{
	const __u32 state_at = compat_inode_state_at();
	__u64 sb;

	if (!state_at || state_at > OBJECT_MAX - 8 ||
	    bpf_probe_read_kernel(object, state_at + 4, (const void *)address)) {
		scan.refused++;
		return 0;
	}
	sb = OBJECT(__u64, inode, i_sb);
	if (!is_kernel(sb) || *(const __u32 *)(object + state_at) & compat_inode_clear()) {
		scan.unused++;
		return 0;
	}
	if (!is_struct(sb)) {
		scan.refused++;
		return 0;
	}
	run_add(i, sb, 0, 0, 0);
	return 0;
}

/* The i-th object of the slab. */
__attribute__((noinline)) int object_one(__u32 i)
{
	const struct dentries_cache *c = &caches[scan.slot & (DENTRIES_CACHES - 1)];
	__u64 address = scan.base + c->first + (__u64)i * c->size;

	scan.objects++;
	if (c->kind == DENTRIES_DENTRY)
		dentry_one(address, i);
	else
		inode_one(address + c->inode, i);
	return 0;
}

/* --- slabs ------------------------------------------------------------------------------------------------------------ */

/* Sets scan.slot to the cache's; to DENTRIES_CACHES when it is none that is looked at. */
__attribute__((noinline)) int cache_find(__u64 address)
{
	__u64 slot = DENTRIES_SLOT(address);
	__u32 i;

	scan.last = address;
	scan.slot = DENTRIES_CACHES;
	for (i = 0; i < DENTRIES_PROBES; i++)
		if (caches[(slot + i) & (DENTRIES_CACHES - 1)].address == address)
			scan.slot = (slot + i) & (DENTRIES_CACHES - 1);
	return 0;
}

static __always_inline bool maybe_slab(const char *p)
{
	return !compat_page_is_tail(p) && compat_page_is_slab(p, compat_page_type(p));
}

/* Looks into the slab whose first page is the i-th of the chunk. */
__attribute__((noinline)) int slab_one(__u32 i)
{
	__u32 at = i * bpf_core_type_size(struct page), n, j;
	struct dentries_cache *c;
	__u64 cache, bytes;
	const char *p;

	barrier_var(at); /* see page_add() in pages.bpf.c */
	if (at > (PAGES_CHUNK - 1) * STRUCT_PAGE_MAX)
		return 0;
	p = chunk + at;
	cache = compat_page_slab_cache(p);
	if (cache != scan.last)
		cache_find(cache);
	if (scan.slot >= DENTRIES_CACHES || !cache)
		return 0;
	c = &caches[scan.slot & (DENTRIES_CACHES - 1)];
	scan.pfn = scan.next + i;
	c->seen++;
	if (!c->size || !sampled(scan.pfn, scan.slab_mask))
		return 0;
	c->sampled++;
	scan.base = scan.direct + (scan.pfn << scan.page_shift);
	scan.charges = compat_slab_charges(p);
	scan.stride = compat_slab_charge_stride(p);
	bytes = page_count(p) << scan.page_shift;
	n = bytes / c->size;
	if (n > DENTRIES_SLAB_MAX)
		scan.too_many += n - DENTRIES_SLAB_MAX;
	for (j = 0; j < DENTRIES_SLAB_MAX; j++) {
		if (j >= n)
			break;
		object_one(j);
	}
	return 0;
}

/* Reads the chunk at scan.next. Returns the frames that are settled already, 0 when its pages are to be looked at. */
static __always_inline __u64 chunk_begin(void)
{
	__u64 pfn = scan.next;
	bool folio = false;

	if (!chunk_read(scan.vmemmap, pfn)) {
		scan.skipped++;
		return (pfn | (PAGES_SECTION - 1)) + 1 - pfn;
	}
	return chunk_block(pfn, &folio);
}

/* Reads one chunk. Returns 1 when there is nothing more to read, no room for what it may find, or no time. */
__attribute__((noinline)) int scan_chunk(void)
{
	const __u32 size = bpf_core_type_size(struct page);
	__u64 settled;
	__u32 i;

	if (scan.next >= scan.end || scan.n_runs >= DENTRIES_RUNS - DENTRIES_CHUNK_RUNS ||
	    scan.objects >= scan.objects_max)
		return 1;
	if (!sampled(scan.next / PAGES_CHUNK, scan.chunk_mask)) {
		scan.next += PAGES_CHUNK;
		return 0;
	}
	settled = chunk_begin();
	if (settled) {
		scan.next += settled;
		return 0;
	}
	for (i = 0; i < PAGES_CHUNK; i++)
		if (maybe_slab(chunk + i * size))
			slab_one(i);
	scan.next += PAGES_CHUNK;
	return 0;
}

SEC("raw_tp")
int dentries_scan(BPF_CTX)
{
	__u32 i;

	scan.objects = 0;
	for (i = 0; i < DENTRIES_CALL_CHUNKS; i++)
		if (i >= scan.chunks || scan_chunk())
			break;
	return 0;
}

/* --- what must be known before ---------------------------------------------------------------------------------------- */

__attribute__((noinline)) int vote_one(__u32 i)
{
	struct dentries_vote *vote = &votes.items[votes.n & (DENTRIES_VOTES - 1)];
	__u32 at = i * bpf_core_type_size(struct page);
	const char *p;

	if (votes.n >= DENTRIES_VOTES)
		return 0;
	barrier_var(at); /* see page_add() in pages.bpf.c */
	if (at > (PAGES_CHUNK - 1) * STRUCT_PAGE_MAX)
		return 0;
	p = chunk + at;
	vote->freelist = compat_page_freelist(p);
	if (!is_struct(vote->freelist) || !is_struct(compat_page_slab_cache(p)))
		return 0;
	vote->pfn = scan.next + i;
	vote->pages = page_count(p);
	votes.n++;
	return 0;
}

__attribute__((noinline)) int vote_chunk(void)
{
	const __u32 size = bpf_core_type_size(struct page);
	__u64 settled;
	__u32 i;

	if (scan.next >= scan.end || votes.n >= DENTRIES_VOTES)
		return 1;
	settled = chunk_begin();
	if (!settled)
		for (i = 0; i < PAGES_CHUNK; i++)
			if (maybe_slab(chunk + i * size))
				vote_one(i);
	scan.next += settled ? settled : PAGES_CHUNK;
	return 0;
}

/* A slab with a free object has the address of that object in its struct page: with its frame number that shows the direct map. */
SEC("raw_tp")
int dentries_direct(BPF_CTX)
{
	__u32 i;

	for (i = 0; i < DENTRIES_CALL_CHUNKS; i++)
		if (i >= scan.chunks || vote_chunk())
			break;
	return 0;
}

/* Whether a slab of 2^order pages has lookup.address in it; then fills lookup. */
__attribute__((noinline)) int lookup_head(__u32 order)
{
	const __u32 size = bpf_core_type_size(struct page);
	__u64 pfn = (lookup.address - scan.direct) >> scan.page_shift, base;
	__u64 head = pfn >> (order & 15) << (order & 15);
	struct kmem_cache *cache;

	if (size > STRUCT_PAGE_MAX ||
	    bpf_probe_read_kernel(chunk, 2 * size, (const void *)(scan.vmemmap + head * size)))
		return 0;
	if (!maybe_slab(chunk) || head + page_count(chunk) <= pfn)
		return 0;
	cache = (void *)compat_page_slab_cache(chunk);
	if (!is_struct((__u64)cache) || !bpf_core_field_exists(cache->red_left_pad))
		return 0;
	base = scan.direct + (head << scan.page_shift);
	lookup.size = BPF_CORE_READ(cache, size);
	lookup.first = BPF_CORE_READ(cache, red_left_pad);
	if (!lookup.size)
		return 0;
	lookup.offset = (lookup.address - base - lookup.first) % lookup.size;
	lookup.pages = page_count(chunk);
	bpf_probe_read_kernel_str(lookup.name, sizeof(lookup.name), BPF_CORE_READ(cache, name));
	lookup.cache = (__u64)cache;
	return 1;
}

#define SLAB_ORDERS 7 /* more than a chunk no slab has */

SEC("raw_tp")
int dentries_lookup(BPF_CTX)
{
	__u32 order;

	lookup.cache = 0;
	for (order = 0; order < SLAB_ORDERS; order++)
		if (lookup_head(order))
			break;
	return 0;
}

/* One superblock of the list; passes over what is none, which is the list's head. */
__attribute__((noinline)) int super_one(__u64 address)
{
	struct super_block *sb = (void *)address;
	struct dentry *root = BPF_CORE_READ(sb, s_root);
	struct dentries_super *s = &supers.items[supers.n & (DENTRIES_SUPERS - 1)];

	if (!is_struct((__u64)root) || (__u64)BPF_CORE_READ(root, d_sb) != address)
		return 0;
	s->type = (__u64)BPF_CORE_READ(sb, s_type);
	s->root_inode = (__u64)BPF_CORE_READ(root, d_inode);
	s->newest_inode = (__u64)BPF_CORE_READ(sb, s_inodes.next) -
			  bpf_core_field_offset(struct inode, i_sb_list);
	if (is_kernel(s->root_inode))
		supers.n++;
	return 0;
}

/* All superblocks, the kernel's own too, beginning with the one of our root. */
SEC("raw_tp")
int dentries_supers(BPF_CTX)
{
	const __u32 list = bpf_core_field_offset(struct super_block, s_list);
	struct task_struct *task = (void *)bpf_get_current_task();
	struct dentry *root = BPF_CORE_READ(task, fs, root.dentry);
	__u64 first = (__u64)BPF_CORE_READ(root, d_sb), sb = first;
	__u32 i;

	supers.root = (__u64)root;
	supers.n = 0;
	supers.beyond = 1;
	for (i = 0; i < DENTRIES_SUPERS; i++) {
		super_one(sb);
		sb = (__u64)BPF_CORE_READ((struct super_block *)sb, s_list.next) - list;
		if (sb == first || !is_kernel(sb)) {
			supers.beyond = 0;
			break;
		}
	}
	return 0;
}

SEC("raw_tp")
int dentries_dentry(BPF_CTX)
{
	dentry_walk();
	return 0;
}
