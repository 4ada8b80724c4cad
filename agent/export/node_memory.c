/* SPDX-License-Identifier: Apache-2.0 */
/* The node: where its memory went, what reclaim did, how many memory cgroups there are. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "export/families.h"
#include "identity/cgroup_tree.h"
#include "instruments/keyvalue.h"
#include "instruments/memcgs.h"
#include "instruments/meminfo.h"

#define FILE_MAX ((size_t)64 << 10)

/* Counters of /proc/vmstat that say what memory pressure did. */
static const struct {
	const char *key, *name, *help;
} vm_counters[] = {
	{"pgscan_direct", "memdiag_node_pages_scanned_direct_total",
	 "Pages scanned by direct reclaim of the node."},
	{"pgscan_kswapd", "memdiag_node_pages_scanned_kswapd_total", "Pages scanned by kswapd."},
	{"pgsteal_direct", "memdiag_node_pages_reclaimed_direct_total",
	 "Pages reclaimed by direct reclaim of the node."},
	{"pgsteal_kswapd", "memdiag_node_pages_reclaimed_kswapd_total",
	 "Pages reclaimed by kswapd."},
	{"compact_stall", "memdiag_node_compaction_stalls_total", "Direct compactions."},
	{"compact_fail", "memdiag_node_compaction_failures_total",
	 "Direct compactions without success."},
	{"oom_kill", "memdiag_node_oom_kills_total", "Processes killed for want of memory."},
};

static void put_lines(const struct meminfo *info, struct exposition *e)
{
	struct memory_line lines[MEMORY_LINES_MAX];
	size_t n = meminfo_lines(info, lines);

	exposition_family(e, "memdiag_node_memory_bytes", EXPOSITION_GAUGE,
			  "Memory of the node by use; all parts add up to its total.");
	for (size_t i = 0; i < n; i++) {
		const struct label labels[] = {{"part", lines[i].name}, {"group", lines[i].group}};

		exposition_i64(e, labels, ARRAY_SIZE(labels), lines[i].bytes);
	}
	exposition_family(e, "memdiag_node_memory_total_bytes", EXPOSITION_GAUGE, "MemTotal.");
	exposition_u64(e, NULL, 0, info->total);
	exposition_family(e, "memdiag_node_memory_available_bytes", EXPOSITION_GAUGE,
			  "MemAvailable.");
	exposition_u64(e, NULL, 0, info->available);
}

static void put_vmstat(const struct reading *reading, struct exposition *e)
{
	const char *keys[ARRAY_SIZE(vm_counters)];
	uint64_t values[ARRAY_SIZE(vm_counters)], present;

	for (size_t i = 0; i < ARRAY_SIZE(vm_counters); i++)
		keys[i] = vm_counters[i].key;
	present = reading_vmstat(reading, keys, ARRAY_SIZE(keys), values);
	for (size_t i = 0; i < ARRAY_SIZE(vm_counters); i++) {
		if (!(present & 1ULL << i))
			continue;
		exposition_family(e, vm_counters[i].name, EXPOSITION_COUNTER, vm_counters[i].help);
		exposition_u64(e, NULL, 0, values[i]);
	}
}

/* v2's root says itself how many are below it; a kernel since 6.12 tells the memory controller's own apart. */
static void count_v2(struct reading *reading)
{
	struct {
		uint64_t live, dying, live_memory, dying_memory;
	} counts = {0};
	static const struct keyvalue_field fields[] = {
		{"nr_descendants", 0, 1, false},
		{"nr_dying_descendants", 8, 1, false},
		{"nr_subsys_memory", 16, 1, false},
		{"nr_dying_subsys_memory", 24, 1, false},
	};
	_cleanup_buf_ struct buf text = BUF_INIT(FILE_MAX);
	uint64_t present = 0;

	if (root_read(&reading->host->cgroups.memory, "cgroup.stat", &text, NULL) < 0 || !text.data)
		return;
	keyvalue_parse(text.data, "cgroup.stat", fields, ARRAY_SIZE(fields), &counts, &present,
		       NULL);
	if ((present & 3) != 3)
		return;
	/* The root is none of its own descendants. */
	reading->live_cgroups = (present & 4 ? counts.live_memory : counts.live + 1);
	reading->dying_cgroups = present & 8 ? counts.dying_memory : counts.dying;
}

static void count_v1(struct reading *reading)
{
	struct cgroup_tree *tree;
	uint64_t all;

	if (memcgs_kernel_count(&reading->host->proc, &all, NULL) < 0 || all == UINT64_MAX ||
	    cgroup_tree_read(&reading->host->cgroups, &tree, NULL) < 0)
		return;
	reading->live_cgroups = tree->n + tree->dropped;
	reading->dying_cgroups = all > reading->live_cgroups ? all - reading->live_cgroups : 0;
	cgroup_tree_free(tree);
}

void export_count_cgroups(struct reading *reading)
{
	reading->live_cgroups = reading->dying_cgroups = UINT64_MAX;
	if (reading->host->cgroups.mode == CGROUP_V2)
		count_v2(reading);
	else if (reading->host->cgroups.mode != CGROUP_NONE)
		count_v1(reading);
}

static void put_cgroups(const struct reading *reading, struct exposition *e)
{
	static const struct label live = {"state", "live"}, dying = {"state", "dying"};

	if (reading->dying_cgroups == UINT64_MAX)
		return;
	exposition_family(
		e, "memdiag_node_memory_cgroups", EXPOSITION_GAUGE,
		"Memory cgroups; dying ones are removed but pinned by what is charged to them.");
	exposition_u64(e, &live, 1, reading->live_cgroups);
	exposition_u64(e, &dying, 1, reading->dying_cgroups);
}

void export_node_memory(struct reading *reading, struct exposition *e)
{
	if (reading->meminfo)
		put_lines(reading->meminfo, e);
	put_vmstat(reading, e);
	if (reading->host->cgroups.mode == CGROUP_V2)
		export_count_cgroups(reading);
	put_cgroups(reading, e);
}
