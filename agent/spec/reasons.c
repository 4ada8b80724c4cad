/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/reasons.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

static const struct reason reasons[] = {
	{
		.name = "PageCacheHigh",
		.units = THRESHOLD_PERMILLE | THRESHOLD_BYTES,
		.of = "the cgroup's memory limit, or the node's memory when it has none",
		.warning = {THRESHOLD_PERMILLE, 200},
		.critical = {THRESHOLD_PERMILLE, 500},
	},
	{
		/* Half of the page cache limits: without swap nothing of it can be reclaimed. */
		.name = "SharedMemoryHigh",
		.units = THRESHOLD_PERMILLE | THRESHOLD_BYTES,
		.of = "the cgroup's memory limit, or the node's memory when it has none",
		.warning = {THRESHOLD_PERMILLE, 100},
		.critical = {THRESHOLD_PERMILLE, 250},
	},
	{
		.name = "CgroupLeak",
		.units = THRESHOLD_COUNT,
		.of = "memory cgroups that are removed but pinned",
		.warning = {THRESHOLD_COUNT, 100},
		.critical = {THRESHOLD_COUNT, 1000},
	},
	/*
	 * What an idle node leaves unexplained is below 0.1 % of its memory, and only what has no owner, or one container
	 * holds, is compared: so a limit may be far below the tenth that estimates from meminfo alone need.
	 */
	{
		.name = "InvisibleMemory",
		.units = THRESHOLD_PERMILLE | THRESHOLD_BYTES,
		.of = "the node's memory",
		.warning = {THRESHOLD_PERMILLE, 30},
		.critical = {THRESHOLD_PERMILLE, 100},
	},
	/* Of the node, as the buffers of network devices and per-CPU counters grow with it; 48 MiB on 24 GiB. Below 16 MiB: never. */
	{
		.name = "InvisibleMemoryGrowth",
		.units = THRESHOLD_PERMILLE | THRESHOLD_BYTES,
		.of = "the node's memory, within the window",
		.warning = {THRESHOLD_PERMILLE, 2},
		.critical = {THRESHOLD_PERMILLE, 20},
	},
	/*
	 * Waits as a share of the window, so that its length does not matter: one thread that waits for a twentieth of its
	 * time has lost what p95 is about. Limits are the container's own doing; the node's reclaim and compaction hit those
	 * who did nothing, hence less. memory.high is meant to slow down, hence more.
	 */
	{
		.name = "LimitReclaimStalls",
		.units = THRESHOLD_PERMILLE | THRESHOLD_MICROS,
		.of = "the window, in which a container's threads waited for reclaim at a limit; a "
		      "duration: its longest wait",
		.warning = {THRESHOLD_PERMILLE, 50},
		.critical = {THRESHOLD_PERMILLE, 200},
	},
	{
		.name = "GlobalReclaimStalls",
		.units = THRESHOLD_PERMILLE | THRESHOLD_MICROS,
		.of = "the window, in which threads waited for reclaim because the node was short "
		      "of memory; a duration: the longest wait",
		.warning = {THRESHOLD_PERMILLE, 20},
		.critical = {THRESHOLD_PERMILLE, 100},
	},
	{
		.name = "HighReclaimStalls",
		.units = THRESHOLD_PERMILLE | THRESHOLD_MICROS,
		.of = "the window, in which a container's threads waited for reclaim above "
		      "memory.high; a duration: its longest wait",
		.warning = {THRESHOLD_PERMILLE, 100},
		.critical = {THRESHOLD_PERMILLE, 500},
	},
	{
		.name = "CompactionStalls",
		.units = THRESHOLD_PERMILLE | THRESHOLD_MICROS,
		.of = "the window, in which threads waited for compaction; a duration: the longest "
		      "wait",
		.warning = {THRESHOLD_PERMILLE, 20},
		.critical = {THRESHOLD_PERMILLE, 100},
	},
	/*
	 * Names and inodes can be reclaimed, but only by walking long lists under locks: as much as shared memory may be. A
	 * million negative dentries take some 190 MiB and are far more than any working set asks for twice; with ten millions
	 * in one directory, removing or listing it holds its lock for seconds.
	 */
	{
		.name = "DentryCacheHigh",
		.units = THRESHOLD_PERMILLE | THRESHOLD_BYTES,
		.of = "the node's memory, by cached names of files and their inodes",
		.warning = {THRESHOLD_PERMILLE, 100},
		.critical = {THRESHOLD_PERMILLE, 250},
	},
	{
		.name = "NegativeDentries",
		.units = THRESHOLD_COUNT,
		.of = "cached names of files that do not exist",
		.warning = {THRESHOLD_COUNT, 1000000},
		.critical = {THRESHOLD_COUNT, 10000000},
	},
	/*
	 * Within the window. A walk of a large tree adds some hundred MiB of names and inodes to a node, and they go under
	 * pressure: a share of the node. What cannot be reclaimed is lost until its owner gives it back, on a large node as
	 * on a small one: bytes. A pod that starts takes a few MiB.
	 */
	{
		.name = "SlabGrowth",
		.units = THRESHOLD_PERMILLE | THRESHOLD_BYTES,
		.of = "the node's memory, by growth of reclaimable kernel objects in the window",
		.warning = {THRESHOLD_PERMILLE, 50},
		.critical = {THRESHOLD_PERMILLE, 150},
	},
	{
		.name = "SlabUnreclaimableGrowth",
		.units = THRESHOLD_PERMILLE | THRESHOLD_BYTES,
		.of = "the node's memory, by growth of unreclaimable kernel objects in the window",
		.warning = {THRESHOLD_BYTES, 32 << 20},
		.critical = {THRESHOLD_BYTES, 256 << 20},
	},
	/*
	 * One thread that is ready to run and has no CPU for a tenth of the time is slower by that. Batch jobs that fill a node wait
	 * so too, and say by it that the node is full.
	 */
	{
		.name = "RunQueueWait",
		.units = THRESHOLD_PERMILLE | THRESHOLD_MICROS,
		.of = "the window, in which a container's threads were ready to run while others "
		      "had the CPU; a duration: its longest wait",
		.warning = {THRESHOLD_PERMILLE, 100},
		.critical = {THRESHOLD_PERMILLE, 500},
	},
	{
		/* A quarter is what the common alert CPUThrottlingHigh takes. */
		.name = "CpuThrottled",
		.units = THRESHOLD_PERMILLE | THRESHOLD_COUNT,
		.of = "the periods of its CPU quota in which a container wanted to run; a count: "
		      "periods in which it was stopped",
		.warning = {THRESHOLD_PERMILLE, 250},
		.critical = {THRESHOLD_PERMILLE, 500},
	},
	/*
	 * 50 ms is felt by who waits for a reply, and longer than what a kernel without preemption does in good order (up to 20
	 * ms were seen when large processes exit); 200 ms is in the range of time-outs between nodes.
	 */
	{
		.name = "SchedulingStall",
		.units = THRESHOLD_PERMILLE | THRESHOLD_MICROS,
		.of = "a duration: the longest time a task kept a CPU from others inside the "
		      "kernel; a share: all of them in the window",
		.warning = {THRESHOLD_MICROS, 50000},
		.critical = {THRESHOLD_MICROS, 200000},
	},
	{
		.name = "IrqOff",
		.units = THRESHOLD_PERMILLE | THRESHOLD_MICROS,
		.of = "a duration: the longest time a CPU took no interrupts; a share: all of them "
		      "in "
		      "the window",
		.warning = {THRESHOLD_MICROS, 20000},
		.critical = {THRESHOLD_MICROS, 100000},
	},
};

