/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The kernel's types as far as our programs read them, and every difference between kernels 5.10 to 6.18 and later.
 *
 * Declarations name only the members that are read; CO-RE finds their offsets in the running kernel's BTF when the object
 * is loaded. A flavour (three underscores) is the same type in another kernel. Differences are told apart by members,
 * never by version; the release or commit stands beside each.
 */
#ifndef MEMDIAG_BPF_COMPAT_H
#define MEMDIAG_BPF_COMPAT_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;
typedef __u16 __be16;
typedef __u16 __sum16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u64 __be64;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

/* Of the BPF system call's ABI, what we use: linux/bpf.h wants headers of a target that clang's bpf has not. */
enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum {
	BPF_ANY = 0,			    /* of bpf_map_update_elem() */
	BPF_NOEXIST = 1,		    /* of bpf_map_update_elem() */
	BPF_F_NO_PREALLOC = 1,		    /* of maps */
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1, /* of bpf_task_storage_get() */
	BPF_RB_NO_WAKEUP = 1,		    /* of bpf_ringbuf_submit() */
	BPF_RB_AVAIL_DATA = 0,		    /* of bpf_ringbuf_query() */
};

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>

/* BPF_PROG() of libbpf makes parameters of which a program need not use all. */
#pragma clang diagnostic ignored "-Wunused-parameter"

/* The context parameter of a program that does not use it. */
#define BPF_CTX void *ctx __attribute__((unused))

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct list_head {
	struct list_head *next, *prev;
};

struct hlist_node {
	struct hlist_node *next;
};

struct hlist_head {
	struct hlist_node *first;
};

/* The kernel's has no tag; the linker of types compares members only. */
struct atomic_int {
	int counter;
};

struct page {
	struct list_head lru;
	struct address_space *mapping;
	unsigned long private;
	unsigned long memcg_data;
	unsigned int page_type;
	struct atomic_int _refcount;
	unsigned long pp_magic; /* since 5.14 (c07aea3ef4d4) */
};

/* Before 5.11 (bcfe06bf2622 "mm: memcontrol: Use helpers to read page's memcg data"). */
struct page___mem_cgroup {
	struct mem_cgroup *mem_cgroup;
};

/* Before 6.6 (9c5ccf2db04b) a compound page's kind; in struct folio from 6.1 on. */
struct page___dtor {
	unsigned char compound_dtor;
};

struct folio___dtor {
	unsigned char _folio_dtor;
};

/* How many pages of a large folio are mapped each for itself; since 6.3 (eec20426d48b). */
struct folio___mapped {
	struct atomic_int _nr_pages_mapped;
};

/* All mappings of it less one; since 6.10 (05c5323b2a34). */
struct folio___large {
	struct atomic_int _large_mapcount;
};

enum compound_dtor_id {
	HUGETLB_PAGE_DTOR___any = 0,
};

/* Before 6.1 (c3a15bff46cb moved the order of compound pages into struct folio). */
struct page___compound_order {
	unsigned char compound_order;
};

struct folio {
	unsigned long memcg_data;
	unsigned long _flags_1; /* the order is in its low byte since 6.6 (ebc1baf5c9b4) */
};

/* 6.1 to 6.5. */
struct folio___order {
	unsigned char _folio_order;
};

enum pageflags {
	PG_dirty___any = 0,
	PG_head___any = 0,
	PG_lru___any = 0,
	PG_reserved___any = 0,
	PG_swapcache___any = 0,
	PG_slab___any = 0,    /* a page type since 6.10 (46df8e73a4a3) */
	PG_hugetlb___any = 0, /* 6.6 to 6.8, of the second page; then a type (d99e3140a4d3) */
};

/* 6.12 (4ffca5a96678 "mm: support only one page type per page"): a number in the top byte. */
enum pagetype___byte {
	PGTY_buddy___any = 0,
	PGTY_offline___any = 0,
	PGTY_table___any = 0,
	PGTY_guard___any = 0,
	PGTY_hugetlb___any = 0,
	PGTY_slab___any = 0,
	PGTY_zsmalloc___any = 0,
	PGTY_unaccepted___any = 0,
	PGTY_large_kmalloc___any = 0, /* 6.14 */
	PGTY_netpp___any = 0,	      /* 2026: page_pool's pages */
};

