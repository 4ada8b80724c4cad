/* SPDX-License-Identifier: Apache-2.0 */
/* Remedies for removed memory cgroups. */
#include "base/mem.h"
#include "report/hint_rules.h"

/*
 * What frees cgroups that only blocks of a filesystem pin, some 20 KiB each: those of containers which made 20 to 40 files on an
 * ext4 and left none of their pages, in groups of 60, half a minute after the last was made:
 *
 *	blockdev --flushbufs        179 of 180 (Linux 6.12, cgroup v2), 58 of 60 (6.18, v1)
 *	memory.force_empty above    58 of 60 (6.18, v1)
 *	memory.reclaim above, 2M    60 of 60 (6.12), and as much from a live one; 256K: none, all of it from the live one
 *
 * At once, all of these free nearly none: the journal refers to a block until it is written to its place and a later commit has
 * seen that. Of the last that was made before the disk fell silent, 56 of 60 stayed.
 */
static const struct hint_rule rules[] = {
	{
		.reason = "CgroupLeak",
		.id = "drop-pinning-file",
		.needs = HINT_NAMED_FILE,
		.summary = "Drop the clean cache of the file that pins most of them; they go with "
			   "their last page",
		.command = "sync {path_q} && dd if={path_q} iflag=nocache count=0",
		.current = "{file_size} cached, charged to {dying} removed cgroups",
		.proposed = "0",
		.risk = "Low",
		.trade_off = "The next reader of this file waits for the disk once, and is charged "
			     "for it.",
	},
	{
		.reason = "CgroupLeak",
		.id = "remove-tmpfs-file",
		.needs = HINT_SHMEM_FILE,
		.summary = "Look who uses the tmpfs file that pins most of them; remove it when "
			   "nobody does",
		.command = "fuser -v {path_q}; ls -l {path_q}",
		.current = "{file_size}, charged to {dying} removed cgroups",
		.proposed = "rm of the file",
		.risk = "Medium",
		.trade_off = "Looking changes nothing. What the file holds is lost when it is "
			     "removed: nothing else can free it.",
	},
	{
		.reason = "CgroupLeak",
		.id = "release-pinning-file",
		.needs = HINT_DELETED_FILE,
		.summary = "Find who holds the deleted file open that pins most of them",
		.command = "find /proc/[0-9]*/fd -lname {path_deleted_q} -ls 2>/dev/null",
		.current = "{file_size} of a deleted file, charged to {dying} removed cgroups",
		.proposed = "closed by its owner (restart it, or make it reopen its logs)",
		.risk = "Low",
		.trade_off = "Finding it changes nothing; restarting the owner interrupts it.",
	},
	{
		.reason = "CgroupLeak",
		.id = "drop-device-cache",
		.needs = HINT_DEVICE_PINS,
		.summary = "Write back and drop the cached blocks of the filesystem's inodes and "
			   "directories, of this device only: {device_only} of them have nothing "
			   "else",
		.command = "blockdev --flushbufs /dev/{device}",
		.current = "{device_size} of {device}'s own blocks, charged to {dying} removed "
			   "cgroups",
		.proposed = "near 0",
		.risk = "Medium",
		.trade_off = "Everything that is dirty on this filesystem is written first, which "
			     "its other users may feel; directories and inodes are read from disk "
			     "once more. File contents stay cached. What was changed within the "
			     "last half minute the journal still holds: then run it again.",
	},
	{
		.reason = "CgroupLeak",
		.id = "fix-controller",
		.needs = HINT_CONTROLLER,
		.summary = "Make its pods leave nothing behind: read logs past the page cache "
			   "(O_DIRECT, dd iflag=nocache, posix_fadvise), write to an emptyDir of "
			   "their own, and run less often",
		.command = "kubectl -n {namespace_q} get {kind} {name_q} -o yaml",
		.current = "{dying} removed cgroups, one or more for each pod that ran",
		.proposed = "0 for each pod that ran",
		.risk = "Low",
		.trade_off = "Reading it changes nothing. This is what ends the leak; dropping "
			     "caches only takes back what leaked so far.",
	},
	{
		.reason = "CgroupLeak",
		.id = "reclaim-cgroup-above",
		.needs = HINT_CACHE_PINS | HINT_RECLAIM_ABOVE,
		.summary = "Reclaim some from the cgroup above them, and so from what lives there "
			   "as well",
		.command = "echo {reclaim_mib}M > {above_dir_q}/memory.reclaim",
		.current = "{cache_size} of files charged to {dying} removed cgroups",
		.proposed = "near 0",
		.risk = "Medium",
		.trade_off = "The kernel goes round all cgroups below it: up to {reclaim_mib}M of "
			     "page cache, and memory where there is swap, come from live "
			     "containers, which read it again. Less may all be theirs. Run it "
			     "again while the count falls.",
	},
	{
		.reason = "CgroupLeak",
		.id = "empty-cgroup-above",
		.needs = HINT_CACHE_PINS | HINT_EMPTY_ABOVE,
		.summary = "Reclaim all that the cgroup above them has, what lives there included",
		.command = "echo 0 > {above_dir_q}/memory.force_empty",
		.current = "{cache_size} of files charged to {dying} removed cgroups",
		.proposed = "near 0",
		.risk = "High",
		.trade_off = "Takes the page cache of every live container below that cgroup too, "
			     "and swaps their memory out where there is swap; the rest of the "
			     "node keeps its own.",
	},
	{
		.reason = "CgroupLeak",
		.id = "drop-caches",
		.last_resort = true,
		.needs = HINT_CACHE_PINS,
		.summary = "Last resort: drop the clean page cache of the whole node",
		.command = "sync && echo 1 > /proc/sys/vm/drop_caches",
		.current = "{cache_size} of files charged to {dying} removed cgroups",
		.proposed = "near 0",
		.risk = "High",
		.trade_off = "Every process of the node reads its files and binaries from disk "
			     "again: expect seconds of slow "
			     "I/O for all pods. It helps once and cures nothing.",
	},
};

const struct hint_rules hint_rules_leak = {rules, ARRAY_SIZE(rules)};
