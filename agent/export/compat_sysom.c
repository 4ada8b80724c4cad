/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of SysOM's exporter, so that dashboards which ask for them keep working; here those of the node's memory. Cumulative
 * values are counters here, where the original calls nearly all of them gauges, and some it gives as what was added since it
 * looked last. Left out:
 *
 * - sysom_container_memory_filecache: files and their paths are what the check PageCache is for, not labels.
 * - sysom_container_memory_allocpage, memory of a pod's TCP sockets: cgroup v1 counts it below a limit only.
 * - sysom_container_cpu_acctstat: a share since the reading before, for which each container would have to be remembered;
 *   cAdvisor's container_cpu_usage_seconds_total has what it is made of.
 * - sysom_container_proc_stat: of cpuacct.proc_stat, which Alibaba's kernels alone have.
 * - Of sysom_proc_meminfo kernel_reserved, which no counter has, and user_huge_2M and user_huge_1G: user_used has huge pages.
 * - Of sysom_cpu_dist us1, us10, us100: waits below 1 ms are not told apart, and are all in ms1.
 * - Of sched_moni_jitter gt50ms: 50 ms is no edge of our histograms.
 */
#include "export/compat_sysom.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "instruments/pressure.h"

void sysom_put(struct exposition *e, const char *type, uint64_t value)
{
	const struct label label = {"type", type};

	exposition_u64(e, &label, 1, value);
}

uint64_t sysom_count(const struct hist *hist, const struct sysom_class *class)
{
	uint64_t below = class->above_us ? hist_count_le(hist, class->above_us) : 0;

	return hist_count_le(hist, class->up_to_us) - below;
}

#define RAW(name, member)                              \
	{                                              \
		name, offsetof(struct meminfo, member) \
	}

/* As /proc/meminfo itself has them. */
static const struct {
	const char *type;
	size_t offset;
} raw_fields[] = {
	RAW("MemFree", free),
	RAW("MemAvailable", available),
	RAW("Buffers", buffers),
	RAW("Cached", cached),
	RAW("SwapCached", swap_cached),
	RAW("AnonPages", anon_pages),
	RAW("Shmem", shmem),
	RAW("Slab", slab),
	RAW("SReclaimable", s_reclaimable),
	RAW("SUnreclaim", s_unreclaim),
	RAW("PageTables", page_tables),
	RAW("KernelStack", kernel_stack),
	RAW("VmallocUsed", vmalloc_used),
	RAW("Percpu", percpu),
	RAW("Dirty", dirty),
	RAW("Writeback", writeback),
	RAW("SwapTotal", swap_total),
	RAW("SwapFree", swap_free),
};

/* In KiB, as /proc/meminfo has them. */
static void put_meminfo(const struct meminfo *m, struct exposition *e)
{
	uint64_t user = m->anon_pages + m->cached + m->buffers + m->hugetlb;
	uint64_t kernel = m->slab + m->kernel_stack + m->page_tables + m->vmalloc_used;
	/* As the original reckons what no counter has: without the per-CPU lists' term, so it is larger than our residual. */
	uint64_t known = m->free + user + kernel, pages = m->total > known ? m->total - known : 0;

	exposition_family(e, "sysom_proc_meminfo", EXPOSITION_GAUGE, "As SysOM names it; KiB.");
	sysom_put(e, "user_anon", m->anon_pages / 1024);
	sysom_put(e, "user_filecache", (m->cached - (m->shmem < m->cached ? m->shmem : 0)) / 1024);
	sysom_put(e, "user_buffers", m->buffers / 1024);
	sysom_put(e, "user_mlock", m->mlocked / 1024);
	sysom_put(e, "user_shmem", m->shmem / 1024);
	sysom_put(e, "user_used", user / 1024);
	sysom_put(e, "kernel_used", (kernel + pages) / 1024);
	sysom_put(e, "alloc_page", pages / 1024);
	sysom_put(e, "total", m->total / 1024);
	for (size_t i = 0; i < ARRAY_SIZE(raw_fields); i++) {
		uint64_t bytes;

		memcpy(&bytes, (const char *)m + raw_fields[i].offset, sizeof(bytes));
		sysom_put(e, raw_fields[i].type, bytes / 1024);
	}
}

/* What a kernel does not have is left out. */
static void put_vmstat(const struct reading *reading, struct exposition *e)
{
	static const char *const keys[] = {
		"pgscan_direct",
		"pgscan_kswapd",
		"pgscan_direct_throttle",
		"pgsteal_direct",
		"pgsteal_kswapd",
		"compact_stall",
		"compact_success",
		"compact_fail",
		"pswpin",
		"pswpout",
		"pgfault",
		"pgmajfault",
		"oom_kill",
		"thp_fault_alloc",
		"thp_fault_fallback",
		"thp_collapse_alloc",
		"thp_collapse_alloc_failed",
		"thp_split_page",
		"thp_split_pmd",
	};
	uint64_t values[ARRAY_SIZE(keys)], present;

	_Static_assert(ARRAY_SIZE(keys) <= READING_VMSTAT_KEYS, "one pass");
	if (!reading->vmstat)
		return;
	exposition_family(e, "sysom_proc_vmstat", EXPOSITION_COUNTER, "As SysOM names it.");
	present = reading_vmstat(reading, keys, ARRAY_SIZE(keys), values);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		if (present & 1ULL << i)
			sysom_put(e, keys[i], values[i]);
	}
}

/* Of all zones and nodes; the original has those of one zone, of the first node. */
static void put_buddyinfo(const struct reading *reading, struct exposition *e)
{
	struct pressure_zones zones;

	pressure_read_blocks(&reading->host->proc, &zones, NULL);
	if (zones.orders == 0)
		return;
	exposition_family(e, "sysom_proc_buddyinfo", EXPOSITION_GAUGE,
			  "As SysOM names it; free blocks by order, of all zones.");
	for (size_t order = 0; order < zones.orders; order++) {
		char type[32];

		(void)snprintf(type, sizeof(type), "buddyinfo%zu", order);
		sysom_put(e, type, zones.free_blocks[order]);
	}
}

static void put_cgroups(const struct reading *reading, struct exposition *e)
{
	if (reading->dying_cgroups == UINT64_MAX)
		return;
	exposition_family(e, "sysom_cgroups", EXPOSITION_GAUGE, "As SysOM names it.");
	sysom_put(e, "memory", reading->live_cgroups + reading->dying_cgroups);
}

void sysom_memory(struct reading *reading, struct exposition *e)
{
	if (reading->meminfo)
		put_meminfo(reading->meminfo, e);
	put_vmstat(reading, e);
	put_buddyinfo(reading, e);
	put_cgroups(reading, e);
}

void export_sysom(struct reading *reading, struct exposition *e)
{
	sysom_memory(reading, e);
	sysom_cpu(reading, e);
	sysom_containers(reading, e);
}
