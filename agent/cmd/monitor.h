/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's always-on part: captures that stay attached, and the endpoint that exports them. */
#ifndef MEMDIAG_CMD_MONITOR_H
#define MEMDIAG_CMD_MONITOR_H

#include <stdbool.h>

#include "export/collector.h"
#include "export/server.h"

struct monitor_args {
	const char *address; /* "": neither endpoint nor attached captures */
	uint64_t max_series;
	unsigned int captures_off; /* bits 1 << enum capture_type: not attached between runs */
	bool compat_sysom;
};

struct monitor {
	struct captures *captures;
	struct collector *collector; /* NULL: off */
	struct server *server;
	struct agent_counters counters;
};

#define MONITOR_DEFAULT_ADDRESS "127.0.0.1:9760"

/* What the endpoint says of the agent; called from its thread, each with arg. NULL: well. */
struct monitor_probes {
	bool (*ready)(void *arg), (*alive)(void *arg);
	void *arg;
};

/* Attaches and serves, unless args say not to. host and identity are borrowed. */
int monitor_open(struct monitor *monitor, const struct monitor_args *args, const struct host *host,
		 const struct identity_opts *identity, const struct monitor_probes *probes,
		 struct err *err);
void monitor_close(struct monitor *monitor);

enum {
	MONITOR_OPT_ADDRESS = 1024,
	MONITOR_OPT_MAX_SERIES,
	MONITOR_OPT_CAPTURES,
	MONITOR_OPT_COMPAT_SYSOM
};
#define MONITOR_OPTIONS                                                                  \
	{"metrics-address", required_argument, NULL, MONITOR_OPT_ADDRESS},               \
		{"metrics-max-series", required_argument, NULL, MONITOR_OPT_MAX_SERIES}, \
		{"metrics-captures", required_argument, NULL, MONITOR_OPT_CAPTURES},     \
	{                                                                                \
		"compat-sysom", no_argument, NULL, MONITOR_OPT_COMPAT_SYSOM              \
	}

/* True when c is one of the above with a good value; else says why on stderr, unless getopt has. */
bool monitor_parse_option(struct monitor_args *args, int c, const char *value);

#define MONITOR_HELP                                                                               \
	"      --metrics-address ADDR:PORT  where /metrics, /healthz and /readyz are (default\n"   \
	"                                 " MONITOR_DEFAULT_ADDRESS                                \
	"); \":9760\" is every address;\n"                                                         \
	"                                 \"\" is none: then nothing is observed between runs\n"   \
	"      --metrics-max-series N     ceiling of exported series, 1000 to 1000000 (default\n"  \
	"                                 20000)\n"                                                \
	"      --metrics-captures LIST    of reclaim, compaction, run_queue and stalls those to\n" \
	"                                 observe between runs (default: all), such as\n"          \
	"                                 reclaim,stalls; none: none of them\n"                    \
	"      --compat-sysom             also what SysOM's dashboards ask for, where it can be\n" \
	"                                 told without files' names and SysOM's own kernel\n"

#endif
