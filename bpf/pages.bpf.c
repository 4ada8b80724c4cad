// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Reads every struct page and says which file and memory cgroup it belongs to; then, for what is asked, who that file and
 * cgroup are.
 *
 * Nothing is attached. The programs are raw tracepoints only because BPF_PROG_TEST_RUN runs these from 5.10 on, inside one
 * RCU read section: what was reachable stays readable until the call ends. A call cannot be scheduled away on a kernel that
 * does not preempt, so user space bounds each one far below a millisecond.
 *
 * How it gets past verifiers from 5.10 on without bpf_loop() (5.17), and in little time: what a loop does is a global
 * function, which is verified once on its own, and all state lives in globals, so one round looks like another.
 */
#include "compat/file.h"
#include "compat/page.h"
#include "pages.h"
#include "pages_anchor.h"
#include "pages_chain.h"
#include "pages_chunk.h"
#include "pages_group.h"
#include "pages_memcg.h"
#include "pages_super.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Requests and answers; see pages.h. */
struct pages_scan scan;
struct pages_run runs[PAGES_RUNS];
__u32 n_checks;
struct pages_check checks[PAGES_BATCH];
struct pages_inode inode;

/*
 * Adds pages to the run that is open, or opens the next. With none open the record looked at is the table's last, which is
 * never filled and so never matches.
 */
static __always_inline void run_add(__u64 mapping, __u64 memcg, __u32 pages, __u32 dirty)
{
	__u32 n = scan.n_runs;
	struct pages_run *run = &runs[(n - 1) & (PAGES_RUNS - 1)];

	if (run->mapping != mapping || run->memcg != memcg) {
		run = &runs[n & (PAGES_RUNS - 1)];
		run->mapping = mapping;
		run->memcg = memcg;
		run->pages = 0;
		run->dirty = 0;
		scan.n_runs = n + 1;
	}
	run->pages += pages;
	run->dirty += dirty;
}

/* The low bits mark anonymous and movable pages; addresses of the kernel are negative. */
static __always_inline bool maybe_cache(const char *p)
{
	__u64 mapping = compat_page_mapping(p);

	return (__s64)mapping < 0 && !(mapping & 3);
}

/* Counts the i-th page of the chunk, or the folio whose head it is, when it is page cache. */
__attribute__((noinline)) int page_add(__u32 i)
{
	__u32 at = i * bpf_core_type_size(struct page), pages;
	const char *p;
	__u64 flags, memcg;

	/*
	 * The verifiers of 5.10 and 6.1 know a product's range only when its second factor is a constant, and the compiler
	 * swaps them. barrier_var() keeps the check, which the compiler could prove.
	 */
	barrier_var(at);
	if (at > (PAGES_CHUNK - 1) * STRUCT_PAGE_MAX)
		return 0;
	p = chunk + at;
	if (compat_page_is_tail(p) || compat_type_set(compat_page_type(p)))
		return 0;
	flags = compat_page_flags(p);
	if (flags & COMPAT_PAGE_FLAG(PG_slab))
		return 0;
	memcg = compat_page_memcg(p);
	if (filter_on && !filter_wants(memcg))
		return 0;
	pages = page_count(p);
	run_add(compat_page_mapping(p), memcg, pages,
		flags & COMPAT_PAGE_FLAG(PG_dirty) ? pages : 0);
	return 0;
}

/* Settles what begins with the chunk and is at least as large. Returns how many pages that are. */
static __always_inline __u64 block_add(__u64 pfn)
{
	bool folio = false;
	__u64 pages = chunk_block(pfn, &folio);

	if (folio && maybe_cache(chunk))
		page_add(0);
	return pages;
}