/* 6.11 (ff202303c398): an enumeration of bits that are cleared when the type is set. */
enum pagetype___bits {
	PG_buddy___bit = 0,
	PG_offline___bit = 0,
	PG_table___bit = 0,
	PG_guard___bit = 0,
	PG_hugetlb___bit = 0,
	PG_slab___bit = 0,
	PG_zsmalloc___bit = 0,
};

struct slab {
	struct kmem_cache *slab_cache;
	void *freelist;
	unsigned long memcg_data; /* obj_exts since 6.10 (21c690a349ba) */
	unsigned long obj_exts;
	unsigned int stride; /* 7.0: what is told of each object may lie in the object itself */
};

struct slabobj_ext {
	struct obj_cgroup *objcg;
};

/* Before 5.11 (270c6a71460e). */
struct page___obj_cgroups {
	struct obj_cgroup **obj_cgroups;
};

/* Before 5.17 (d122019bf061 "mm: Split slab into its own type"). */
struct page___slab {
	struct kmem_cache *slab_cache;
	void *freelist;
};

/* SLUB's. SLAB, gone since 6.8 (16a1d968358a), has no red_left_pad. */
struct kmem_cache {
	unsigned int size;
	unsigned int red_left_pad;
	const char *name;
};

struct xarray {
	void *xa_head;
};

struct address_space {
	struct inode *host;
	struct xarray i_pages;
};

struct file_system_type {
	const char *name;
};

struct super_block {
	struct list_head s_list;
	__u32 s_dev;
	struct file_system_type *s_type;
	unsigned long s_flags;
	unsigned long s_magic;
	struct dentry *s_root;
	struct list_head s_inodes;
	char s_id[32];
};

/* i_state is a number up to 6.17, then an enumeration, then (7.0) a structure with one member; its bits moved meanwhile. */
struct inode___long {
	unsigned long i_state;
};

struct inode___int {
	unsigned int i_state;
};

enum inode_state_flags_t {
	I_CLEAR___t = 0,
};

struct inode___enum {
	enum inode_state_flags_t i_state;
};

enum inode_state_flags_enum {
	I_CLEAR___enum = 0,
};

struct inode_state_flags {
	enum inode_state_flags_enum __state;
};

struct inode___struct {
	struct inode_state_flags i_state;
};

struct inode {
	struct super_block *i_sb;
	unsigned long i_ino;
	unsigned int i_nlink;
	__u32 i_rdev;
	__s64 i_size;
	__u32 i_generation;
	struct list_head i_sb_list;
	struct hlist_head i_dentry;
	struct address_space i_data;
};

struct qstr {
	__u32 len;
	const unsigned char *name;
};

struct lockref {
	int count;
};

struct dentry {
	struct dentry *d_parent;
	struct qstr d_name;
	struct inode *d_inode;
	struct super_block *d_sb;
	struct lockref d_lockref;
	union {
		struct hlist_node d_alias;
	} d_u;
};

/* Where a short name is; a union with words in it since 6.15 (58cf9c383c5c). */
struct dentry___iname {
	unsigned char d_iname[1];
};

union shortname_store {
	unsigned char string[1];
};

struct dentry___shortname {
	union shortname_store d_shortname;
};

/* 2026: the union's name is going away. */
struct dentry___flat {
	struct hlist_node d_alias;
};

struct file {
	struct address_space *f_mapping;
};

