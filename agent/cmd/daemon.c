/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/daemon.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/version.h"

bool daemon_parse_option(struct daemon_opts *opts, int c, const char *value)
{
	enum log_level level;

	switch (c) {
	case DAEMON_OPT_KUBECONFIG:
		opts->kubeconfig = value;
		return true;
	case DAEMON_OPT_SERVICEACCOUNT:
		opts->serviceaccount_dir = value;
		return true;
	case DAEMON_OPT_LOG_LEVEL:
		if (log_parse_level(value, &level) == 0) {
			log_set_level(level);
			return true;
		}
		(void)fprintf(stderr,
			      "memdiag: --log-level: \"%s\": must be error, warn, info or debug\n",
			      value);
		return false;
	default:
		return false;
	}
}

static void on_signal(void *arg, int fd)
{
	struct daemon *daemon = arg;
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
		return;
	log_info("signal %u: ending", info.ssi_signo);
	loop_stop(daemon->loop);
}

static int open_signals(struct daemon *daemon, struct err *err)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return err_set(err, errno, "sigprocmask");
	(void)signal(SIGPIPE, SIG_IGN);
	daemon->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (daemon->signal_fd < 0)
		return err_set(err, errno, "signalfd");
	return loop_watch_fd(daemon->loop, daemon->signal_fd, on_signal, daemon);
}

/*
 * Scans allocate tables of tens of MiB now and then. glibc would learn from them to take such sizes from the heap (its threshold
 * follows the largest block that was freed), where a small block behind them keeps them resident: 27 instead of 18 MiB were
 * measured after runs of every check. A fixed threshold gives them back at once.
 */
static void keep_memory_small(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, 128 << 10);
	(void)mallopt(M_ARENA_MAX, 2);
}

int daemon_init(struct daemon *daemon, const struct daemon_opts *opts, struct err *err)
{
	char user_agent[128];
	int r;

	*daemon = (struct daemon){.signal_fd = -1};
	keep_memory_small();
	(void)snprintf(user_agent, sizeof(user_agent), "memdiag-%s/%s", opts->role,
		       memdiag_version);
	r = kube_config_load(opts->kubeconfig, opts->serviceaccount_dir, &daemon->config, err);
	if (r == 0)
		r = loop_new(&daemon->loop, err);
	if (r == 0)
		r = open_signals(daemon, err);
	if (r == 0)
		r = kube_client_new(daemon->loop, &daemon->config, user_agent, &daemon->client,
				    err);
	if (r == 0)
		log_info("memdiag %s %s, API server %s", opts->role, memdiag_version,
			 daemon->config.server);
	return r;
}

int daemon_run(struct daemon *daemon, struct err *err)
{
	return loop_run(daemon->loop, err);
}

void daemon_done(struct daemon *daemon)
{
	kube_client_free(daemon->client);
	if (daemon->loop && daemon->signal_fd >= 0)
		loop_unwatch_fd(daemon->loop, daemon->signal_fd);
	if (daemon->signal_fd >= 0)
		(void)close(daemon->signal_fd);
	loop_free(daemon->loop);
	kube_config_done(&daemon->config);
}
