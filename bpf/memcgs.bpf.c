// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Visits every memory cgroup, those that are removed but pinned too: pre-order over css.children and css.sibling.
 *
 * One call is one RCU read section, in which every css that was on a list stays readable. Between two calls the css where
 * the walk stopped may go away. What it then finds there is told by the serial number, and the walk goes on behind that
 * number among the children of the nearest ancestor that is still there: lists of children ascend by serial number.
 *
 * As in pages.bpf.c nothing is attached, state is global, and what a loop does is a global function.
 */
#include "compat/memcg.h"
#include "compat/task.h"
#include "memcgs.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct memcgs_walk walk; /* see memcgs.h */
struct memcgs_record records[MEMCGS_LOG];

/* Of the node that is being added up: lru_zone_size, and the multi-generational LRU's nr_pages. */
__u64 lru[MEMCGS_ZONES * MEMCGS_LRUS];
__s64 gens[MEMCGS_ZONES * 2 * MEMCGS_GENS];

static __always_inline struct cgroup_subsys_state *css_at(__u32 depth)
{
	return (void *)walk.path[depth & (MEMCGS_DEPTH - 1)].css;
}

static __always_inline void go_to(__u64 css, __u32 depth)
{
	struct memcgs_at *at = &walk.path[depth & (MEMCGS_DEPTH - 1)];

	at->css = css;
	at->serial = BPF_CORE_READ((struct cgroup_subsys_state *)css, serial_nr);
	walk.depth = depth;
}

/* The first child, or 0. */
static __always_inline __u64 first_child(struct cgroup_subsys_state *css)
{
	__u64 head = (__u64)css + bpf_core_field_offset(struct cgroup_subsys_state, children);
	__u64 first = (__u64)BPF_CORE_READ(css, children.next);

	return !first || first == head
		       ? 0
		       : first - bpf_core_field_offset(struct cgroup_subsys_state, sibling);
}

/* The next child of its parent, or 0. */
static __always_inline __u64 next_sibling(struct cgroup_subsys_state *css,
					  struct cgroup_subsys_state *parent)
{
	__u64 head = (__u64)parent + bpf_core_field_offset(struct cgroup_subsys_state, children);
	__u64 next = (__u64)BPF_CORE_READ(css, sibling.next);

	return !next || next == head
		       ? 0
		       : next - bpf_core_field_offset(struct cgroup_subsys_state, sibling);
}

/* --- one memory cgroup ------------------------------------------------------------------------------------------------ */

/*
 * The multi-generational LRU (6.1, on or off at run time) counts evictable pages for itself and leaves lru_zone_size alone; its
 * counts can be below zero for a moment.
 */
__attribute__((noinline)) int add_gens(__u64 lruvec)
{
	struct memcgs_record *r = &records[walk.n & (MEMCGS_LOG - 1)];
	__s64 sums[2] = {0, 0};
	__u32 size, at, zones, i;

	/* Here and not at the caller: a global function is verified also where nobody calls it. */
	if (bpf_core_field_exists(struct lruvec, lrugen.nr_pages)) {
		barrier();
		size = bpf_core_field_size(struct lruvec, lrugen.nr_pages);
		at = bpf_core_field_offset(struct lruvec, lrugen.nr_pages);
	} else if (bpf_core_field_exists(struct lruvec___nested, lrugen.nr_pages)) {
		barrier();
		size = bpf_core_field_size(struct lruvec___nested, lrugen.nr_pages);
		at = bpf_core_field_offset(struct lruvec___nested, lrugen.nr_pages);
	} else {
		return 0;
	}
	zones = size / (8 * 2 * MEMCGS_GENS);
	if (!zones || size > sizeof(gens) ||
	    bpf_probe_read_kernel(gens, size, (void *)(lruvec + at)))
		return 0;
	for (i = 0; i < MEMCGS_ZONES * 2 * MEMCGS_GENS; i++) {
		if (i >= zones * 2 * MEMCGS_GENS)
			break;
		if (i / zones & 1)
			sums[1] += gens[i];
		else
			sums[0] += gens[i];
	}
	r->anon += sums[0] > 0 ? sums[0] : 0;
	r->file += sums[1] > 0 ? sums[1] : 0;
	return 0;
}