/* Reads one chunk. Returns 1 when there is nothing more to read, no room for what it may find, or no time to ask. */
__attribute__((noinline)) int scan_chunk(void)
{
	const __u32 size = bpf_core_type_size(struct page);
	__u64 pfn = scan.next, pages;
	__u32 i;

	if (pfn >= scan.end || scan.n_runs >= PAGES_RUNS - PAGES_CHUNK)
		return 1;
	if (filter_on && filter.asked >= PAGES_ASKED_MAX)
		return 1;
	if (!chunk_read(scan.vmemmap, pfn)) {
		scan.skipped++;
		scan.next = (pfn | (PAGES_SECTION - 1)) + 1;
		return 0;
	}
	pages = block_add(pfn);
	scan.next = pfn + (pages ? pages : PAGES_CHUNK);
	if (pages)
		return 0;
	for (i = 0; i < PAGES_CHUNK; i++)
		if (maybe_cache(chunk + i * size))
			page_add(i);
	return 0;
}

SEC("raw_tp")
int pages_scan(BPF_CTX)
{
	__u32 i;

	if (filter_on)
		filter_begin();
	for (i = 0; i < PAGES_CHUNKS_MAX; i++)
		if (i >= scan.chunks || scan_chunk())
			break;
	return 0;
}

/* --- files ----------------------------------------------------------------------------------------------------------- */

/* The inode that a mapping is the i_data of; 0 when it is not (or no more) a file's mapping. */
static __always_inline __u64 mapping_inode(__u64 mapping)
{
	__u64 host = 0;

	compat_read(host, mapping + bpf_core_field_offset(struct address_space, host));
	if (!host || host + bpf_core_field_offset(struct inode, i_data) != mapping)
		return 0;
	return host;
}

__attribute__((noinline)) int check_one(__u32 i)
{
	struct pages_check *c = &checks[i & (PAGES_BATCH - 1)];
	__u64 host = mapping_inode(c->mapping);

	c->sb = 0;
	c->flags = 0;
	if (!host)
		return 0;
	compat_read(c->sb, host + bpf_core_field_offset(struct inode, i_sb));
	c->flags = PAGES_CHECK_VALID;
	if (compat_inode_dentry(host))
		c->flags |= PAGES_CHECK_DENTRY;
	return 0;
}

SEC("raw_tp")
int pages_check(BPF_CTX)
{
	__u32 i;

	for (i = 0; i < PAGES_BATCH; i++) {
		if (i >= n_checks)
			break;
		check_one(i);
	}
	return 0;
}

__attribute__((noinline)) int parent_one(__u32 i)
{
	struct pages_check *c = &checks[i & (PAGES_BATCH - 1)];
	__u64 host = mapping_inode(c->mapping), dentry;

	c->parent = 0;
	c->flags = 0;
	if (!host)
		return 0;
	dentry = compat_inode_dentry(host);
	if (!dentry)
		return 0;
	compat_read(c->parent, dentry + bpf_core_field_offset(struct dentry, d_parent));
	c->flags = PAGES_CHECK_VALID | PAGES_CHECK_DENTRY;
	if (c->parent == dentry)
		c->flags |= PAGES_CHECK_ROOT;
	return 0;
}

SEC("raw_tp")
int pages_parent(BPF_CTX)
{
	__u32 i;

	for (i = 0; i < PAGES_BATCH; i++) {
		if (i >= n_checks)
			break;
		parent_one(i);
	}
	return 0;
}

SEC("raw_tp")
int pages_dentry(BPF_CTX)
{
	dentry_walk();
	return 0;
}

/* Everything about one file, its names included. */
SEC("raw_tp")
int pages_inode(BPF_CTX)
{
	struct inode *host = (void *)mapping_inode(inode.mapping);

	inode.valid = 0;
	chain.n = 0;
	chain.done = 0;
	if (!host)
		return 0;
	inode.inode = (__u64)host;
	inode.sb = (__u64)BPF_CORE_READ(host, i_sb);
	inode.ino = BPF_CORE_READ(host, i_ino);
	inode.size = BPF_CORE_READ(host, i_size);
	inode.generation = BPF_CORE_READ(host, i_generation);
	inode.nlink = BPF_CORE_READ(host, i_nlink);
	inode.rdev = BPF_CORE_READ(host, i_rdev);
	inode.dentry = compat_inode_dentry((__u64)host);
	if (inode.dentry) {
		chain.cur = inode.dentry;
		dentry_walk();
	}
	inode.valid = mapping_inode(inode.mapping) == inode.inode &&
		      compat_inode_dentry(inode.inode) == inode.dentry;
	return 0;
}
