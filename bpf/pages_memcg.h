/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Part of pages.bpf.c: whether the scan is to log the pages of a memory cgroup.
 *
 * Pages of one memory cgroup follow each other in memory, so most of them have the answer of the page before. For the
 * others a table of verdicts knows nearly every memory cgroup after its first page; only then is the kernel's own memory
 * read, at 0.4 us (18 500 times among 6000 memory cgroups). How often one call may do that is limited: see scan_chunk().
 */
#ifndef MEMDIAG_BPF_PAGES_MEMCG_H
#define MEMDIAG_BPF_PAGES_MEMCG_H

#include "compat/memcg.h"
#include "pages.h"
#include "pages_group.h"

/* Set before the load: without a filter the verifier drops the code of it. */
const volatile bool filter_on = false;
struct pages_filter filter; /* see pages.h */

/* One halving of the search for filter.id. All state is global: the verifier sees one step, not 4096 ways through twelve. */
__attribute__((noinline)) int filter_step(__u32 step)
{
	__u32 at = filter.at + step;

	if (filter.ids[(at - 1) & (PAGES_WANTED - 1)] < filter.id)
		filter.at = at;
	return 0;
}

static __always_inline bool filter_has(__u64 id)
{
	__u32 step;

	filter.id = id;
	filter.at = 0;
	for (step = PAGES_WANTED / 2; step; step /= 2)
		filter_step(step);
	return filter.ids[filter.at & (PAGES_WANTED - 1)] == id;
}

/* Whether pages that point there are wanted. As in user space, what cannot be told counts as charged to none. */
static __always_inline __u32 filter_look_up(__u64 address)
{
	struct mem_cgroup *memcg = memcg_of(address, (void *)filter.memory);

	filter.asked++;
	if (!memcg)
		return filter.none_wanted;
	filter.known++;
	return filter_has(BPF_CORE_READ(memcg, css.cgroup, kn, id));
}

/* Finds the verdict for a page that differs from the one before. */
__attribute__((noinline)) int filter_ask(__u64 address)
{
	__u64 *verdict = &filter.verdicts[address * 0x9e3779b97f4a7c15ULL >> PAGES_VERDICTS_SHIFT];

	filter.last = address;
	if (!address)
		filter.last_wanted = filter.none_wanted;
	else if ((*verdict & ~1ULL) == address)
		filter.last_wanted = *verdict & 1;
	else {
		filter.last_wanted = filter_look_up(address);
		*verdict = address | filter.last_wanted;
	}
	return 0;
}

/* For what a page points to, as compat_page_memcg() says it. */
static __always_inline bool filter_wants(__u64 address)
{
	if (address != filter.last)
		filter_ask(address);
	return filter.last_wanted;
}

static __always_inline void filter_begin(void)
{
	filter.asked = 0;
	filter.memory = (__u64)memcg_subsystem();
}

#endif