__attribute__((noinline)) int add_node(__u32 node)
{
	struct mem_cgroup *memcg = (void *)css_at(walk.depth);
	struct memcgs_record *r = &records[walk.n & (MEMCGS_LOG - 1)];
	struct mem_cgroup_per_node *pn = NULL;
	__u32 size, at, zone;

	compat_read(pn, (__u64)memcg + bpf_core_field_offset(struct mem_cgroup, nodeinfo) +
				8 * (__u64)node);
	if (bpf_core_field_exists(struct mem_cgroup_per_node, lru_zone_size)) {
		barrier();
		size = bpf_core_field_size(struct mem_cgroup_per_node, lru_zone_size);
		at = bpf_core_field_offset(struct mem_cgroup_per_node, lru_zone_size);
	} else if (bpf_core_field_exists(struct mem_cgroup_per_node___nested, lru_zone_size)) {
		barrier();
		size = bpf_core_field_size(struct mem_cgroup_per_node___nested, lru_zone_size);
		at = bpf_core_field_offset(struct mem_cgroup_per_node___nested, lru_zone_size);
	} else {
		return 0;
	}
	if (!pn || size > sizeof(lru))
		return 0;
	if (bpf_probe_read_kernel(lru, size, (char *)pn + at))
		return 0;
	for (zone = 0; zone < MEMCGS_ZONES; zone++) {
		if ((zone + 1) * MEMCGS_LRUS * 8 > size)
			break;
		r->anon += lru[zone * MEMCGS_LRUS] + lru[zone * MEMCGS_LRUS + 1];
		r->file += lru[zone * MEMCGS_LRUS + 2] + lru[zone * MEMCGS_LRUS + 3];
		r->unevictable += lru[zone * MEMCGS_LRUS + 4];
	}
	add_gens((__u64)pn + bpf_core_field_offset(struct mem_cgroup_per_node, lruvec));
	return 0;
}

/* Where the memcg's state[] is, and how many counters it has. */
struct stats {
	__u64 at;
	__u32 n;
};

static __always_inline struct stats stats_of(struct mem_cgroup *memcg)
{
	struct stats ret = {0, 0};

	if (bpf_core_field_exists(memcg->vmstats)) {
		barrier();
		compat_read(ret.at,
			    (__u64)memcg + bpf_core_field_offset(struct mem_cgroup, vmstats));
		if (ret.at)
			ret.at += bpf_core_field_offset(struct memcg_vmstats, state);
		ret.n = bpf_core_field_size(struct memcg_vmstats, state) / 8;
	} else if (bpf_core_field_exists(struct mem_cgroup___embedded, vmstats)) {
		barrier();
		ret.at = (__u64)memcg +
			 bpf_core_field_offset(struct mem_cgroup___embedded, vmstats) +
			 bpf_core_field_offset(struct memcg_vmstats, state);
		ret.n = bpf_core_field_size(struct memcg_vmstats, state) / 8;
	} else if (bpf_core_field_exists(struct mem_cgroup___array, vmstats)) {
		barrier();
		ret.at = (__u64)memcg + bpf_core_field_offset(struct mem_cgroup___array, vmstats);
		ret.n = bpf_core_field_size(struct mem_cgroup___array, vmstats) / 8;
	}
	return ret;
}

/*
 * A memory controller's own counters end the array, whether it holds all of the enums or only those that memory.stat needs:
 * counted from its end their places are the same.
 */
static __always_inline __u64 own_stat(struct stats stats, __u64 item)
{
	__u64 behind = bpf_core_enum_value(enum memcg_stat_item, MEMCG_NR_STAT) - item;
	__s64 v = 0;

	if (!stats.at || behind > stats.n)
		return 0;
	compat_read(v, stats.at + 8 * (stats.n - behind));
	return v > 0 ? v : 0;
}

static __always_inline __u64 slab_stat(struct stats stats)
{
	__s64 v[2] = {0, 0};
	__u64 first = bpf_core_enum_value(enum node_stat_item, NR_SLAB_RECLAIMABLE_B);

	/* Its neighbour is NR_SLAB_UNRECLAIMABLE_B. */
	if (stats.at && first + 2 <= stats.n)
		compat_read(v, stats.at + 8 * first);
	return (v[0] > 0 ? v[0] : 0) + (v[1] > 0 ? v[1] : 0);
}

/* Kernel memory and sockets. Only what this hierarchy counts: each is a line of memory that no cache has. */
__attribute__((noinline)) int add_kernel(void)
{
	struct mem_cgroup *memcg = (void *)css_at(walk.depth);
	struct memcgs_record *r = &records[walk.n & (MEMCGS_LOG - 1)];
	struct stats stats = stats_of(memcg);

	r->slab = slab_stat(stats);
	if (walk.v1) {
		if (bpf_core_field_exists(memcg->kmem))
			r->kernel = BPF_CORE_READ(memcg, kmem.usage.counter);
		if (bpf_core_field_exists(memcg->tcpmem))
			r->sockets = BPF_CORE_READ(memcg, tcpmem.usage.counter);
		return 0;
	}
	if (bpf_core_enum_value_exists(enum memcg_stat_item, MEMCG_KMEM))
		r->kernel = own_stat(stats, bpf_core_enum_value(enum memcg_stat_item, MEMCG_KMEM));
	r->sockets = own_stat(stats, bpf_core_enum_value(enum memcg_stat_item, MEMCG_SOCK));
	return 0;
}

