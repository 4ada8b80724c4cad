/* SPDX-License-Identifier: Apache-2.0 */
/* Which columns the lists of each check have on a terminal. */
#include "base/mem.h"
#include "report/render.h"

static const struct column file_columns[] = {
	{"CACHED", "cachedBytes", COLUMN_BYTES, 7},
	{"SIZE", "sizeBytes", COLUMN_BYTES, 7},
	{"DIRTY", "dirtyBytes", COLUMN_BYTES, 7},
	{"FLAGS", NULL, COLUMN_FLAGS, 5},
	{"FILE", NULL, COLUMN_FILE, 0},
	{"CHARGED TO", NULL, COLUMN_CHARGED, 0},
};

static const struct column segment_columns[] = {
	{"MEMORY", "cachedBytes", COLUMN_BYTES, 7}, {"SIZE", "sizeBytes", COLUMN_BYTES, 7},
	{"FLAGS", NULL, COLUMN_FLAGS, 5},	    {"SEGMENT", NULL, COLUMN_FILE, 0},
	{"CHARGED TO", NULL, COLUMN_CHARGED, 0},
};

static const struct column directory_columns[] = {
	{"MEMORY", "bytes", COLUMN_BYTES, 7},
	{"FILES", "files", COLUMN_NUMBER, 8},
	{"DIRECTORY", "path", COLUMN_TEXT, 0},
};

static const struct column cache_cgroup_columns[] = {
	{"CACHED", "bytes", COLUMN_BYTES, 7},		{"SHMEM", "shmemBytes", COLUMN_BYTES, 7},
	{"DIRTY", "dirtyBytes", COLUMN_BYTES, 7},	{"FLAGS", NULL, COLUMN_FLAGS, 5},
	{"CONTAINER OR CGROUP", NULL, COLUMN_OWNER, 0}, {"LARGEST FILE", "topFile", COLUMN_TEXT, 0},
};

static const struct column shmem_cgroup_columns[] = {
	{"MEMORY", "bytes", COLUMN_BYTES, 7},
	{"FLAGS", NULL, COLUMN_FLAGS, 5},
	{"CONTAINER OR CGROUP", NULL, COLUMN_OWNER, 0},
	{"LARGEST SEGMENT", "topFile", COLUMN_TEXT, 0},
};

static const struct column leak_columns[] = {
	{"DYING", "dying", COLUMN_NUMBER, 7},	      {"PINNED", "pinnedBytes", COLUMN_BYTES, 7},
	{"FILES", "fileBytes", COLUMN_BYTES, 7},      {"SHMEM", "shmemBytes", COLUMN_BYTES, 7},
	{"KERNEL", "kernelBytes", COLUMN_BYTES, 7},   {"CONTROLLER", "controller", COLUMN_TEXT, 0},
	{"LARGEST, OR WHERE", NULL, COLUMN_OWNER, 0},
};

static const struct column cause_columns[] = {
	{"COUNT", "count", COLUMN_NUMBER, 8},	{"WAITED", "sumMicros", COLUMN_MICROS, 7},
	{"P99", "p99Micros", COLUMN_MICROS, 7}, {"LONGEST", "maxMicros", COLUMN_MICROS, 7},
	{"CAUSE", "cause", COLUMN_TEXT, 0},
};

static const struct column outlier_columns[] = {
	{"LASTED", "durationMicros", COLUMN_MICROS, 7},
	{"CAUSE", "cause", COLUMN_TEXT, 12},
	{"PID", "pid", COLUMN_NUMBER, 8},
	{"COMMAND", "comm", COLUMN_TEXT, 16},
	{"CONTAINER OR CGROUP", NULL, COLUMN_OWNER, 0},
};

static const struct column order_columns[] = {
	{"ORDER", "order", COLUMN_NUMBER, 5},	    {"COUNT", "count", COLUMN_NUMBER, 8},
	{"WAITED", "sumMicros", COLUMN_MICROS, 7},  {"P99", "p99Micros", COLUMN_MICROS, 7},
	{"LONGEST", "maxMicros", COLUMN_MICROS, 7},
};

static const struct column wait_columns[] = {
	{"COUNT", "count", COLUMN_NUMBER, 8},		{"WAITED", "sumMicros", COLUMN_MICROS, 7},
	{"P99", "p99Micros", COLUMN_MICROS, 7},		{"LONGEST", "maxMicros", COLUMN_MICROS, 7},
	{"MOST FOR", "mainCause", COLUMN_TEXT, 12},	{"FLAGS", NULL, COLUMN_FLAGS, 5},
	{"CONTAINER OR CGROUP", NULL, COLUMN_OWNER, 0},
};

static const struct column slab_columns[] = {
	{"MEMORY", "bytes", COLUMN_BYTES, 7},	   {"GROWN", "grownBytes", COLUMN_BYTES, 7},
	{"OBJECTS", "objects", COLUMN_NUMBER, 10}, {"IN USE", "activeObjects", COLUMN_NUMBER, 10},
	{"CACHE", "name", COLUMN_TEXT, 0},
};

