/* SPDX-License-Identifier: Apache-2.0 */
/* Remedies for page cache and shared memory. */
#include "base/mem.h"
#include "report/hint_rules.h"

/*
 * Sources: dd's nocache flag is posix_fadvise(DONTNEED) over the file; memory.reclaim came with Linux 5.19,
 * memory.force_empty is cgroup v1's.
 */
static const struct hint_rule rules[] = {
	{
		.reason = "PageCacheHigh",
		.id = "release-deleted-file",
		.needs = HINT_DELETED_FILE,
		.summary = "Find who holds the deleted file open; its cache goes when the last "
			   "descriptor does",
		.command = "find /proc/[0-9]*/fd -lname {path_deleted_q} -ls 2>/dev/null",
		.current = "{file_size} cached of a deleted file",
		.proposed = "closed by its owner (restart it, or make it reopen its logs)",
		.risk = "Low",
		.trade_off = "Finding it changes nothing; restarting the owner interrupts it.",
	},
	{
		.reason = "PageCacheHigh",
		.id = "drop-file-cache",
		.needs = HINT_NAMED_FILE,
		.summary = "Drop the clean cache of the largest file only",
		.command = "sync {path_q} && dd if={path_q} iflag=nocache count=0",
		.current = "{file_size} cached",
		.proposed = "0",
		.risk = "Low",
		.trade_off = "The next reader of this file waits for the disk once. It fills again "
			     "if the file is read or "
			     "written again; then cap it instead.",
	},
	{
		.reason = "PageCacheHigh",
		.id = "cap-cache-memory-high",
		.needs = HINT_CGROUP_V2 | HINT_CHILD_CGROUP,
		.summary = "Cap this cgroup so that its cache is reclaimed before the node or its "
			   "limit is under pressure",
		.command = "echo {high} > {cgroup_dir_q}/memory.high",
		.current = "{current_high}",
		.proposed = "{high}",
		.risk = "Medium",
		.trade_off = "memory.high makes the cgroup's own allocations reclaim and, when "
			     "that does not suffice, stall. The "
			     "value is lost when the cgroup is made anew; for pods set memory QoS "
			     "or a limit instead.",
	},
	{
		.reason = "PageCacheHigh",
		.id = "reclaim-cgroup",
		.needs = HINT_CGROUP_V2 | HINT_CHILD_CGROUP,
		.summary = "Reclaim from this cgroup once",
		.command = "echo {reclaimable_bytes} > {cgroup_dir_q}/memory.reclaim",
		.current = "{reclaimable_size} of clean cache",
		.proposed = "0",
		.risk = "Medium",
		.trade_off = "Reclaims the coldest pages first, anonymous memory too when there is "
			     "swap. Needs Linux 5.19.",
	},
	{
		.reason = "PageCacheHigh",
		.id = "empty-cgroup-cache",
		.needs = HINT_CGROUP_V1 | HINT_CHILD_CGROUP,
		.summary = "Reclaim all of this cgroup's cache once",
		.command = "echo 0 > {cgroup_dir_q}/memory.force_empty",
		.current = "{reclaimable_size} of clean cache",
		.proposed = "0",
		.risk = "Medium",
		.trade_off = "Reclaims as much as it can, anonymous memory too when there is swap; "
			     "the cgroup's files are read "
			     "from disk again.",
	},
	{
		.reason = "PageCacheHigh",
		.id = "limit-cgroup",
		.needs = HINT_CGROUP_V1 | HINT_CHILD_CGROUP | HINT_NO_LIMIT,
		.summary = "Limit this cgroup so that its cache is reclaimed as it grows",
		.command = "echo {high} > {cgroup_dir_q}/memory.limit_in_bytes",
		.current = "{current_limit}",
		.proposed = "{high}",
		.risk = "High",
		.trade_off = "At a limit the cgroup's allocations wait for reclaim, and its "
			     "processes are killed when reclaim "
			     "does not find enough. cgroup v2's memory.high is gentler.",
	},
	{
		.reason = "PageCacheHigh",
		.id = "drop-caches",
		.last_resort = true,
		.needs = 0,
		.summary = "Last resort: drop the clean page cache of the whole node",
		.command = "sync && echo 1 > /proc/sys/vm/drop_caches",
		.current = "{node_cache_size} of page cache on the node",
		.proposed = "near 0",
		.risk = "High",
		.trade_off = "Every process of the node reads its files and binaries from disk "
			     "again: expect seconds of slow "
			     "I/O for all pods. It helps once and cures nothing.",
	},
	{
		.reason = "SharedMemoryHigh",
		.id = "remove-stale-segments",
		.needs = HINT_DIRECTORY,
		.summary = "List the directory's files that nothing has changed for an hour; "
			   "remove those that nobody uses",
		.command = "find {directory_q} -xdev -type f -mmin +60 ! -exec fuser -s {} ';' -ls",
		.current = "{directory_files} files, {directory_size}",
		.proposed = "the files that are in use",
		.risk = "Medium",
		.trade_off = "Listing changes nothing. A removed segment is gone for programs that "
			     "meant to open it later.",
	},
	{
		.reason = "SharedMemoryHigh",
		.id = "find-memfd-owner",
		.needs = HINT_MEMFD,
		.summary = "Find the processes that hold the memfd or the shared mapping",
		.command = "find /proc/[0-9]*/fd /proc/[0-9]*/map_files -lname '{name_pattern}' "
			   "-ls 2>/dev/null",
		.current = "{file_size}",
		.proposed = "closed and unmapped by its owner",
		.risk = "Low",
		.trade_off = "Finding it changes nothing; restarting the owner interrupts it.",
	},
	{
		.reason = "SharedMemoryHigh",
		.id = "remove-sysv-segment",
		.needs = HINT_SYSV,
		.summary =
			"Look who made and attached the SysV segments; remove those with nattch 0",
		.command = "ipcs -m -p; ipcs -m",
		.current = "{file_size}",
		.proposed = "ipcrm -m SHMID for the orphans",
		.risk = "Medium",
		.trade_off = "A removed segment is gone for programs that meant to attach it "
			     "later. Run it in the owner's IPC "
			     "namespace (nsenter -t PID -i).",
	},
	{
		.reason = "SharedMemoryHigh",
		.id = "bound-tmpfs",
		.needs = HINT_DIRECTORY,
		.summary = "Bound the filesystem so that a leak ends in ENOSPC instead of taking "
			   "the node's memory",
		.command = "mount -o remount,size={bound_bytes} {mount_q}",
		.current = "{directory_size} used below {directory}",
		.proposed = "{bound_size}",
		.risk = "Medium",
		.trade_off = "Writers get ENOSPC at the bound. For a pod set sizeLimit on its "
			     "emptyDir with medium: Memory; its "
			     "memory counts to the pod's limit either way.",
	},
	{
		.reason = "SharedMemoryHigh",
		.id = "find-shm-owner",
		.needs = 0,
		.summary = "Rank processes by shared memory they have mapped",
		.command = "grep -H RssShmem /proc/[0-9]*/status | sort -k2 -n -r | head",
		.current = "{shmem_size} of shared memory",
		.proposed = "freed by its owner",
		.risk = "Low",
		.trade_off = "Changes nothing. Unmapped segments do not show here: memdiag's list "
			     "of files has them.",
	},
};

const struct hint_rules hint_rules_cache = {rules, ARRAY_SIZE(rules)};