/* Fills the next record with where the walk is. */
__attribute__((noinline)) int record_one(void)
{
	struct cgroup_subsys_state *css = css_at(walk.depth);
	struct mem_cgroup *memcg = (void *)css;
	struct memcgs_record *r = &records[walk.n & (MEMCGS_LOG - 1)];
	struct kernfs_node *kn = BPF_CORE_READ(css, cgroup, kn);
	__u32 flags = BPF_CORE_READ(css, flags), node;

	if (flags & COMPAT_CSS_RELEASED)
		return 0;
	r->flags = flags & COMPAT_CSS_DYING ? MEMCGS_DYING : 0;
	r->depth = walk.depth;
	r->id = BPF_CORE_READ(kn, id);
	r->refs = r->flags ? BPF_CORE_READ(css, refcnt.data, count.counter) : 0;
	r->usage = BPF_CORE_READ(memcg, memory.usage.counter);
	r->swap = bpf_core_field_exists(memcg->swap) ? BPF_CORE_READ(memcg, swap.usage.counter) : 0;
	r->kernel = r->sockets = r->slab = 0;
	if (r->flags)
		add_kernel();
	r->anon = 0;
	r->file = 0;
	r->unevictable = 0;
	for (node = 0; node < MEMCGS_NODES; node++) {
		if (node >= walk.nodes)
			break;
		add_node(node);
	}
	if (bpf_probe_read_kernel_str(r->name, sizeof(r->name), BPF_CORE_READ(kn, name)) < 0)
		r->name[0] = '\0';
	walk.n++;
	return 0;
}

/* --- the way ---------------------------------------------------------------------------------------------------------- */

/* To the next sibling (returns 1), or up to the parent (0), or nowhere: at the root the walk is done (1). */
__attribute__((noinline)) int climb_one(void)
{
	__u32 depth = walk.depth;
	__u64 next;

	if (depth == 0) {
		walk.done = 1;
		return 1;
	}
	next = next_sibling(css_at(depth), css_at(depth - 1));
	if (next) {
		go_to(next, depth);
		return 1;
	}
	walk.depth = depth - 1;
	return 0;
}

static __always_inline void climb(void)
{
	__u32 i;

	for (i = 0; i < MEMCGS_DEPTH; i++)
		if (climb_one())
			break;
	if (walk.depth < walk.skip_depth)
		walk.skip_depth = 0;
}

/* Looks at one memory cgroup and goes to the next. Returns 1 at the end. */
__attribute__((noinline)) int walk_one(void)
{
	__u32 depth = walk.depth;
	__u64 child;

	if (walk.done)
		return 1;
	if (depth == walk.skip_depth && depth) {
		if (walk.path[depth & (MEMCGS_DEPTH - 1)].serial <= walk.skip_serial) {
			climb();
			return 0;
		}
		walk.skip_depth = 0;
	}
	record_one();
	child = first_child(css_at(depth));
	if (child && depth + 1 < MEMCGS_DEPTH) {
		go_to(child, depth + 1);
		return 0;
	}
	walk.too_deep += !!child;
	climb();
	return 0;
}

/* Whether the css on the path is still the same one, and on its parent's list. */
static __always_inline bool still_there(__u32 depth)
{
	const struct memcgs_at *at = &walk.path[depth & (MEMCGS_DEPTH - 1)];
	struct cgroup_subsys_state *css = (void *)at->css;

	return (__u64)BPF_CORE_READ(css, ss) == walk.memory &&
	       BPF_CORE_READ(css, serial_nr) == at->serial &&
	       !(BPF_CORE_READ(css, flags) & COMPAT_CSS_RELEASED);
}

/* Where the walk is, is gone: goes to the parent's first child, to skip what was seen. Returns 0 when that is gone too. */
__attribute__((noinline)) int return_one(void)
{
	__u32 depth = walk.depth;
	__u64 serial = walk.path[depth & (MEMCGS_DEPTH - 1)].serial, child;

	if (depth == 0) {
		walk.done = 2;
		return 1;
	}
	if (!still_there(depth - 1)) {
		walk.depth = depth - 1;
		return 0;
	}
	/* Not yet through with what is to be skipped: that goes further than where it was. */
	if (walk.skip_depth != depth || walk.skip_serial < serial)
		walk.skip_serial = serial;
	walk.skip_depth = depth;
	child = first_child(css_at(depth - 1));
	if (child) {
		go_to(child, depth);
		return 1;
	}
	walk.depth = depth - 1;
	climb();
	return 1;
}

static __always_inline void find_back(void)
{
	__u32 i;

	if (still_there(walk.depth))
		return;
	walk.resumed++;
	for (i = 0; i < MEMCGS_DEPTH; i++)
		if (return_one())
			break;
}

/* From the caller's memory cgroup up to the root. */
static __always_inline void begin(void)
{
	struct cgroup_subsys_state *css = compat_memory_css(), *parent;
	__u32 i;

	walk.begun = 1;
	walk.memory = (__u64)BPF_CORE_READ(css, ss);
	for (i = 0; i < MEMCGS_DEPTH; i++) {
		parent = BPF_CORE_READ(css, parent);
		if (!parent)
			break;
		css = parent;
	}
	if (css)
		go_to((__u64)css, 0);
	else
		walk.done = 2;
}

SEC("raw_tp")
int memcgs_walk(BPF_CTX)
{
	__u32 i;

	if (!walk.begun)
		begin();
	else
		find_back();
	for (i = 0; i < MEMCGS_LOG; i++)
		if (i >= walk.steps || walk_one())
			break;
	return 0;
}
