/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remedies for waits: reclaim, compaction, run queues. Values are computed by the checks from what was measured; a rule whose
 * value was not set does not apply.
 */
#include "base/mem.h"
#include "report/hint_rules.h"

#define HIGH_TRADE_OFF                                                                        \
	"Above memory.high the container's own threads reclaim and are slowed down, without " \
	"being "                                                                              \
	"killed: it trades stalls at the limit for gentler ones earlier. "

static const struct hint_rule rules[] = {
	{
		.reason = "LimitReclaimStalls",
		.id = "raise-limit",
		.summary = "Raise the memory limit: what it needs at work does not fit",
		.command = "{set_limit_cmd}",
		.current = "limit {limit}, working set {working_set}",
		.proposed = "limit {new_limit}",
		.risk = "Medium",
		.trade_off =
			"The pods are made anew, and the node needs the room: check what its other "
			"pods request.",
	},
	{
		.reason = "LimitReclaimStalls",
		.id = "cap-own-cache",
		.summary = "Let the program drop the cache of what it streams (posix_fadvise "
			   "DONTNEED, O_DIRECT): page cache fills the limit, not its own memory",
		.command = "grep -E '^(total_)?(inactive_|active_)?(file|cache) ' "
			   "{cgroup_dir_q}/memory.stat",
		.current = "{cache_size} of inactive cache within a limit of {cache_limit}",
		.proposed = "reclaim that finds nothing to do",
		.risk = "Low",
		.trade_off =
			"Looking changes nothing. Raising the limit would only let the cache grow "
			"to the new one.",
	},
	{
		.reason = "LimitReclaimStalls",
		.id = "memory-high",
		.needs = HINT_CGROUP_V2,
		.summary =
			"Reclaim before the limit is hit: memory.high = request + 0.9 x (limit - "
			"request), as the kubelet's MemoryQoS feature sets it",
		.command = "echo {high_bytes} > {cgroup_dir_q}/memory.high",
		.current = "memory.high {high_now}",
		.proposed = "memory.high {high}",
		.risk = "Medium",
		.trade_off = HIGH_TRADE_OFF
		"Lost when the container is made anew; lasting with the "
		"kubelet's feature gate MemoryQoS (alpha, cgroup v2).",
	},
	{
		.reason = "LimitReclaimStalls",
		.id = "koordinator-memory-qos",
		.summary = "Where Koordinator runs: memory QoS for this pod (annotation of the "
			   "pod, or "
			   "of its controller's template)",
		.command = "kubectl -n {namespace_q} annotate --overwrite pod {pod_q} "
			   "koordinator.sh/memoryQOS={qos_q}",
		.current = "no memory QoS known",
		.proposed = "lowLimitPercent {low_percent}, throttlingPercent {throttling_percent}",
		.risk = "Medium",
		.trade_off =
			"Throttling (memory.high) stalls the container's own threads; "
			"wmarkRatio reclaims in the background, but on Anolis kernels only. For "
			"the whole class: merge the manifest into slo-controller-config, "
			"don't replace it.",
		.manifest =
			"apiVersion: v1\n"
			"kind: ConfigMap\n"
			"metadata: {name: slo-controller-config, namespace: koordinator-system}\n"
			"data: # merge, don't replace: other keys of this map stay\n"
			"  resource-qos-config: |\n"
			"    {\"clusterStrategy\":{\"lsClass\":{\"memoryQOS\":{\"enable\":true,\n"
			"      \"lowLimitPercent\":{low_percent},\"throttlingPercent\":"
			"{throttling_percent},\n"
			"      \"wmarkRatio\":95,\"wmarkScalePermill\":20}}}}\n",
	},
	{
		.reason = "GlobalReclaimStalls",
		.id = "watermark-scale-factor",
		.summary = "Wake kswapd earlier, so that it keeps up with the rate of allocation",
		.command = "sysctl -w vm.watermark_scale_factor={scale}",
		.current = "{scale_now} ({gap} between min and low, {allocation_rate}/s allocated)",
		.proposed = "{scale}",
		.risk = "Low",
		.trade_off = "kswapd keeps about {reserve} more of memory free. Lasting: a file in "
			     "/etc/sysctl.d.",
	},
	{
		.reason = "GlobalReclaimStalls",
		.id = "memory-low",
		.needs = HINT_CGROUP_V2,
		.summary = "Protect the working set of who waits from the node's reclaim",
		.command = "echo {low_bytes} > {cgroup_dir_q}/memory.low",
		.current = "working set {working_set}",
		.proposed = "memory.low {low}",
		.risk = "Medium",
		.trade_off =
			"Other pods are reclaimed from instead. It must be set on the pod's and "
			"the QoS class's cgroup too, and is lost when the container is made anew.",
	},
	{
		.reason = "GlobalReclaimStalls",
		.id = "koordinator-watermark",
		.summary = "Where Koordinator runs: the same for all nodes (feature gate "
			   "SystemConfig)",
		.command =
			"kubectl -n koordinator-system get configmap slo-controller-config -o yaml",
		.current = "vm.watermark_scale_factor {scale_now}",
		.proposed = "{scale}",
		.risk = "Medium",
		.trade_off =
			"Looking changes nothing. Merge the manifest, don't replace: `kubectl "
			"apply` of it would remove the map's other keys. It changes every node "
			"of the cluster.",
		.manifest =
			"apiVersion: v1\n"
			"kind: ConfigMap\n"
			"metadata: {name: slo-controller-config, namespace: koordinator-system}\n"
			"data: # merge, don't replace: other keys of this map stay\n"
			"  system-config: |\n"
			"    {\"clusterStrategy\":{\"watermarkScaleFactor\":{scale}}}\n",
	},
	{
		.reason = "HighReclaimStalls",
		.id = "raise-high",
		.summary = "Raise memory.high above what it needs at work",
		.command = "echo {new_high_bytes} > {cgroup_dir_q}/memory.high",
		.current = "memory.high {high_now}, working set {working_set}",
		.proposed = "memory.high {new_high}",
		.risk = "Low",
		.trade_off =
			"It comes nearer to its limit, where the choice is reclaim or being "
			"killed. Who set memory.high (kubelet's MemoryQoS, Koordinator, systemd) "
			"may set it again: change it there.",
	},
	{
		.reason = "HighReclaimStalls",
		.id = "raise-request",
		.summary = "Where the kubelet's MemoryQoS set memory.high: raise the request, of "
			   "which "
			   "memory.high is computed",
		.command = "{set_request_cmd}",
		.current = "request {request}, working set {working_set}",
		.proposed = "request {new_request}",
		.risk = "Medium",
		.trade_off = "The pods are made anew and scheduled by the larger request.",
	},
	{
		.reason = "CompactionStalls",
		.id = "thp-defer",
		.summary =
			"Leave the making of huge pages to kcompactd and khugepaged instead of the "
			"thread that faults",
		.command = "echo {defrag} > /sys/kernel/mm/transparent_hugepage/defrag",
		.current = "{defrag_now}; {order_share} of these waits were for order {order}",
		.proposed = "{defrag}",
		.risk = "Low",
		.trade_off = "Memory gets its huge pages later. With defer+madvise, programs that "
			     "ask with madvise still wait.",
	},
	{
		.reason = "CompactionStalls",
		.id = "compaction-proactiveness",
		.summary = "Let kcompactd keep memory in larger pieces beforehand",
		.command = "sysctl -w vm.compaction_proactiveness={proactiveness}",
		.current =
			"{proactiveness_now}; {unusable} of free memory is in pieces below order "
			"{order}",
		.proposed = "{proactiveness}",
		.risk = "Medium",
		.trade_off =
			"kcompactd takes CPU time and moves pages of all pods, which costs them "
			"TLB misses and short faults.",
	},
	{
		.reason = "CompactionStalls",
		.id = "compact-now",
		.summary = "Compact the node's memory once, at a quiet time",
		.command = "echo 1 > /proc/sys/vm/compact_memory",
		.current = "{unusable} of free memory is in pieces below order {order}",
		.proposed = "near 0",
		.risk = "Medium",
		.trade_off = "Takes a CPU for seconds; it helps until memory is fragmented again.",
	},
};

const struct hint_rules hint_rules_latency = {rules, ARRAY_SIZE(rules)};