static const struct column dentry_columns[] = {
	{"NAMES", "entries", COLUMN_NUMBER, 10}, {"MISSING", "negative", COLUMN_NUMBER, 10},
	{"MEMORY", "bytes", COLUMN_BYTES, 7},	 {"TYPE", "filesystem", COLUMN_TEXT, 8},
	{"DIRECTORY", "path", COLUMN_TEXT, 0},	 {"CHARGED TO", "chargedTo", COLUMN_TEXT, 0},
};

static const struct column filesystem_columns[] = {
	{"MEMORY", "bytes", COLUMN_BYTES, 7},	      {"NAMES", "dentries", COLUMN_NUMBER, 10},
	{"MISSING", "negative", COLUMN_NUMBER, 10},   {"INODES", "inodes", COLUMN_NUMBER, 10},
	{"TYPE", "filesystem", COLUMN_TEXT, 8},	      {"SOURCE", "source", COLUMN_TEXT, 12},
	{"MOUNTED AT", "mountPoint", COLUMN_TEXT, 0},
};

static const struct column charged_columns[] = {
	{"MEMORY", "bytes", COLUMN_BYTES, 7},	    {"NAMES", "dentries", COLUMN_NUMBER, 10},
	{"MISSING", "negative", COLUMN_NUMBER, 10}, {"INODES", "inodes", COLUMN_NUMBER, 10},
	{"FLAGS", NULL, COLUMN_FLAGS, 5},	    {"CONTAINER OR CGROUP", NULL, COLUMN_OWNER, 0},
};

static const struct column slab_container_columns[] = {
	{"MEMORY", "bytes", COLUMN_BYTES, 7},
	{"RECLAIM", "reclaimableBytes", COLUMN_BYTES, 7},
	{"KERNEL", "kernelBytes", COLUMN_BYTES, 7},
	{"CONTAINER OR UNIT", NULL, COLUMN_OWNER, 0},
};

static const struct column kernel_owner_columns[] = {
	{"BYTES", "bytes", COLUMN_BYTES, 7},	 {"KIND", "kind", COLUMN_TEXT, 12},
	{"COUNTED IN", "line", COLUMN_TEXT, 10}, {"PID", "pid", COLUMN_NUMBER, 7},
	{"COMMAND", "command", COLUMN_TEXT, 0},	 {"WHAT", "name", COLUMN_TEXT, 0},
	{"HELD BY", NULL, COLUMN_OWNER, 0},
};

static const struct column kernel_site_columns[] = {
	{"BYTES", "bytes", COLUMN_BYTES, 7},   {"CALLS", "count", COLUMN_NUMBER, 10},
	{"MODULE", "module", COLUMN_TEXT, 14}, {"FUNCTION", "function", COLUMN_TEXT, 0},
	{"WHERE", "where", COLUMN_TEXT, 0},
};

static const struct column kernel_stack_columns[] = {
	{"BYTES", "bytes", COLUMN_BYTES, 7},
	{"COMMAND", "command", COLUMN_TEXT, 0},
	{"ALLOCATED BY", "functions", COLUMN_TEXT, 0},
};

static const struct column stall_columns[] = {
	{"LASTED", "durationMicros", COLUMN_MICROS, 7},
	{"CPU", "cpu", COLUMN_NUMBER, 4},
	{"KIND", "kind", COLUMN_TEXT, 13},
	{"TASK", "comm", COLUMN_TEXT, 15},
	{"IN", "function", COLUMN_TEXT, 0},
	{"CONTAINER OR CGROUP", NULL, COLUMN_OWNER, 0},
};

static const struct column cpu_columns[] = {
	{"CPU", "cpu", COLUMN_NUMBER, 4},
	{"IRQ o/oo", "irqPermille", COLUMN_NUMBER, 8},
	{"SOFTIRQ", "softirqPermille", COLUMN_NUMBER, 8},
	{"STOLEN", "stealPermille", COLUMN_NUMBER, 8},
};

