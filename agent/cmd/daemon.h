/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What agent and controller share: the loop, the API server client, and an end on SIGTERM or SIGINT.
 */
#ifndef MEMDIAG_CMD_DAEMON_H
#define MEMDIAG_CMD_DAEMON_H

#include <stdbool.h>

#include "base/err.h"
#include "kube/client.h"
#include "kube/config.h"
#include "kube/loop.h"

struct daemon {
	struct kube_config config;
	struct loop *loop;
	struct kube_client *client;
	int signal_fd;
};

struct daemon_opts {
	const char *kubeconfig;		/* NULL: in-cluster */
	const char *serviceaccount_dir; /* for in-cluster */
	const char *role;		/* "agent", "controller": part of the User-Agent */
};

/* Also blocks the signals, so call it before any thread starts. */
int daemon_init(struct daemon *daemon, const struct daemon_opts *opts, struct err *err);
/* Until a signal says to end. */
int daemon_run(struct daemon *daemon, struct err *err);
void daemon_done(struct daemon *daemon);

/* Options that agent and controller share, for getopt_long(), and what takes them. */
enum { DAEMON_OPT_KUBECONFIG = 512, DAEMON_OPT_SERVICEACCOUNT, DAEMON_OPT_LOG_LEVEL };
#define DAEMON_OPTIONS                                                                      \
	{"kubeconfig", required_argument, NULL, DAEMON_OPT_KUBECONFIG},                     \
		{"serviceaccount-dir", required_argument, NULL, DAEMON_OPT_SERVICEACCOUNT}, \
	{                                                                                   \
		"log-level", required_argument, NULL, DAEMON_OPT_LOG_LEVEL                  \
	}

/* True when c is one of the above with a good value; else says why on stderr, unless getopt has. */
bool daemon_parse_option(struct daemon_opts *opts, int c, const char *value);

#define DAEMON_HELP                                                                              \
	"      --kubeconfig FILE          the API server and who we are (default: in-cluster)\n" \
	"      --serviceaccount-dir DIR   token and ca.crt when in-cluster (default\n"           \
	"                                 " KUBE_SERVICEACCOUNT_DIR ")\n"                        \
	"      --log-level LEVEL          error, warn, info (default) or debug\n"

#endif
