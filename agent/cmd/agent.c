/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/num.h"
#include "cmd/cmd.h"
#include "cmd/daemon.h"
#include "cmd/identity_args.h"
#include "cmd/monitor.h"
#include "instruments/host.h"
#include "node/node.h"

static const char help[] =
	"Usage: memdiag agent [OPTION]...\n\n"
	"Runs on a node: watches MemoryDiagnoses, runs those that target this node, and writes "
	"the\n"
	"node's MemoryDiagnosisReports.\n\n"
	"      --node-name NAME           this node (default: $NODE_NAME, else the hostname)\n"
	"      --proc DIR                 the host's /proc (default /proc)\n"
	"      --cgroup-root DIR          the host's cgroup mount (default: "
	"/host/sys/fs/cgroup,\n"
	"                                 else /sys/fs/cgroup)\n"
	"      --hang-timeout TIME        how long a run may take beyond its window and ten times "
	"its\n"
	"                                 CPU budget, 1s to 1h (default 2m): then its report says "
	"what\n"
	"                                 it waits for, and /healthz asks for a "
	"restart\n" MONITOR_HELP IDENTITY_HELP DAEMON_HELP "  -h, --help\n";

struct agent_args {
	struct daemon_opts daemon;
	struct host_paths paths;
	struct identity_args identity;
	struct monitor_args monitor;
	const char *node_name;
	uint64_t hang_ms;
};

enum { OPT_NODE = 256, OPT_PROC, OPT_CGROUP, OPT_HANG };

static bool is_ready(void *arg)
{
	return counter_get(&((struct monitor *)arg)->counters.lists_read) > 0;
}

static bool is_alive(void *arg)
{
	return counter_get(&((struct monitor *)arg)->counters.hung_seconds) == 0;
}

static int serve(struct agent_args *args, struct err *err)
{
	struct monitor monitor = {0};
	const struct monitor_probes probes = {is_ready, is_alive, &monitor};
	struct worker_opts opts = {.history_file = args->identity.history_file,
				   .hang_ms = args->hang_ms};
	_cleanup_host_ struct host host = HOST_INIT;
	struct daemon daemon = {.signal_fd = -1};
	struct node *node = NULL;
	int r = host_open(&host, &args->paths, args->node_name, err);

	if (r == 0)
		r = daemon_init(&daemon, &args->daemon, err);
	if (r == 0)
		r = identity_args_open(&args->identity, err);
	if (r == 0) {
		opts.host = &host;
		opts.identity = identity_args_opts(&args->identity);
		r = monitor_open(&monitor, &args->monitor, &host, &opts.identity, &probes, err);
	}
	if (r == 0) {
		opts.captures = monitor.captures;
		opts.counters = &monitor.counters;
		r = node_new(daemon.loop, daemon.client, &opts, &node, err);
	}
	if (r == 0) {
		log_info("node %s, Linux %s, cgroup %s", host.node_name, host.kernel,
			 cgroup_mode_name(host.cgroups.mode));
		r = daemon_run(&daemon, err);
	}
	node_free(node);
	monitor_close(&monitor);
	daemon_done(&daemon);
	(void)identity_args_done(&args->identity, NULL);
	return r;
}

static int parse_hang(struct agent_args *args, const char *value)
{
	if (num_duration_ms(value, &args->hang_ms) == 0 && args->hang_ms >= 1000 &&
	    args->hang_ms <= 3600000)
		return 0;
	(void)fprintf(stderr, "memdiag: --hang-timeout: \"%s\": must be 1s to 1h\n", value);
	return -1;
}

static int parse_option(struct agent_args *args, int c)
{
	switch (c) {
	case OPT_NODE:
		args->node_name = optarg;
		return 0;
	case OPT_PROC:
		args->paths.proc = optarg;
		return 0;
	case OPT_CGROUP:
		args->paths.cgroup = optarg;
		return 0;
	case OPT_HANG:
		return parse_hang(args, optarg);
	default:
		return identity_args_parse(&args->identity, c, optarg) ||
				       monitor_parse_option(&args->monitor, c, optarg) ||
				       daemon_parse_option(&args->daemon, c, optarg)
			       ? 0
			       : -1;
	}
}

int cmd_agent(int argc, char **argv)
{
	static const struct option options[] = {
		DAEMON_OPTIONS,
		IDENTITY_OPTIONS,
		MONITOR_OPTIONS,
		{"node-name", required_argument, NULL, OPT_NODE},
		{"proc", required_argument, NULL, OPT_PROC},
		{"cgroup-root", required_argument, NULL, OPT_CGROUP},
		{"hang-timeout", required_argument, NULL, OPT_HANG},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct agent_args args = {
		.daemon = {.serviceaccount_dir = KUBE_SERVICEACCOUNT_DIR, .role = "agent"},
		.paths = cmd_default_paths(),
		.monitor = {.address = MONITOR_DEFAULT_ADDRESS},
		.node_name = getenv("NODE_NAME"),
		.hang_ms = WORKER_HANG_MS,
	};
	struct err err = {0};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return fputs(help, stdout) < 0 ? EXIT_CHECK_FAILED : EXIT_DONE;
		if (parse_option(&args, c) < 0)
			return EXIT_USAGE;
	}
	if (optind < argc) {
		(void)fprintf(stderr, "memdiag: argument: \"%s\": agent takes options only\n",
			      argv[optind]);
		return EXIT_USAGE;
	}
	if (serve(&args, &err) < 0) {
		(void)fprintf(stderr, "memdiag: %s\n", err.msg);
		return EXIT_CHECK_FAILED;
	}
	return EXIT_DONE;
}
