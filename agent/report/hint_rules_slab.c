/* SPDX-License-Identifier: Apache-2.0 */
/* Remedies for kernel objects: cached names of files first of all. */
#include "base/mem.h"
#include "report/hint_rules.h"

/* The same remedies help against many names and against many names of files that do not exist. */
#define RECLAIM_CONTAINER(of)                                                                      \
	{                                                                                          \
		.reason = (of), .id = "reclaim-container", .needs = HINT_SLAB_RECLAIM,             \
		.summary = "Take from the container that is charged for most of it, and from "     \
			   "nobody else",                                                          \
		.command = "echo {reclaim_mib}M > {cgroup_dir_q}/memory.reclaim",                  \
		.current = "{container_slab} of reclaimable kernel objects", .proposed = "near 0", \
		.risk = "Medium",                                                                  \
		.trade_off = "The kernel takes page cache of that container too, and in what "     \
			     "order is its choice; write less to take less. A memory limit "       \
			     "keeps it from growing back: cached names count to it.",              \
	}

#define RAISE_PRESSURE(of)                                                                      \
	{                                                                                       \
		.reason = (of), .id = "raise-cache-pressure", .needs = HINT_NODE_SLAB,          \
		.summary = "Make the kernel give up names and inodes before page cache",        \
		.command = "sysctl -w vm.vfs_cache_pressure={more_pressure}",                   \
		.current = "vm.vfs_cache_pressure = {pressure}", .proposed = "{more_pressure}", \
		.risk = "Medium",                                                               \
		.trade_off = "Works only when the node reclaims at all. Looking files up gets " \
			     "slower for everyone on the node.",                                \
	}

#define DROP_DENTRIES(of)                                                                       \
	{                                                                                       \
		.reason = (of), .id = "drop-dentries", .last_resort = true,                     \
		.summary = "Last resort: drop all unused names and inodes of the node",         \
		.command = "echo 2 > /proc/sys/vm/drop_caches", .current = "{bytes}",           \
		.proposed = "less by {reclaimable} at most", .risk = "High",                    \
		.trade_off = "Every pod of the node looks its files up on disk again, and the " \
			     "page cache of files whose inode goes is lost with it. With "      \
			     "millions of names the command itself keeps a CPU busy for "       \
			     "seconds. It helps once and cures nothing.",                       \
	}

#define TRACE_CACHE(of)                                                                            \
	{                                                                                          \
		.reason = (of), .id = "trace-allocations",                                         \
		.summary = "Find who makes the objects of cache {cache}",                          \
		.command = "perf record -a -g -e kmem:kmem_cache_alloc,kmem:kmalloc --filter "     \
			   "'bytes_alloc == {object_bytes}' -- sleep 5 && perf report --stdio "    \
			   "--no-children | head -80",                                             \
		.current = "grown by {bytes}, most in {cache} ({object_bytes} bytes each)",        \
		.proposed = "stopped by whoever makes them", .risk = "Low",                        \
		.trade_off = "Costs about a microsecond for each allocation while it runs. Other " \
			     "caches with objects of this size show too.",                         \
	}

static const struct hint_rule rules[] = {
	{
		.reason = "NegativeDentries",
		.id = "find-who-asks",
		.needs = HINT_DIRECTORY,
		.summary = "Find the program that asks for files which do not exist in "
			   "that directory, and make it stop",
		.command = "perf trace -a --failure -e openat,newfstatat,statx,access,readlink -- "
			   "sleep 10 2>&1 | grep -F {directory_q}",
		.current = "{missing} names of files that do not exist there",
		.proposed = "asked for once, or never",
		.risk = "Low",
		.trade_off = "Watches all failing look-ups of the node for 10 seconds. Paths that "
			     "are relative, or of a container, show without the directory: grep "
			     "for the end of it then.",
	},
	RECLAIM_CONTAINER("NegativeDentries"),
	{
		.reason = "NegativeDentries",
		.id = "forget-removed-files",
		.needs = HINT_DENTRY_NEGATIVE,
		.summary = "Make the kernel forget names of files when they are removed",
		.command = "sysctl -w fs.dentry-negative=1",
		.current = "fs.dentry-negative = 0",
		.proposed = "1",
		.risk = "Low",
		.trade_off = "Only against programs that make and remove files (temporary files); "
			     "not against those that ask for files which never were. A file of "
			     "the same name that is made again is looked up once more.",
	},
	RAISE_PRESSURE("NegativeDentries"),
	DROP_DENTRIES("NegativeDentries"),
	{
		.reason = "DentryCacheHigh",
		.id = "find-who-looks-up",
		.needs = HINT_DIRECTORY,
		.summary = "Find the program that looks up so many files in that directory",
		.command = "perf trace -a -e openat,newfstatat,statx,access,getdents64 -- sleep 10 "
			   "2>&1 | grep -F {directory_q}",
		.current = "{entries} names there, {missing} of files that do not exist",
		.proposed = "fewer files in one directory, or looked up less often",
		.risk = "Low",
		.trade_off = "Watches all look-ups of the node for 10 seconds. Paths that are "
			     "relative, or of a container, show without the directory: grep for "
			     "the end of it then.",
	},
	RECLAIM_CONTAINER("DentryCacheHigh"),
	RAISE_PRESSURE("DentryCacheHigh"),
	DROP_DENTRIES("DentryCacheHigh"),
	{
		.reason = "SlabGrowth",
		.id = "find-who-looks-up",
		.needs = HINT_DIRECTORY,
		.summary = "Find the program that looks up files in the directory that has most "
			   "names now",
		.command = "perf trace -a -e openat,newfstatat,statx,access,getdents64 -- sleep 10 "
			   "2>&1 | grep -F {directory_q}",
		.current = "grown by {bytes}; {entries} names there",
		.proposed = "fewer files in one directory, or looked up less often",
		.risk = "Low",
		.trade_off = "Watches all look-ups of the node for 10 seconds. Paths that are "
			     "relative, or of a container, show without the directory: grep for "
			     "the end of it then.",
	},
	RECLAIM_CONTAINER("SlabGrowth"),
	TRACE_CACHE("SlabGrowth"),
	TRACE_CACHE("SlabUnreclaimableGrowth"),
	{
		.reason = "SlabUnreclaimableGrowth",
		.id = "rank-allocation-sites",
		.needs = HINT_ALLOCINFO,
		.summary = "Rank the places of the kernel that hold most memory; look twice, what "
			   "grows is it",
		.command =
			"sort -rn /proc/allocinfo | head -20; sleep 30; sort -rn /proc/allocinfo "
			"| head -20",
		.current = "grown by {bytes}",
		.proposed = "a driver or module to update or unload",
		.risk = "Low",
		.trade_off = "Changes nothing.",
	},
	{
		.reason = "SlabUnreclaimableGrowth",
		.id = "watch-caches",
		.summary = "Watch whether it goes on: a burst of new pods, sockets or threads ends "
			   "by itself, a leak does not",
		.command = "memdiag run --check SlabCache --check KernelMemory --window 2m",
		.current = "grown by {bytes}",
		.proposed = "0 over a longer window",
		.risk = "Low",
		.trade_off = "Changes nothing. What a leak has taken comes back with a reboot "
			     "only, or with the module or process that holds it.",
	},
};

const struct hint_rules hint_rules_slab = {rules, ARRAY_SIZE(rules)};
