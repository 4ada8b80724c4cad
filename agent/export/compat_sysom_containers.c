/* SPDX-License-Identifier: Apache-2.0 */
/* SysOM's names: pods' containers. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "export/compat_sysom.h"
#include "instruments/cgroupfs.h"
#include "instruments/cpu_quota.h"

/* The original's latency buckets. */
static const struct sysom_class buckets[] = {
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
		char type[64];

		(void)snprintf(type, sizeof(type), "%s_%s", prefix, buckets[i].type);
		labels[CONTAINER_LABELS] = (struct label){"type", type};
		exposition_u64(e, labels, CONTAINER_LABELS + 1, sysom_count(hist, &buckets[i]));
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

/* Whatever the cause: who is out of quota waits as well. */
static void put_waits(struct reading *reading, struct exposition *e)
{
	const struct latency_snapshot *waits = reading->run_queue ? reading->run_queue->waits
								  : NULL;
	const uint32_t all = 1u << RUNQUEUE_CONTENTION | 1u << RUNQUEUE_THROTTLED;

	put_latency(reading, waits, all, "sysom_container_cpuacct_wait_latency", "wait_lat", e);
}

static void put_container(const struct pod_cgroup *item, const char *type, uint64_t value,
			  struct exposition *e)
{
	struct label labels[CONTAINER_LABELS + 1];

	if (value == UINT64_MAX || !container_labels(item, labels))
		return;
	labels[CONTAINER_LABELS] = (struct label){"type", type};
	exposition_u64(e, labels, CONTAINER_LABELS + 1, value);
}

#define STAT(name, member)                                 \
	{                                                  \
		name, offsetof(struct cgroup_stat, member) \
	}

static const struct {
	const char *type;
	size_t offset;
} memory_stats[] = {
	STAT("cache", cache),
	STAT("rss", anon),
	STAT("shmem", shmem),
	STAT("inactive_anon", inactive_anon),
	STAT("active_anon", active_anon),
	STAT("inactive_file", inactive_file),
	STAT("active_file", active_file),
	STAT("usage", usage),
	STAT("limit", limit),
};

static void put_memory(const struct reading *reading, struct exposition *e)
{
	exposition_family(e, "sysom_container_memory_stat", EXPOSITION_GAUGE,
			  "As SysOM names it; bytes.");
	for (size_t i = 0; i < reading->n_containers; i++) {
		const struct container_memory *row = &reading->containers[i];

		for (size_t k = 0; k < ARRAY_SIZE(memory_stats); k++) {
			uint64_t value;

			memcpy(&value, (const char *)&row->stat + memory_stats[k].offset,
			       sizeof(value));
			put_container(row->item, memory_stats[k].type, value, e);
		}
	}
}

static void put_events(const struct reading *reading, struct exposition *e)
{
	struct cgroup_events *events = xcalloc(reading->n_containers + 1, sizeof(*events));

	for (size_t i = 0; i < reading->n_containers; i++)
		cgroupfs_events(&reading->host->cgroups, reading->containers[i].item->cgroup,
				&events[i]);
	exposition_family(e, "sysom_container_memory_failcnt", EXPOSITION_COUNTER,
			  "As SysOM names it; memory.failcnt, of cgroup v2 max in memory.events.");
	for (size_t i = 0; i < reading->n_containers; i++)
		put_container(reading->containers[i].item, "fail_cnt", events[i].at_limit, e);
	exposition_family(e, "sysom_container_memory_oomcnt", EXPOSITION_COUNTER,
			  "As SysOM names it; processes killed for want of memory.");
	for (size_t i = 0; i < reading->n_containers; i++)
		put_container(reading->containers[i].item, "oom_kill", events[i].oom_kills, e);
	free(events);
}

/* A container whose cgroup is gone from the cpu controller. */
#define NO_CPU UINT64_MAX

static void put_cpu_stat(const struct reading *reading, const struct cpu_quota *quotas,
			 struct exposition *e)
{
	exposition_family(e, "sysom_container_cpu_stat", EXPOSITION_COUNTER,
			  "As SysOM names it; throttled_time in ns.");
	for (size_t i = 0; i < reading->n_containers; i++) {
		const struct pod_cgroup *item = reading->containers[i].item;

		if (quotas[i].periods == NO_CPU)
			continue;
		put_container(item, "nr_periods", quotas[i].periods, e);
		put_container(item, "nr_throttled", quotas[i].throttled, e);
		put_container(item, "throttled_time", quotas[i].throttled_ns, e);
	}
}

/* A container without a quota has no series here; the original has -1 and all CPUs. */
static void put_cpu_quota(const struct reading *reading, const struct cpu_quota *quotas,
			  struct exposition *e)
{
	exposition_family(e, "sysom_container_cpu_cfsquota", EXPOSITION_GAUGE,
			  "As SysOM names it; quota_ratio is percent of one CPU.");
	for (size_t i = 0; i < reading->n_containers; i++) {
		const struct pod_cgroup *item = reading->containers[i].item;
		struct label labels[CONTAINER_LABELS + 1];

		if (quotas[i].quota_us == 0 || !container_labels(item, labels))
			continue;
		put_container(item, "quota_us", quotas[i].quota_us, e);
		put_container(item, "period_us", quotas[i].period_us, e);
		labels[CONTAINER_LABELS] = (struct label){"type", "quota_ratio"};
		exposition_milli(e, labels, CONTAINER_LABELS + 1,
				 num_muldiv(quotas[i].quota_us, 100000, quotas[i].period_us));
	}
}

static void put_cpu(const struct reading *reading, struct exposition *e)
{
	struct cpu_cgroups cpu = CPU_CGROUPS_INIT;
	struct cpu_quota *quotas;

	if (cpu_cgroups_open(&reading->host->cgroups, &cpu, NULL) < 0)
		return;
	quotas = xcalloc(reading->n_containers + 1, sizeof(*quotas));
	for (size_t i = 0; i < reading->n_containers; i++) {
		if (cpu_quota_read(&cpu, reading->containers[i].item->cgroup, &quotas[i], NULL) < 0)
			quotas[i] = (struct cpu_quota){.periods = NO_CPU};
	}
	put_cpu_stat(reading, quotas, e);
	put_cpu_quota(reading, quotas, e);
	free(quotas);
	cpu_cgroups_close(&cpu);
}

void sysom_containers(struct reading *reading, struct exposition *e)
{
	put_reclaim(reading, e);
	put_compaction(reading, e);
	put_waits(reading, e);
	if (reading->n_containers == 0)
		return;
	put_memory(reading, e);
	put_events(reading, e);
	put_cpu(reading, e);
}
