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
#include "compat.h"
#include "pages.h"
#include "pages_chain.h"
#include "pages_memcg.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define STRUCT_PAGE_MAX 128 /* 64 bytes, more with debug options */
#define ORDER_MAX	18  /* a hugetlb page of 1 GiB */

/* Requests and answers; see pages.h. */
struct pages_scan scan;
struct pages_run runs[PAGES_RUNS];
__u32 n_checks;
struct pages_check checks[PAGES_BATCH];
struct pages_inode inode;
struct pages_super super;
struct pages_group group;
struct pages_anchor anchor;

/* The struct pages that are being looked at, and room for what would follow the last. */
char chunk[(PAGES_CHUNK + 1) * STRUCT_PAGE_MAX] __attribute__((aligned(8)));

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

/* Pages in the folio whose head is p, 1 for a single page. p + 1 must be in the chunk. */
static __always_inline __u64 page_count(const char *p)
{
	__u32 order;

	if (!(compat_page_flags(p) & COMPAT_PAGE_FLAG(PG_head)) || compat_page_is_tail(p))
		return 1;
	order = compat_folio_order(p);
	return order <= ORDER_MAX ? 1ULL << order : 1;
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

/*
 * A block of at least a chunk begins where a chunk begins: a large folio is one record, and free memory (the allocator
 * keeps a free block's order in its first page) is none. Returns how many pages that settles. The order is read without a
 * lock, as compaction does: a wrong one is possible for a block that changes hands right now, and bounded.
 */
static __always_inline __u64 block_add(__u64 pfn)
{
	__u64 pages = page_count(chunk), order;

	if (pages >= PAGES_CHUNK && !(pfn & (pages - 1))) {
		if (maybe_cache(chunk))
			page_add(0);
		return pages;
	}
	if (compat_type_is_buddy(compat_page_type(chunk))) {
		order = *(const __u64 *)(chunk + bpf_core_field_offset(struct page, private));
		if (order > ORDER_MAX)
			return 0;
		pages = 1ULL << order;
		if (pages >= PAGES_CHUNK && !(pfn & (pages - 1)))
			return pages;
	}
	return 0;
}

/* Reads one chunk. Returns 1 when there is nothing more to read, no room for what it may find, or no time to ask. */
__attribute__((noinline)) int scan_chunk(void)
{
	const __u32 size = bpf_core_type_size(struct page);
	__u64 pfn = scan.next, pages;
	__u32 i;

	if (pfn >= scan.end || scan.n_runs >= PAGES_RUNS - PAGES_CHUNK || size > STRUCT_PAGE_MAX)
		return 1;
	if (filter_on && filter.asked >= PAGES_ASKED_MAX)
		return 1;
	if (bpf_probe_read_kernel(chunk, PAGES_CHUNK * size,
				  (const void *)(scan.vmemmap + pfn * size))) {
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

SEC("raw_tp")
int pages_super(BPF_CTX)
{
	struct super_block *sb = (void *)super.address;
	const char *type = BPF_CORE_READ(sb, s_type, name);

	super.magic = BPF_CORE_READ(sb, s_magic);
	super.flags = BPF_CORE_READ(sb, s_flags);
	super.root = (__u64)BPF_CORE_READ(sb, s_root);
	super.dev = BPF_CORE_READ(sb, s_dev);
	bpf_probe_read_kernel_str(super.type, sizeof(super.type), type);
	bpf_probe_read_kernel_str(super.id, sizeof(super.id),
				  (const char *)sb +
					  bpf_core_field_offset(struct super_block, s_id));
	return 0;
}

/* --- memory cgroups -------------------------------------------------------------------------------------------------- */

SEC("raw_tp")
int pages_group(BPF_CTX)
{
	struct mem_cgroup *memcg = memcg_of(group.address, memcg_subsystem());
	struct kernfs_node *kn;

	group.memcg = (__u64)memcg;
	group.objcg = group.memcg != group.address;
	chain.n = 0;
	chain.done = 0;
	if (!memcg)
		return 0;
	kn = BPF_CORE_READ(memcg, css.cgroup, kn);
	group.id = BPF_CORE_READ(kn, id);
	group.online = !!(BPF_CORE_READ(memcg, css.flags) & COMPAT_CSS_ONLINE);
	chain.cur = (__u64)kn;
	kernfs_walk();
	return 0;
}

/* --- where struct page begins ---------------------------------------------------------------------------------------- */

/* The only page of a file: a tree with one entry at index 0 holds the page's address itself. */
SEC("raw_tp")
int pages_anchor(BPF_CTX)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct file **fds = BPF_CORE_READ(task, files, fdt, fd);
	struct file *file = NULL;

	anchor.struct_page = bpf_core_type_size(struct page);
	anchor.page = 0;
	if (compat_read(file, &fds[anchor.fd]))
		return 0;
	anchor.page = (__u64)BPF_CORE_READ(file, f_mapping, i_pages.xa_head);
	return 0;
}

#define ZONES	   2 /* DMA and DMA32 on x86: below 4 GiB */
#define ORDERS	   11
#define MIGRATIONS 4 /* unmovable, movable, reclaimable, high atomic; the rest may not be there */

__attribute__((noinline)) int free_one(__u64 pgdat, __u32 i)
{
	__u32 z = i / (ORDERS * MIGRATIONS), o = i / MIGRATIONS % ORDERS, m = i % MIGRATIONS;
	__u64 zone = pgdat + bpf_core_field_offset(struct pglist_data, node_zones) +
		     z * bpf_core_type_size(struct zone);
	__u64 list = zone + bpf_core_field_offset(struct zone, free_area) +
		     o * bpf_core_type_size(struct free_area) +
		     m * bpf_core_type_size(struct list_head);
	__u64 first = 0, spanned = 0;
	struct pages_free *f = &anchor.free[anchor.n_free & (PAGES_FREE_MAX - 1)];

	compat_read(first, list);
	if (!first || first == list)
		return 0;
	f->page = first - bpf_core_field_offset(struct page, lru);
	compat_read(f->start_pfn, zone + bpf_core_field_offset(struct zone, zone_start_pfn));
	compat_read(spanned, zone + bpf_core_field_offset(struct zone, spanned_pages));
	f->end_pfn = f->start_pfn + spanned;
	anchor.n_free++;
	return 0;
}

/* Free pages of the two lowest zones of node 0. */
SEC("raw_tp")
int pages_zones(BPF_CTX)
{
	struct mem_cgroup *memcg = (void *)compat_memory_css(); /* css is its first member */
	struct mem_cgroup_per_node *node = NULL;
	__u64 pgdat;
	__u32 i;

	anchor.struct_page = bpf_core_type_size(struct page);
	anchor.n_free = 0;
	if (!memcg)
		return 0;
	compat_read(node, (__u64)memcg + bpf_core_field_offset(struct mem_cgroup, nodeinfo));
	pgdat = (__u64)BPF_CORE_READ(node, lruvec.pgdat);
	if (!pgdat)
		return 0;
	for (i = 0; i < ZONES * ORDERS * MIGRATIONS; i++) {
		if (anchor.n_free >= PAGES_FREE_MAX)
			break;
		free_one(pgdat, i);
	}
	return 0;
}
