/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's HTTP endpoint: /metrics (text 0.0.4, OpenMetrics on Accept), /healthz and /readyz. GET and HEAD only; at most 32
 * connections, 10 s each.
 */
#ifndef MEMDIAG_EXPORT_SERVER_H
#define MEMDIAG_EXPORT_SERVER_H

#include <stdbool.h>

#include "base/err.h"
#include "export/collector.h"

struct server;

struct server_opts {
	const char *address;	     /* "127.0.0.1:9760", "[::1]:9760", ":9760" for every address */
	struct collector *collector; /* borrowed */
	/* What /readyz and /healthz say; called from the server's thread. NULL: always well. */
	bool (*ready)(void *arg);
	bool (*alive)(void *arg);
	void *arg;
};

/* -EINVAL: address is none; else what bind(2) says, and that with "cannot serve". */
int server_new(const struct server_opts *opts, struct server **ret, struct err *err);
/* After collector_stop(): MHD does not stop while connections wait. NULL is fine. */
void server_free(struct server *server);
/* The port it listens on: the kernel's choice for port 0. */
unsigned int server_port(const struct server *server);

#endif
