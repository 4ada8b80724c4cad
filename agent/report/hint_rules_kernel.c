/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remedies for kernel memory that no process shows. Dropping caches is none: nothing of it is a cache. Which rules fit is told by
 * the names that have a value: {ring_pid} only where a packet ring is the largest, and so on.
 */
#include "base/mem.h"
#include "report/hint_rules.h"

#define COMMAND_LINE "tr '\\0' ' ' </proc/{pid}/cmdline; "

#define PACKET_RING(of)                                                                          \
	{                                                                                        \
		.reason = of, .id = "smaller-packet-ring",                                       \
		.summary = "Give the capture a smaller ring, or end it when it was forgotten",   \
		.command = "tr '\\0' ' ' </proc/{ring_pid}/cmdline; nsenter -t {ring_pid} -n "   \
			   "ss -0 -e -m -p",                                                     \
		.current = "{size}: {owner}",                                                    \
		.proposed = "tcpdump -B 4096 (4Mi); ring-size, block-size of other tools",       \
		.risk = "Low",                                                                   \
		.trade_off = "Looking changes nothing. A smaller ring loses packets in bursts.", \
	}

#define SOCKETS(of)                                                                              \
	{                                                                                        \
		.reason = of, .id = "drain-sockets",                                             \
		.summary = "Find the sockets whose data waits: the reader is slow or hangs, or " \
			   "buffers are set too large",                                          \
		.command = "nsenter -t {socket_pid} -n ss -{ss_option} -n -p -m; sysctl "        \
			   "net.ipv4.tcp_mem net.ipv4.tcp_rmem net.ipv4.tcp_wmem",               \
		.current = "{size}: {owner}",                                                    \
		.proposed = "the reader reads again; else lower the third number of tcp_rmem "   \
			    "and tcp_wmem, and tcp_mem as the ceiling of all",                   \
		.risk = "Low",                                                                   \
		.trade_off = "Looking changes nothing. Smaller buffers limit the throughput "    \
			     "of connections with a long way.",                                  \
	}

#define BPF(of)                                                                                    \
	{                                                                                          \
		.reason = of, .id = "smaller-bpf-maps",                                            \
		.summary = "List the BPF maps with their owners, and lower max_entries or the "    \
			   "ring's size in the program's own configuration",                       \
		.command = "bpftool -p map show; bpftool -p prog show",                            \
		.current = "{bpf}: {owner}", .proposed = "the sizes that its configuration needs", \
		.risk = "Low",                                                                     \
		.trade_off = "Looking changes nothing. Maps that are too small lose entries.",     \
	}

#define RECEIVE_RINGS(of)                                                                       \
	{                                                                                       \
		.reason = of, .id = "smaller-receive-rings",                                    \
		.summary = "Compare the device's ring sizes and number of queues with what it " \
			   "needs, and lower them",                                             \
		.command = "ethtool -g {device_q}; ethtool -l {device_q}",                      \
		.current = "{size}: {owner}",                                                   \
		.proposed = "ethtool -G DEVICE rx 1024; ethtool -L DEVICE combined QUEUES",     \
		.risk = "Medium",                                                               \
		.trade_off = "Looking changes nothing. Setting it resets the device: its link " \
			     "is down for a moment, and smaller rings lose packets in bursts.", \
	}

#define NVIDIA(of)                                                                             \
	{                                                                                      \
		.reason = of, .id = "less-pinned-memory",                                      \
		.summary = "Let the program pin less main memory (cudaHostAlloc, pin_memory, " \
			   "number of loader workers)",                                        \
		.command = "nvidia-smi; grep -c nvidiactl /proc/{nvidia_pid}/maps; tr '\\0' "  \
			   "' ' </proc/{nvidia_pid}/cmdline",                                  \
		.current = "{size}: {owner}", .proposed = "what its transfers need",           \
		.risk = "Low",                                                                 \
		.trade_off = "Looking changes nothing. Transfers from memory that is not "     \
			     "pinned are slower.",                                             \
	}

#define HUGE_REMAINS(of)                                                                        \
	{                                                                                       \
		.reason = of, .id = "fewer-huge-pages",                                         \
		.summary = "Parts of huge pages were given back and stay in use until the "     \
			   "kernel splits them: let programs that do so have none, by their "   \
			   "allocator's setting or the node's",                                 \
		.command = "cat /sys/kernel/mm/transparent_hugepage/enabled; grep thp_ "        \
			   "/proc/vmstat",                                                      \
		.current = "{remains}: {owner}",                                                \
		.proposed = "echo madvise >/sys/kernel/mm/transparent_hugepage/enabled",        \
		.risk = "Medium",                                                               \
		.trade_off = "Looking changes nothing. What was mapped before stays; programs " \
			     "that gain from huge pages and do not ask for them get slower.",   \
	}

#define MODULE(of)                                                                             \
	{                                                                                      \
		.reason = of, .id = "restart-module",                                          \
		.summary = "The module that allocates: restart what uses it, and look for an " \
			   "upgrade of the driver",                                            \
		.command = "modinfo {module_q}; lsmod | grep {module_q}",                      \
		.current = "{stack_size} within the window, by {stack}",                       \
		.proposed = "no growth: rmmod and modprobe once its users are stopped",        \
		.risk = "High",                                                                \
		.trade_off = "Looking changes nothing. Unloading a driver takes its devices "  \
			     "away; drain the node before.",                                   \
	}

#define HOLDER(of)                                                                              \
	{                                                                                       \
		.reason = of, .id = "restart-holder",                                           \
		.summary = "Look what the process that holds it is doing; restarting it frees " \
			   "it",                                                                \
		.command = COMMAND_LINE "ls -l /proc/{pid}/fd", .current = "{size}: {owner}",   \
		.proposed = "what it needs", .risk = "Medium",                                  \
		.trade_off = "Looking changes nothing; a restart interrupts its work.",         \
	}

#define WATCH(of)                                                                           \
	{                                                                                   \
		.reason = of, .id = "watch-growth",                                         \
		.summary = "Nobody holds it openly, so a driver does: watch who allocates " \
			   "while it grows",                                                \
		.command = "memdiag run --check KernelMemory --window 5m",                  \
		.current = "{nobody} without an owner",                                     \
		.proposed = "the stack that allocates it is named", .risk = "Low",          \
		.trade_off = "Costs below 0.1 us for each page that the kernel takes or "   \
			     "gives back, while it watches.",                               \
	}

#define ALL(of)                                                                                 \
	PACKET_RING(of), SOCKETS(of), BPF(of), RECEIVE_RINGS(of), NVIDIA(of), HUGE_REMAINS(of), \
		MODULE(of), HOLDER(of), WATCH(of)

static const struct hint_rule rules[] = {
	ALL("InvisibleMemory"),
	ALL("InvisibleMemoryGrowth"),
};

const struct hint_rules hint_rules_kernel = {rules, ARRAY_SIZE(rules)};