struct fdtable {
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct cgroup_subsys;

struct kernfs_node {
	struct kernfs_node *parent;
	const char *name;
	__u64 id;
};

/* 6.15 (633488947ef6 "kernfs: Use RCU to access kernfs_node::parent."). */
struct kernfs_node___rcu {
	struct kernfs_node *__parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

/* The kernel's has no tag; the linker of types compares members only. */
struct atomic_long {
	__s64 counter;
};

struct percpu_ref_data {
	struct atomic_long count;
};

/* 5.10 moved what the hot path does not need into data (2b0d3d3e4fcf). */
struct percpu_ref {
	struct percpu_ref_data *data;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
	struct cgroup_subsys *ss;
	struct percpu_ref refcnt;
	struct list_head sibling, children;
	unsigned int flags;
	__u64 serial_nr;
	struct cgroup_subsys_state *parent;
};

struct css_set {
	struct cgroup_subsys_state *subsys[1];
};

struct path {
	struct dentry *dentry;
};

struct fs_struct {
	struct path root;
};

struct sched_info {
	unsigned long pcount;
	unsigned long long run_delay;
	unsigned long long last_arrival;
	unsigned long long last_queued;
};

struct rq {
	__u64 clock;
};

struct cfs_rq {
	struct rq *rq;
};

/* For how long it was throttled: on the run queue's clock since 6.6 (677ea015f231), */
struct cfs_rq___self {
	__u64 throttled_clock_self_time;
};

/* on the load tracking's since 5.19 (64eaf50731ac), which differs where a CPU is slower than the fastest, */
struct cfs_rq___pelt {
	__u64 throttled_clock_pelt_time;
};

/* and on the tasks' clock before. Without bandwidth control none of them. */
struct cfs_rq___task {
	__u64 throttled_clock_task_time;
};

struct sched_entity {
	struct cfs_rq *cfs_rq;
};

struct thread_info {
	unsigned long flags;
};

struct timerqueue_node {
	__s64 expires;
};

struct hrtimer {
	struct timerqueue_node node;
	void *function;
};

/* 2026: the queue of timers is a list besides a tree. */
struct timerqueue_linked_node {
	__s64 expires;
};

struct hrtimer___linked {
	struct timerqueue_linked_node node;
};

struct task_struct {
	struct thread_info thread_info;
	int pid, tgid, prio;
	char comm[16];
	struct sched_entity se;
	struct sched_info sched_info;
	struct files_struct *files;
	struct fs_struct *fs;
	struct css_set *cgroups;
	unsigned int flags;
};

struct bpf_iter__task {
	struct task_struct *task;
};

enum cgroup_subsys_id {
	memory_cgrp_id___any = 0,
};

struct free_area {
	struct list_head free_list[1];
	unsigned long nr_free;
};

struct zone {
	unsigned long zone_start_pfn;
	unsigned long spanned_pages;
	struct free_area free_area[1];
};

struct pglist_data {
	struct zone node_zones[1];
};

/* 6.1 (ec1c86b25f4b); in 6.1 and 6.2 it is struct lru_gen_struct. Of a member's type only the members matter. */
struct lru_gen_folio {
	long nr_pages[1]; /* [generations][anon, file][zones] in one dimension */
};

struct lruvec {
	struct pglist_data *pgdat;
	struct lru_gen_folio lrugen;
};

struct mem_cgroup_per_node {
	struct lruvec lruvec;
	unsigned long lru_zone_size[1]; /* [zones][lru lists] in one dimension */
};

/* Newer pahole (Debian's Linux 7.2) keeps the dimensions of arrays apart, and libbpf tells such types from flat ones. */
struct mem_cgroup_per_node___nested {
	unsigned long lru_zone_size[1][1];
};

struct lru_gen_folio___nested {
	long nr_pages[1][1][1];
};

struct lruvec___nested {
	struct lru_gen_folio___nested lrugen;
};

struct page_counter {
	struct atomic_long usage;
	unsigned long max, high;
};

/* Its long state[] holds counters of what is below it too, as of the last flush: all by enum, or (6.11) some, in the enum's order. */
struct memcg_vmstats {
	long state[1];
};

struct mem_cgroup {
	struct cgroup_subsys_state css;
	struct page_counter memory, swap, memsw; /* the last two share their place */
	struct page_counter kmem, tcpmem; /* v1; without CONFIG_MEMCG_V1 (6.11) there are none */
	struct mem_cgroup_per_node *nodeinfo[1];
	struct memcg_vmstats *vmstats; /* since 6.1 (410f8e82689e) */
};

/* 5.13 to 6.0 (2d146aa3aa84 "mm: memcontrol: switch to rstat"). */
struct mem_cgroup___embedded {
	struct memcg_vmstats vmstats;
};

/* Before 5.13. */
struct mem_cgroup___array {
	struct atomic_long vmstats[1];
};

struct obj_cgroup {
	struct mem_cgroup *memcg;
};

#pragma clang attribute pop

enum compact_result {
	COMPACT_SUCCESS___any = 0,
};

/* Macros in sched.h: the same since 2.6.16. */
#define COMPAT_PF_KTHREAD 0x00200000u

/* Values are the running kernel's, by name. The slabs' are the same in every state[]: all that come before are counted as well. */
enum node_stat_item {
	NR_SLAB_RECLAIMABLE_B = 5,
};

enum memcg_stat_item {
	MEMCG_SOCK = 1,
	MEMCG_KMEM = 2, /* since 5.18 (a8c49af3be5f) */
	MEMCG_NR_STAT = 3,
};

/* enum in cgroup-defs.h without a name: its values are the same since 3.13, the last one's since 4.13. */
#define COMPAT_CSS_ONLINE   2u
#define COMPAT_CSS_RELEASED 4u	/* off its parent's list of children */
#define COMPAT_CSS_DYING    16u /* its directory is removed */

/* sched/prio.h: a macro. */
#define COMPAT_MAX_RT_PRIO 100

/* Reads a member-sized value at an address. 0, or -EFAULT; the destination is zeroed then. */
#define compat_read(dst, address) \
	bpf_probe_read_kernel(&(dst), sizeof(dst), (const void *)(address))

/* --- struct page, already copied to p -------------------------------------------------------------------------------- */

/* Page flags are the first word in every kernel (memdesc_flags_t since 6.18, 53fbef56e07d, so CO-RE by type fails). */
#define compat_page_flags(p) (*(const __u64 *)(p))
/* The second word has bit 0 set in tail pages (compound_head, renamed compound_info in 2026). */
#define compat_page_is_tail(p) (*(const __u64 *)((p) + 8) & 1)

#define compat_page_mapping(p) (*(const __u64 *)((p) + bpf_core_field_offset(struct page, mapping)))

/*
 * A member that the running kernel lacks relocates to an instruction that the verifier refuses; that is fine in a branch
 * which is never taken. barrier() keeps the compiler from lifting it out of that branch.
 */
#define COMPAT_LOAD(type, p, t, member)                                         \
	({                                                                      \
		barrier();                                                      \
		*(const type *)((p) + bpf_core_field_offset(struct t, member)); \
	})

/* The memcg or objcg without its flag bits; 0 when charged to none. */
static __always_inline __u64 compat_page_memcg(const char *p)
{
	__u64 v = 0;

	if (bpf_core_field_exists(struct page, memcg_data))
		v = COMPAT_LOAD(__u64, p, page, memcg_data);
	else if (bpf_core_field_exists(struct folio, memcg_data))
		v = COMPAT_LOAD(__u64, p, folio, memcg_data);
	else if (bpf_core_field_exists(struct page___mem_cgroup, mem_cgroup))
		v = COMPAT_LOAD(__u64, p, page___mem_cgroup, mem_cgroup);
	return v & ~7ULL;
}

static __always_inline __u32 compat_page_type(const char *p)
{
	return *(const __u32 *)(p + bpf_core_field_offset(struct page, page_type));
}

/*
 * The type shares its word with the mapcount: -1 is "not mapped", other negative values are a type (slab, buddy, page
 * table, hugetlb, ...) in all of its encodings.
 */
static __always_inline bool compat_type_set(__u32 type)
{
	return type + 1 > 0x80000000U;
}

/* 4.18 to 6.11: each type is a bit that is cleared. */
static __always_inline bool compat_type_has_bit(__u32 type, __u32 bit)
{
	return bit && compat_type_set(type) && !(type & bit);
}

/* The type of that name in the newest encoding; false where there is none. */
#define COMPAT_TYPE_BYTE(type, name)                                                              \
	(bpf_core_enum_value_exists(enum pagetype___byte, PGTY_##name##___any)                    \
		 ? (type) >> 24 == bpf_core_enum_value(enum pagetype___byte, PGTY_##name##___any) \
		 : false)
#define COMPAT_TYPE_IS_BYTE bpf_core_enum_value_exists(enum pagetype___byte, PGTY_buddy___any)
#define COMPAT_TYPE_IS_ENUM bpf_core_enum_value_exists(enum pagetype___bits, PG_buddy___bit)

/* The same in any encoding. `macro`: the type's bit where it was a macro (to 6.10); 0: there was none. */
#define COMPAT_TYPE_IS(type, name, macro)                                                      \
	(COMPAT_TYPE_IS_BYTE ? COMPAT_TYPE_BYTE(type, name)                                    \
	 : COMPAT_TYPE_IS_ENUM                                                                 \
		 ? compat_type_has_bit(                                                        \
			   type, bpf_core_enum_value(enum pagetype___bits, PG_##name##___bit)) \
		 : compat_type_has_bit(type, macro))

static __always_inline bool compat_type_is_buddy(__u32 type)
{
	return COMPAT_TYPE_IS(type, buddy, 0x80);
}

#define COMPAT_PAGE_FLAG(name)                                               \
	(bpf_core_enum_value_exists(enum pageflags, name##___any)            \
		 ? 1ULL << bpf_core_enum_value(enum pageflags, name##___any) \
		 : 0)

/* The order of a compound page whose first two struct pages are at p. */
static __always_inline __u32 compat_folio_order(const char *p)
{
	if (bpf_core_field_exists(struct page___compound_order, compound_order))
		return COMPAT_LOAD(__u8, p + bpf_core_type_size(struct page), page___compound_order,
				   compound_order);
	if (bpf_core_field_exists(struct folio___order, _folio_order))
		return COMPAT_LOAD(__u8, p, folio___order, _folio_order);
	if (bpf_core_field_exists(struct folio, _flags_1))
		return COMPAT_LOAD(__u8, p, folio, _flags_1);
	return 0;
}

/* Slab: a page flag, a bit among the types (a macro in 6.10), a type. */
static __always_inline bool compat_page_is_slab(const char *p, __u32 type)
{
	if (bpf_core_enum_value_exists(enum pageflags, PG_slab___any))
		return compat_page_flags(p) & COMPAT_PAGE_FLAG(PG_slab);
	return COMPAT_TYPE_IS(type, slab, 0x1000);
}

/* 5.10 marks pages of kernel memory that is charged by a type (to 5.11, 18b2db3b0385), whose bit then went to page tables. */
#define COMPAT_KMEMCG_IS_TYPE bpf_core_field_exists(struct page___mem_cgroup, mem_cgroup)

static __always_inline bool compat_page_is_table(__u32 type)
{
	return COMPAT_TYPE_IS(type, table, COMPAT_KMEMCG_IS_TYPE ? 0x400 : 0x200);
}

/* Offline, not accepted yet, or guarded by debug_pagealloc: nobody's to use. */
static __always_inline bool compat_page_is_offline(__u32 type)
{
	return COMPAT_TYPE_IS(type, offline, 0x100) || COMPAT_TYPE_BYTE(type, unaccepted) ||
	       COMPAT_TYPE_IS(type, guard, COMPAT_KMEMCG_IS_TYPE ? 0x800 : 0x400);
}

/* A huge page of the pool, used or free. p + 1 must be readable. */
static __always_inline bool compat_page_is_hugetlb(const char *p, __u32 type)
{
	if (!(compat_page_flags(p) & COMPAT_PAGE_FLAG(PG_head)))
		return false;
	if (bpf_core_field_exists(struct page___dtor, compound_dtor))
		return COMPAT_LOAD(__u8, p + bpf_core_type_size(struct page), page___dtor,
				   compound_dtor) ==
		       bpf_core_enum_value(enum compound_dtor_id, HUGETLB_PAGE_DTOR___any);
	if (bpf_core_field_exists(struct folio___dtor, _folio_dtor))
		return COMPAT_LOAD(__u8, p, folio___dtor, _folio_dtor) ==
		       bpf_core_enum_value(enum compound_dtor_id, HUGETLB_PAGE_DTOR___any);
	if (bpf_core_enum_value_exists(enum pageflags, PG_hugetlb___any))
		return COMPAT_LOAD(__u64, p, folio, _flags_1) & COMPAT_PAGE_FLAG(PG_hugetlb);
	return COMPAT_TYPE_IS(type, hugetlb, 0x800);
}

/* A page that page_pool handed to a network driver: a magic number, a poison pointer of 6.16's (ee62ce7a1d90) with an index. */
static __always_inline bool compat_page_is_pool(const char *p, __u32 type)
{
	__u64 magic;

	if (!bpf_core_field_exists(struct page, pp_magic))
		return COMPAT_TYPE_BYTE(type, netpp);
	magic = COMPAT_LOAD(__u64, p, page, pp_magic);
	return magic >> 48 == 0xdead && (magic & 0x7c) == 0x40;
}

/* Charged kernel memory. (Of slab the bit says something else.) */
static __always_inline bool compat_page_is_kmem(const char *p, __u32 type)
{
	if (bpf_core_field_exists(struct page, memcg_data))
		return COMPAT_LOAD(__u64, p, page, memcg_data) & 2;
	if (bpf_core_field_exists(struct folio, memcg_data))
		return COMPAT_LOAD(__u64, p, folio, memcg_data) & 2;
	return COMPAT_KMEMCG_IS_TYPE && compat_type_has_bit(type, 0x200);
}

/*
 * Of the pages of an anonymous large folio whose head is p, those that no process maps any more. They stay until the folio is
 * split, under pressure, and AnonPages does not count them. 0 where the kernel cannot tell.
 */
static __always_inline __u64 compat_folio_unmapped(const char *p, __u64 pages)
{
	const __u32 whole = 0x800000; /* mm/internal.h: mapped as one, by a PMD */
	__u32 mapped;

	if (!bpf_core_field_exists(struct folio___mapped, _nr_pages_mapped) ||
	    compat_page_flags(p) & COMPAT_PAGE_FLAG(PG_swapcache))
		return 0;
	mapped = COMPAT_LOAD(__u32, p, folio___mapped, _nr_pages_mapped);
	/* With CONFIG_NO_PAGE_MAPCOUNT (6.15) pages are not counted. */
	if (!mapped && bpf_core_field_exists(struct folio___large, _large_mapcount) &&
	    COMPAT_LOAD(__u32, p, folio___large, _large_mapcount) != ~0U)
		return 0;
	return mapped < pages && mapped < whole ? pages - mapped : 0;
}

#define compat_page_refcount(p) \
	(*(const __u32 *)((p) + bpf_core_field_offset(struct page, _refcount)))

/* The kmem_cache of a slab; 0: unknown. */
static __always_inline __u64 compat_page_slab_cache(const char *p)
{
	if (bpf_core_field_exists(struct slab, slab_cache))
		return COMPAT_LOAD(__u64, p, slab, slab_cache);
	if (bpf_core_field_exists(struct page___slab, slab_cache))
		return COMPAT_LOAD(__u64, p, page___slab, slab_cache);
	return 0;
}

/* What a slab's first object is charged to is told there, the next ones compat_slab_charge_stride() bytes apart; 0: none is charged. */
static __always_inline __u64 compat_slab_charges(const char *p)
{
	__u64 v = 0;

	if (bpf_core_field_exists(struct slab, obj_exts))
		v = COMPAT_LOAD(__u64, p, slab, obj_exts);
	else if (bpf_core_field_exists(struct slab, memcg_data))
		v = COMPAT_LOAD(__u64, p, slab, memcg_data);
	else if (bpf_core_field_exists(struct page, memcg_data))
		v = COMPAT_LOAD(__u64, p, page, memcg_data);
	else if (bpf_core_field_exists(struct page___obj_cgroups, obj_cgroups))
		v = COMPAT_LOAD(__u64, p, page___obj_cgroups, obj_cgroups);
	return v & ~7ULL;
}

static __always_inline __u32 compat_slab_charge_stride(const char *p)
{
	if (bpf_core_field_exists(struct slab, stride))
		return COMPAT_LOAD(__u32, p, slab, stride);
	if (bpf_core_field_exists(struct slabobj_ext, objcg)) {
		barrier();
		return bpf_core_type_size(struct slabobj_ext);
	}
	return 8;
}

/* Where in what is told of an object its obj_cgroup is. */
static __always_inline __u32 compat_slab_charge_at(void)
{
	if (bpf_core_field_exists(struct slabobj_ext, objcg)) {
		barrier();
		return bpf_core_field_offset(struct slabobj_ext, objcg);
	}
	return 0;
}

/* The first free object of a slab, whose address is plain even where those inside objects are mangled; 0: none. */
static __always_inline __u64 compat_page_freelist(const char *p)
{
	if (bpf_core_field_exists(struct slab, freelist))
		return COMPAT_LOAD(__u64, p, slab, freelist);
	if (bpf_core_field_exists(struct page___slab, freelist))
		return COMPAT_LOAD(__u64, p, page___slab, freelist);
	return 0;
}

/* --- everything else, by address ------------------------------------------------------------------------------------- */

static __always_inline struct kernfs_node *compat_kernfs_parent(struct kernfs_node *kn)
{
	struct kernfs_node___rcu *rcu = (void *)kn;

	if (bpf_core_field_exists(rcu->__parent))
		return BPF_CORE_READ(rcu, __parent);
	return BPF_CORE_READ(kn, parent);
}

/* A task's state in the memory controller; NULL when the kernel is built without. Works on cgroup v1 and v2. */
static __always_inline struct cgroup_subsys_state *compat_task_memory_css(struct task_struct *task)
{
	struct cgroup_subsys_state *css = NULL;
	struct css_set *set;
	__u64 at;

	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id___any))
		return NULL;
	set = BPF_CORE_READ(task, cgroups);
	at = (__u64)set + bpf_core_field_offset(struct css_set, subsys) +
	     8 * bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id___any);
	compat_read(css, at);
	return css;
}

static __always_inline struct cgroup_subsys_state *compat_memory_css(void)
{
	return compat_task_memory_css((void *)bpf_get_current_task());
}

/* The kernfs id of a task's memory cgroup: st_ino of its directory. 0: unknown. */
static __always_inline __u64 compat_task_memory_cgroup(struct task_struct *task)
{
	return BPF_CORE_READ(compat_task_memory_css(task), cgroup, kn, id);
}

/* CLOCK_MONOTONIC at which a timer is to expire. */
static __always_inline __u64 compat_hrtimer_expires(struct hrtimer *timer)
{
	struct hrtimer___linked *linked = (void *)timer;

	if (bpf_core_field_exists(linked->node.expires))
		return BPF_CORE_READ(linked, node.expires);
	return BPF_CORE_READ(timer, node.expires);
}

/* Nanoseconds that a run queue of a CPU and cgroup was throttled so far; 0 where the kernel does not tell. */
static __always_inline __u64 compat_throttled_clock(struct cfs_rq *cfs_rq)
{
	struct cfs_rq___self *self = (void *)cfs_rq;
	struct cfs_rq___pelt *pelt = (void *)cfs_rq;
	struct cfs_rq___task *task = (void *)cfs_rq;

	if (bpf_core_field_exists(self->throttled_clock_self_time))
		return self->throttled_clock_self_time;
	if (bpf_core_field_exists(pelt->throttled_clock_pelt_time))
		return pelt->throttled_clock_pelt_time;
	if (bpf_core_field_exists(task->throttled_clock_task_time))
		return task->throttled_clock_task_time;
	return 0;
}

/* The dentry that an inode's i_dentry list begins with; 0: none. */
static __always_inline __u64 compat_inode_dentry(__u64 inode)
{
	__u64 node = 0;

	compat_read(node, inode + bpf_core_field_offset(struct inode, i_dentry));
	if (!node)
		return 0;
	if (bpf_core_field_exists(struct dentry___flat, d_alias))
		return node - bpf_core_field_offset(struct dentry___flat, d_alias);
	return node - bpf_core_field_offset(struct dentry, d_u.d_alias);
}

/* Offsets, 0: unknown. */
static __always_inline __u32 compat_dentry_short_name(void)
{
	if (bpf_core_field_exists(struct dentry___shortname, d_shortname))
		return bpf_core_field_offset(struct dentry___shortname, d_shortname);
	if (bpf_core_field_exists(struct dentry___iname, d_iname))
		return bpf_core_field_offset(struct dentry___iname, d_iname);
	return 0;
}

static __always_inline __u32 compat_inode_state_at(void)
{
	if (bpf_core_field_exists(struct inode___long, i_state))
		return bpf_core_field_offset(struct inode___long, i_state);
	if (bpf_core_field_exists(struct inode___int, i_state))
		return bpf_core_field_offset(struct inode___int, i_state);
	if (bpf_core_field_exists(struct inode___enum, i_state))
		return bpf_core_field_offset(struct inode___enum, i_state);
	if (bpf_core_field_exists(struct inode___struct, i_state))
		return bpf_core_field_offset(struct inode___struct, i_state);
	return 0;
}

/*
 * I_CLEAR: set when an inode is torn down. A macro up to 6.17: 64, and 256 since the flags were renumbered when i_state became 32
 * bits wide (6.12).
 */
static __always_inline __u32 compat_inode_clear(void)
{
	if (bpf_core_enum_value_exists(enum inode_state_flags_t, I_CLEAR___t))
		return bpf_core_enum_value(enum inode_state_flags_t, I_CLEAR___t);
	if (bpf_core_enum_value_exists(enum inode_state_flags_enum, I_CLEAR___enum))
		return bpf_core_enum_value(enum inode_state_flags_enum, I_CLEAR___enum);
	return bpf_core_field_size(struct inode___long, i_state) == sizeof(__u64) ? 64 : 256;
}

#endif
