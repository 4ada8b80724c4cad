/* SPDX-License-Identifier: Apache-2.0 */
/* Remedies for waits for a CPU, CPU quotas, and stalls in the kernel. */
#include "base/mem.h"
#include "report/hint_rules.h"

/* memdiag is not told to throttle itself: it is to be seen whether anything is left without what it costs. */
#define OBSERVE_ALONE(check, text)                                                               \
	.id = "observe-alone", .needs = HINT_SELF,                                               \
	.summary = "It was memdiag itself that had the CPU: observe with this check alone, and " \
		   "for longer, so that what it costs weighs less",                              \
	.command = "memdiag run --check " check " --window {longer_window}", .current = text,    \
	.proposed = "what is left then is not memdiag's", .risk = "Low",                         \
	.trade_off =                                                                             \
		"The run takes longer. In a cluster spec.checks and spec.window say the same, "  \
		"and a smaller spec.cpuBudget makes scans cheaper and less exact. If it stays, " \
		"it is a fault of memdiag."

static const struct hint_rule rules[] = {
	{
		.reason = "RunQueueWait",
		OBSERVE_ALONE("RunQueueLatency", "memdiag held the CPU for {held} of these waits"),
	},
	{
		.reason = "RunQueueWait",
		.id = "limit-holder",
		.summary = "Give the pod that held the CPU a CPU limit of its own, or a node of "
			   "its own "
			   "(anti-affinity): look at what it has first",
		.command = "kubectl -n {holder_ns_q} get pod {holder_pod_q} -o "
			   "jsonpath='{.spec.containers[*].resources}'",
		.current = "{holder} held the CPU for {held} of these waits",
		.proposed = "limits.cpu near its request",
		.risk = "Medium",
		.trade_off =
			"Looking changes nothing. A limit makes the other pod slower instead, also "
			"when the node is idle.",
	},
	{
		.reason = "RunQueueWait",
		.id = "nice-holder",
		.summary = "Let the process of the host that held the CPU give way",
		.command = "renice -n 19 -p {holder_pid}",
		.current = "{holder} held the CPU for {held} of these waits",
		.proposed = "it runs when nobody else wants to",
		.risk = "Medium",
		.trade_off = "On a busy node it hardly gets on. Until it is started again; lasting "
			     "as Nice= "
			     "or CPUWeight= of its unit. Within another cgroup only the cgroups' "
			     "weights "
			     "count.",
	},
	{
		.reason = "RunQueueWait",
		.id = "raise-request",
		.summary = "Request more CPU for the pod that waits: its request is its weight "
			   "against "
			   "others, and what the scheduler keeps free for it",
		.command = "kubectl -n {namespace_q} patch pod {pod_q} --subresource resize -p "
			   "'{\"spec\":{\"containers\":[{\"name\":\"{container}\",\"resources\":{"
			   "\"requests\":{"
			   "\"cpu\":\"{new_request}\"}}}]}}'",
		.current = "request {request}, waited {waited}",
		.proposed = "request {new_request}: what it has, and what it waited for",
		.risk = "Low",
		.trade_off = "The node takes fewer pods. Kubernetes 1.33 or later resizes in "
			     "place; change "
			     "the pod's template too, or its successor has the old one.",
	},
	{
		.reason = "RunQueueWait",
		.id = "static-cpus",
		.summary = "For a pod that must not wait: whole CPUs for itself (Guaranteed QoS "
			   "with an "
			   "integer CPU request, kubelet with cpuManagerPolicy: static)",
		.command =
			"kubectl -n {namespace_q} get pod {pod_q} -o jsonpath='{.status.qosClass}'",
		.current = "shared CPUs, waited {waited}",
		.proposed = "CPUs of its own",
		.risk = "High",
		.trade_off =
			"Looking changes nothing. The policy needs the kubelet's state file "
			"removed and "
			"a restart with the node drained, and the CPUs are idle when the pod is.",
	},
	{
		.reason = "CpuThrottled",
		.id = "raise-cpu-limit",
		.summary = "Raise the CPU limit to what it wanted to use",
		.command = "kubectl -n {namespace_q} patch pod {pod_q} --subresource resize -p "
			   "'{\"spec\":{\"containers\":[{\"name\":\"{container}\",\"resources\":{"
			   "\"limits\":{"
			   "\"cpu\":\"{new_limit}\"}}}]}}'",
		.current = "limit {limit}, throttled in {throttled}",
		.proposed = "limit {new_limit}",
		.risk = "Low",
		.trade_off = "Others on the node may get less. Kubernetes 1.33 or later resizes in "
			     "place; "
			     "change the pod's template too, or its successor has the old one.",
	},
	{
		.reason = "CpuThrottled",
		.id = "raise-quota-v2",
		.needs = HINT_CGROUP_V2,
		.summary = "Raise the cgroup's quota to what it wanted to use",
		.command = "echo '{new_quota_us} {period_us}' > {cpu_dir_q}/cpu.max",
		.current = "limit {limit}, throttled in {throttled}",
		.proposed = "limit {new_limit}",
		.risk = "Low",
		.trade_off = "Others on the node may get less. Lost when the cgroup is made anew.",
	},
	{
		.reason = "CpuThrottled",
		.id = "raise-quota-v1",
		.needs = HINT_CGROUP_V1,
		.summary = "Raise the cgroup's quota to what it wanted to use",
		.command = "echo {new_quota_us} > {cpu_dir_q}/cpu.cfs_quota_us",
		.current = "limit {limit}, throttled in {throttled}",
		.proposed = "limit {new_limit}",
		.risk = "Low",
		.trade_off = "Others on the node may get less. Lost when the cgroup is made anew.",
	},
	{
		.reason = "CpuThrottled",
		.id = "allow-burst-v2",
		.needs = HINT_CGROUP_V2,
		.summary = "Let it save quota up for bursts (Linux 5.14)",
		.command = "echo {burst_us} > {cpu_dir_q}/cpu.max.burst",
		.current = "throttled in {throttled}",
		.proposed = "bursts of twice the limit within a period",
		.risk = "Low",
		.trade_off = "It helps short bursts, not a limit that is too low on average. Lost "
			     "when the "
			     "cgroup is made anew.",
	},
	{
		.reason = "CpuThrottled",
		.id = "fewer-threads",
		.summary = "Run no more threads than the limit has CPUs (GOMAXPROCS, "
			   "-XX:ActiveProcessorCount, worker counts): more of them use a period's "
			   "quota up "
			   "at once, and all stand still for its rest",
		.command = "grep -c . {cpu_dir_q}/cgroup.procs",
		.current = "limit {limit}, throttled in {throttled}",
		.proposed = "{threads} threads that compute",
		.risk = "Low",
		.trade_off =
			"Looking changes nothing. It shortens the stalls without taking CPU from "
			"others.",
	},
	{
		.reason = "SchedulingStall",
		OBSERVE_ALONE("SchedulingStall", "{duration} in {function}"),
	},
	{
		.reason = "SchedulingStall",
		.id = "stop-numa-stat",
		.needs = HINT_NUMA_STAT,
		.summary =
			"Stop what reads memory.numa_stat: the kernel sums all cgroups up for it",
		.command = "tr '\\0' ' ' < /proc/{pid}/cmdline",
		.current = "{duration} in {function}",
		.proposed = "it reads memory.stat instead",
		.risk = "Low",
		.trade_off =
			"Looking changes nothing; what collects NUMA metrics has these no more.",
	},
	{
		.reason = "SchedulingStall",
		.id = "update-module",
		.summary = "Ask for a newer version of the module that the CPU was in",
		.command = "modinfo {module} | grep -E '^(filename|version|vermagic|depends)'",
		.current = "{duration} in {function} of {module}",
		.proposed = "a version that schedules in its loops",
		.risk = "Low",
		.trade_off = "Looking changes nothing; a new module wants a restart of the node.",
	},
	{
		.reason = "SchedulingStall",
		.id = "look-at-task",
		.summary =
			"See what the task asks the kernel for; smaller requests, less often, make "
			"shorter stalls",
		.command = "tr '\\0' ' ' < /proc/{pid}/cmdline; cat /proc/{pid}/syscall "
			   "/proc/{pid}/stack",
		.current = "{duration} in {function}",
		.proposed = "below 10ms",
		.risk = "Low",
		.trade_off = "Looking changes nothing.",
	},
	{
		.reason = "IrqOff",
		OBSERVE_ALONE("SchedulingStall",
			      "{duration} with interrupts off, behind {function}"),
	},
	{
		.reason = "IrqOff",
		.id = "look-at-steal",
		.summary = "Tell a busy hypervisor from the kernel: does the CPU's steal (9th "
			   "number) grow "
			   "by itself?",
		.command = "grep '^cpu{cpu} ' /proc/stat; sleep 10; grep '^cpu{cpu} ' /proc/stat",
		.current = "{duration} without a tick",
		.proposed =
			"steal: a less crowded host or dedicated CPUs; else the function's owner",
		.risk = "Low",
		.trade_off = "Looking changes nothing.",
	},
	{
		.reason = "IrqOff",
		.id = "update-module",
		.summary = "Ask for a newer version of the module that the CPU was in",
		.command = "modinfo {module} | grep -E '^(filename|version|vermagic|depends)'",
		.current = "{duration} with interrupts off, behind {function} of {module}",
		.proposed = "a version that holds its locks for shorter",
		.risk = "Low",
		.trade_off = "Looking changes nothing; a new module wants a restart of the node.",
	},
};

const struct hint_rules hint_rules_cpu = {rules, ARRAY_SIZE(rules)};
