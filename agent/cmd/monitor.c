/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/monitor.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"
#include "export/families.h"

static int capture_named(const char *name, size_t len)
{
	for (int type = 0; type < CAPTURES; type++)
		if (strlen(capture_names[type]) == len &&
		    memcmp(capture_names[type], name, len) == 0)
			return type;
	return -1;
}

/* Names with commas between them, or "none". */
static bool parse_captures(const char *list, unsigned int *ret_off)
{
	unsigned int on = 0;

	for (const char *at = list; strcmp(list, "none") != 0;) {
		size_t len = strcspn(at, ",");
		int type = capture_named(at, len);

		if (type < 0) {
			(void)fprintf(stderr,
				      "memdiag: --metrics-captures: \"%.*s\": must be reclaim, "
				      "compaction, run_queue or stalls, with commas between them, "
				      "or none\n",
				      (int)len, at);
			return false;
		}
		on |= 1U << type;
		if (!at[len])
			break;
		at += len + 1;
	}
	*ret_off = ~on & ((1U << CAPTURES) - 1);
	return true;
}

bool monitor_parse_option(struct monitor_args *args, int c, const char *value)
{
	switch (c) {
	case MONITOR_OPT_ADDRESS:
		args->address = value;
		return true;
	case MONITOR_OPT_MAX_SERIES:
		if (num_u64(value, 1000, 1000000, &args->max_series) == 0)
			return true;
		(void)fprintf(stderr,
			      "memdiag: --metrics-max-series: \"%s\": must be 1000 to 1000000\n",
			      value);
		return false;
	case MONITOR_OPT_CAPTURES:
		return parse_captures(value, &args->captures_off);
	case MONITOR_OPT_COMPAT_SYSOM:
		args->compat_sysom = true;
		return true;
	default:
		return false;
	}
}

int monitor_open(struct monitor *monitor, const struct monitor_args *args, const struct host *host,
		 const struct identity_opts *identity, const struct monitor_probes *probes,
		 struct err *err)
{
	struct collector_opts collect = {
		.host = host,
		.identity = *identity,
		.counters = &monitor->counters,
		.max_series = args->max_series,
		.captures_off = args->captures_off,
		.compat_sysom = args->compat_sysom,
	};
	struct server_opts serve = {.address = args->address,
				    .ready = probes->ready,
				    .alive = probes->alive,
				    .arg = probes->arg};
	int r;

	if (!*args->address)
		return 0;
	collect.captures = monitor->captures = captures_new(host);
	r = collector_new(&collect, &monitor->collector, err);
	if (r == 0) {
		serve.collector = monitor->collector;
		r = server_new(&serve, &monitor->server, err);
	}
	if (r < 0) {
		monitor_close(monitor);
		return err_wrap(err, "--metrics-address");
	}
	log_info("metrics on %s, port %u", args->address, server_port(monitor->server));
	return 0;
}

void monitor_close(struct monitor *monitor)
{
	if (monitor->collector)
		collector_stop(monitor->collector);
	server_free(monitor->server);
	collector_free(monitor->collector);
	captures_free(monitor->captures);
	memset(monitor, 0, sizeof(*monitor));
}