const struct table tables[] = {
	{"PageCache", "pageCache.files", "Largest files in the page cache", file_columns,
	 ARRAY_SIZE(file_columns)},
	{"PageCache", "pageCache.containers", "Containers and cgroups charged for page cache",
	 cache_cgroup_columns, ARRAY_SIZE(cache_cgroup_columns)},
	{"SharedMemory", "sharedMemory.files", "Largest segments of shared memory", segment_columns,
	 ARRAY_SIZE(segment_columns)},
	{"SharedMemory", "sharedMemory.directories", "Directories of shared memory",
	 directory_columns, ARRAY_SIZE(directory_columns)},
	{"SharedMemory", "sharedMemory.containers",
	 "Containers and cgroups charged for shared memory", shmem_cgroup_columns,
	 ARRAY_SIZE(shmem_cgroup_columns)},
	{"CgroupLeak", "cgroupLeak.groups", "Removed memory cgroups by what made them",
	 leak_columns, ARRAY_SIZE(leak_columns)},
	{"KernelMemory", "kernelMemory.owners", "Who holds kernel memory", kernel_owner_columns,
	 ARRAY_SIZE(kernel_owner_columns)},
	{"KernelMemory", "kernelMemory.stacks", "What allocated and kept pages within the window",
	 kernel_stack_columns, ARRAY_SIZE(kernel_stack_columns)},
	{"KernelMemory", "kernelMemory.sites", "Lines of kernel code that hold memory",
	 kernel_site_columns, ARRAY_SIZE(kernel_site_columns)},
	{"ReclaimLatency", "reclaimLatency.node.causes", "Waits for reclaim by cause",
	 cause_columns, ARRAY_SIZE(cause_columns)},
	{"ReclaimLatency", "reclaimLatency.containers", "Who waited for reclaim", wait_columns,
	 ARRAY_SIZE(wait_columns)},
	{"ReclaimLatency", "reclaimLatency.outliers", "Longest single waits", outlier_columns,
	 ARRAY_SIZE(outlier_columns)},
	{"CompactionLatency", "compactionLatency.node.causes", "Compaction by cause", cause_columns,
	 ARRAY_SIZE(cause_columns)},
	{"CompactionLatency", "compactionLatency.orders", "Waits for compaction by order",
	 order_columns, ARRAY_SIZE(order_columns)},
	{"CompactionLatency", "compactionLatency.containers", "Who waited for compaction",
	 wait_columns, ARRAY_SIZE(wait_columns)},
	{"SlabCache", "slabCache.caches", "Largest slab caches", slab_columns,
	 ARRAY_SIZE(slab_columns)},
	{"SlabCache", "slabCache.dentries.directories", "Directories with most cached names",
	 dentry_columns, ARRAY_SIZE(dentry_columns)},
	{"SlabCache", "slabCache.filesystems", "Filesystems by names and inodes",
	 filesystem_columns, ARRAY_SIZE(filesystem_columns)},
	{"SlabCache", "slabCache.charged", "Charged for names and inodes", charged_columns,
	 ARRAY_SIZE(charged_columns)},
	{"SlabCache", "slabCache.containers", "Containers and units charged for kernel objects",
	 slab_container_columns, ARRAY_SIZE(slab_container_columns)},
	{"RunQueueLatency", "runQueueLatency.node.causes", "Waits for a CPU by cause",
	 cause_columns, ARRAY_SIZE(cause_columns)},
	{"RunQueueLatency", "runQueueLatency.containers", "Who waited for a CPU", wait_columns,
	 ARRAY_SIZE(wait_columns)},
	{"SchedulingStall", "schedulingStall.stalls", "Longest stalls", stall_columns,
	 ARRAY_SIZE(stall_columns)},
	{"SchedulingStall", "schedulingStall.cpus", "CPUs in interrupts or stolen", cpu_columns,
	 ARRAY_SIZE(cpu_columns)},
};
const size_t n_tables = ARRAY_SIZE(tables);

const struct total totals[] = {
	{"MemoryBreakdown", "memoryBreakdown.node.totalBytes", "in all", true},
	{"MemoryBreakdown", "memoryBreakdown.node.availableBytes", "available", true},
	{"MemoryBreakdown", "memoryBreakdown.node.dirtyBytes", "dirty", true},
	{"MemoryBreakdown", "memoryBreakdown.node.swapUsedBytes", "swapped out", true},
	{"PageCache", "pageCache.totalBytes", "in the page cache", true},
	{"PageCache", "pageCache.distinctFiles", "files", false},
	{"PageCache", "pageCache.shmemBytes", "shared memory", true},
	{"PageCache", "pageCache.blockDeviceBytes", "block devices", true},
	{"PageCache", "pageCache.dirtyBytes", "dirty", true},
	{"PageCache", "pageCache.unresolvedBytes", "of files without a name", true},
	{"SharedMemory", "sharedMemory.totalBytes", "of shared memory", true},
	{"SharedMemory", "sharedMemory.unresolvedBytes", "without a name", true},
	{"CgroupLeak", "cgroupLeak.live", "memory cgroups", false},
	{"CgroupLeak", "cgroupLeak.dying", "removed but pinned", false},
	{"CgroupLeak", "cgroupLeak.dyingBytes", "charged to these", true},
	{"CgroupLeak", "cgroupLeak.kernelBytes", "of kernel memory for these (estimate)", true},
	{"SlabCache", "slabCache.reclaimableBytes", "reclaimable", true},
	{"SlabCache", "slabCache.unreclaimableBytes", "not reclaimable", true},
	{"SlabCache", "slabCache.dentries.total", "names", false},
	{"SlabCache", "slabCache.dentries.negative", "of files that do not exist", false},
	{"SlabCache", "slabCache.dentries.inodes", "inodes", false},
	{"KernelMemory", "kernelMemory.residualBytes", "in no counter of the kernel", true},
	{"KernelMemory", "kernelMemory.explainedBytes", "of these with an owner", true},
	{"KernelMemory", "kernelMemory.unexplainedBytes", "without", true},
	{"RunQueueLatency", "runQueueLatency.node.averageMicros", "us for a CPU on average", false},
};
const size_t n_totals = ARRAY_SIZE(totals);