const struct reason *reason_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(reasons); i++) {
		if (strcmp(reasons[i].name, name) == 0)
			return &reasons[i];
	}
	return NULL;
}

const char *reason_names(void)
{
	return "PageCacheHigh, SharedMemoryHigh, CgroupLeak, InvisibleMemory, "
	       "InvisibleMemoryGrowth, LimitReclaimStalls, "
	       "GlobalReclaimStalls, "
	       "HighReclaimStalls, CompactionStalls, DentryCacheHigh, NegativeDentries, "
	       "SlabGrowth, SlabUnreclaimableGrowth, "
	       "RunQueueWait, CpuThrottled, SchedulingStall, IrqOff";
}

int threshold_parse(const char *text, struct threshold_value *ret)
{
	static const struct {
		const char *suffix;
		enum threshold_unit unit;
		uint64_t factor, max;
	} forms[] = {
		{"%", THRESHOLD_PERMILLE, 10, 100},
		{"Ki", THRESHOLD_BYTES, 1ULL << 10, 999999999999ULL},
		{"Mi", THRESHOLD_BYTES, 1ULL << 20, 999999999999ULL},
		{"Gi", THRESHOLD_BYTES, 1ULL << 30, 999999999999ULL},
		{"Ti", THRESHOLD_BYTES, 1ULL << 40, 999999999999ULL},
		{"us", THRESHOLD_MICROS, 1, 999999},
		{"ms", THRESHOLD_MICROS, 1000, 999999},
		{"s", THRESHOLD_MICROS, 1000000, 999999},
		{"m", THRESHOLD_MICROS, 60000000, 999999},
		{"", THRESHOLD_BYTES, 1, 999999999999ULL},
	};
	char digits[16] = "";
	size_t n = strspn(text, "0123456789");

	if (n == 0 || n >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, n);
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		uint64_t v;

		if (strcmp(text + n, forms[i].suffix) != 0)
			continue;
		if (num_u64(digits, 0, forms[i].max, &v) < 0)
			return -EINVAL;
		ret->unit = forms[i].unit;
		ret->value = num_muldiv(v, forms[i].factor, 1);
		return 0;
	}
	return -EINVAL;
}
