/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and buckets of SysOM's exporter, so that dashboards which ask for them keep working. Cumulative values are counters
 * here, where the original calls nearly all of them gauges. What it made labels of and we do not: paths of files.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "export/families.h"

#define FILE_MAX ((size_t)4 << 20)

/* The original's latency buckets: each counts alone, upper bounds in microseconds. */
static const struct {
	const char *suffix;
	uint64_t above_us, up_to_us;
} buckets[] = {
	{"0to1ms", 0, 1000},
	{"1to5ms", 1000, 5000},
	{"5to10ms", 5000, 10000},
	{"10to100ms", 10000, 100000},
	{"100to500ms", 100000, 500000},
	{"500to1000ms", 500000, 1000000},
	{"1000ms", 1000000, UINT64_MAX},
	{"total", 0, UINT64_MAX},
};

static void put_buckets(struct exposition *e, struct label labels[CONTAINER_LABELS + 1],
			const char *prefix, const struct hist *hist)
{
	for (size_t i = 0; i < ARRAY_SIZE(buckets); i++) {
		uint64_t below = buckets[i].above_us ? hist_count_le(hist, buckets[i].above_us) : 0;
		char type[64];

		(void)snprintf(type, sizeof(type), "%s_%s", prefix, buckets[i].suffix);
		labels[CONTAINER_LABELS] = (struct label){"type", type};
		exposition_u64(e, labels, CONTAINER_LABELS + 1,
			       hist_count_le(hist, buckets[i].up_to_us) - below);
	}
}

/* One family of all containers: those causes of the capture that are bits of `causes`, added up. */
static void put_latency(struct reading *reading, const struct latency_snapshot *snapshot,
			uint32_t causes, const char *name, const char *prefix, struct exposition *e)
{
	struct container_row *rows;
	size_t n;

	if (!snapshot)
		return;
	rows = container_rows(reading, snapshot, &n);
	exposition_family(e, name, EXPOSITION_COUNTER, "As SysOM names it; counts by latency.");
	for (size_t i = 0; i < n;) {
		const struct pod_cgroup *item = rows[i].item;
		struct label labels[CONTAINER_LABELS + 1];
		struct hist sum = {0};

		/* Rows of a container stand together. */
		for (; i < n && strcmp(rows[i].item->ns, item->ns) == 0 &&
		       strcmp(rows[i].item->pod, item->pod) == 0 &&
		       strcmp(rows[i].item->container, item->container) == 0;
		     i++) {
			if (causes & 1u << rows[i].cause)
				hist_add(&sum, &rows[i].hist);
		}
		if (container_labels(item, labels))
			put_buckets(e, labels, prefix, &sum);
	}
	free(rows);
}

static void put_reclaim(struct reading *reading, struct exposition *e)
{
	const struct latency_snapshot *reclaim = reading->reclaim ? reading->reclaim->latency
								  : NULL;
	const uint32_t global = 1u << RECLAIM_GLOBAL | 1u << RECLAIM_NODE;
	const uint32_t memcg = 1u << RECLAIM_LIMIT | 1u << RECLAIM_HIGH;

	put_latency(reading, reclaim, memcg | global, "sysom_container_memory_cdrcm_latency",
		    "memDrcm_lat", e);
	put_latency(reading, reclaim, global, "sysom_container_memory_gdrcm_latency",
		    "memDrcm_glb_lat", e);
}

static void put_compaction(struct reading *reading, struct exposition *e)
{
	const uint32_t direct = 1u << COMPACTION_SUCCESS | 1u << COMPACTION_FAILURE;

	put_latency(reading, reading->compaction, direct, "sysom_container_memory_cpt_latency",
		    "memDcmp_lat", e);
}

static void put_typed(struct exposition *e, const char *type, uint64_t value)
{
	const struct label label = {"type", type};

	exposition_u64(e, &label, 1, value);
}

/* In KiB, as /proc/meminfo has them. */
static void put_meminfo(const struct reading *reading, struct exposition *e)
{
	struct meminfo m;
	uint64_t user, pages, kernel;

	if (!reading->meminfo)
		return;
	m = *reading->meminfo;
	user = m.anon_pages + m.cached + m.buffers + m.hugetlb;
	kernel = m.slab + m.kernel_stack + m.page_tables + m.vmalloc_used;
	/* As the original reckons what no counter has: without the per-CPU lists' term, so it is larger than our residual. */
	pages = m.total > m.free + user + kernel ? m.total - m.free - user - kernel : 0;
	exposition_family(e, "sysom_proc_meminfo", EXPOSITION_GAUGE, "As SysOM names it; KiB.");
	put_typed(e, "user_anon", m.anon_pages / 1024);
	put_typed(e, "user_filecache", (m.cached - (m.shmem < m.cached ? m.shmem : 0)) / 1024);
	put_typed(e, "user_buffers", m.buffers / 1024);
	put_typed(e, "user_shmem", m.shmem / 1024);
	put_typed(e, "user_used", user / 1024);
	put_typed(e, "kernel_used", (kernel + pages) / 1024);
	put_typed(e, "alloc_page", pages / 1024);
	put_typed(e, "total", m.total / 1024);
	put_typed(e, "MemFree", m.free / 1024);
	put_typed(e, "MemAvailable", m.available / 1024);
	put_typed(e, "Slab", m.slab / 1024);
	put_typed(e, "SReclaimable", m.s_reclaimable / 1024);
	put_typed(e, "SUnreclaim", m.s_unreclaim / 1024);
	put_typed(e, "PageTables", m.page_tables / 1024);
	put_typed(e, "KernelStack", m.kernel_stack / 1024);
	put_typed(e, "VmallocUsed", m.vmalloc_used / 1024);
	put_typed(e, "Dirty", m.dirty / 1024);
}

