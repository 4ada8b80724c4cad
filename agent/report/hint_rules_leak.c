/* SPDX-License-Identifier: Apache-2.0 */
/* Remedies for removed memory cgroups. */
#include "base/mem.h"
#include "report/hint_rules.h"

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
		.id = "drop-caches",
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