static void put_vmstat(const struct reading *reading, struct exposition *e)
{
	static const char *const keys[] = {
		"pgscan_direct",   "pgscan_kswapd",  "pgscan_direct_throttle",
		"pgsteal_direct",  "pgsteal_kswapd", "compact_stall",
		"compact_success", "compact_fail",   "pswpin",
		"pswpout",	   "pgfault",	     "pgmajfault",
		"oom_kill",	   "thp_fault_alloc"};

	if (!reading->vmstat)
		return;
	exposition_family(e, "sysom_proc_vmstat", EXPOSITION_COUNTER, "As SysOM names it.");
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		uint64_t value;

		if (reading_vmstat(reading, keys[i], &value))
			put_typed(e, keys[i], value);
	}
}

/* "cpu0 0 0 0 0 0 0 RUN_NS DELAY_NS PCOUNT": the eighth and ninth number since version 15 of the file (2.6.30). */
static void put_cpu(struct exposition *e, char *line)
{
	const char *cpu = strsep(&line, " "), *word = NULL;
	uint64_t delay, count;

	for (int i = 0; i < 8 && line; i++)
		word = strsep(&line, " ");
	if (!word || !line || num_u64(word, 0, UINT64_MAX, &delay) < 0 ||
	    num_u64(strsep(&line, " "), 0, UINT64_MAX, &count) < 0)
		return;
	for (int i = 0; i < 2; i++) {
		const struct label labels[] = {{"cpu", cpu}, {"type", i ? "pcount" : "delay"}};

		exposition_u64(e, labels, ARRAY_SIZE(labels), i ? count : delay);
	}
}

static void put_schedstat(const struct root *proc, struct exposition *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT(FILE_MAX);
	char *rest, *line;

	if (root_read(proc, "schedstat", &text, NULL) < 0 || !text.data)
		return;
	exposition_family(e, "sysom_proc_schedstat", EXPOSITION_COUNTER,
			  "As SysOM names it; delay in ns. WaitOnRunq is delay by pcount.");
	rest = text.data;
	while ((line = strsep(&rest, "\n"))) {
		if (strncmp(line, "cpu", 3) == 0)
			put_cpu(e, line);
	}
}

/* Counts above a length, of one kind of stall. */
static void put_jitter(struct exposition *e, const char *mod, const struct hist *hist)
{
	static const struct {
		const char *type;
		uint64_t above_us;
	} lengths[] = {{"dltnum", 0}, {"gt100ms", 100000}, {"gt500ms", 500000}, {"gt1s", 1000000}};

	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		const struct label labels[] = {{"mod", mod}, {"type", lengths[i].type}};
		uint64_t below = lengths[i].above_us ? hist_count_le(hist, lengths[i].above_us) : 0;

		exposition_u64(e, labels, ARRAY_SIZE(labels),
			       hist_count_le(hist, UINT64_MAX) - below);
	}
}

static void put_stalls(const struct reading *reading, struct exposition *e)
{
	static const char *const mods[STALLS_KINDS] = {
		[STALLS_NO_SCHED] = "noschd",
		[STALLS_IRQ_OFF] = "irqoff",
	};
	struct hist sums[STALLS_KINDS] = {{0}};

	if (!reading->stalls)
		return;
	for (size_t i = 0; i < reading->stalls->waits->n; i++) {
		const struct latency_row *row = &reading->stalls->waits->rows[i];

		if (row->cause < STALLS_KINDS)
			hist_add(&sums[row->cause], &row->hist);
	}
	exposition_family(e, "sched_moni_jitter", EXPOSITION_COUNTER,
			  "As SysOM names it; CPUs kept from others for 10 ms and more.");
	for (int kind = 0; kind < STALLS_KINDS; kind++)
		put_jitter(e, mods[kind], &sums[kind]);
}

static void put_cgroups(const struct reading *reading, struct exposition *e)
{
	if (reading->dying_cgroups == UINT64_MAX)
		return;
	exposition_family(e, "sysom_cgroups", EXPOSITION_GAUGE, "As SysOM names it.");
	put_typed(e, "memory", reading->live_cgroups + reading->dying_cgroups);
}

void export_sysom(struct reading *reading, struct exposition *e)
{
	const struct root *proc = &reading->host->proc;

	put_meminfo(reading, e);
	put_vmstat(reading, e);
	put_schedstat(proc, e);
	put_cgroups(reading, e);
	put_reclaim(reading, e);
	put_compaction(reading, e);
	put_stalls(reading, e);
}
