/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/root.h"
#include "cmd/cmd.h"
#include "cmd/daemon.h"
#include "controller/controller.h"
#include "controller/tz.h"

#define DEFAULT_NAMESPACE "memdiag-system"

static const char help[] =
	"Usage: memdiag controller [OPTION]...\n\n"
	"Runs once or several times per cluster: accepts MemoryDiagnoses, opens and closes their\n"
	"runs, sums the nodes' reports up in their status. Needs no access to any host.\n\n"
	"      --leader-elect[=BOOL]      several may run, one acts (default: true in a cluster,\n"
	"                                 false with --kubeconfig)\n"
	"      --lease-namespace NAME     where its Lease is (default: the ServiceAccount's\n"
	"                                 namespace, else " DEFAULT_NAMESPACE ")\n"
	"      --identity NAME            in the Lease and in events (default: the hostname and a\n"
	"                                 random number)\n"
	"      --zoneinfo DIR             time zones (default " TZ_FOLDER ")\n" DAEMON_HELP
	"  -h, --help\n";

struct controller_args {
	struct daemon_opts daemon;
	struct controller_opts controller;
	bool elect_set;
	char *namespace, *identity; /* the defaults, owned */
};

enum { OPT_ELECT = 256, OPT_NAMESPACE, OPT_IDENTITY, OPT_ZONEINFO };

static char *default_namespace(const char *serviceaccount_dir)
{
	_cleanup_buf_ struct buf text = BUF_INIT(256);
	_cleanup_root_ struct root root = ROOT_INIT;

	if (root_open(&root, serviceaccount_dir, NULL) < 0 ||
	    root_read(&root, "namespace", &text, NULL) < 0 || text.len == 0)
		return xstrdup(DEFAULT_NAMESPACE);
	text.data[strcspn(text.data, " \n")] = '\0';
	return xstrdup(text.data);
}

/* Another one after each start: what a process before us had begun is not ours. */
static char *default_identity(void)
{
	char host[256] = "controller";
	uint64_t number;

	(void)gethostname(host, sizeof(host) - 1);
	if (getrandom(&number, sizeof(number), 0) != (ssize_t)sizeof(number))
		number = clock_mono_ns();
	return xasprintf("%s_%016" PRIx64, host, number);
}

static void fill_in(struct controller_args *args)
{
	struct controller_opts *opts = &args->controller;

	if (!args->elect_set)
		opts->leader_elect = !args->daemon.kubeconfig;
	if (!opts->namespace)
		opts->namespace = args->namespace =
			default_namespace(args->daemon.serviceaccount_dir);
	if (!opts->identity)
		opts->identity = args->identity = default_identity();
}

static int serve(const struct controller_args *args, struct err *err)
{
	struct daemon daemon;
	int r = daemon_init(&daemon, &args->daemon, err);

	if (r == 0) {
		struct controller *controller =
			controller_new(daemon.loop, daemon.client, &args->controller);

		r = daemon_run(&daemon, err);
		controller_resign(controller);
		controller_free(controller);
	}
	daemon_done(&daemon);
	return r;
}

static bool parse_elect(struct controller_args *args, const char *value)
{
	args->elect_set = true;
	args->controller.leader_elect = !value || strcmp(value, "true") == 0;
	if (!value || args->controller.leader_elect || strcmp(value, "false") == 0)
		return true;
	(void)fprintf(stderr, "memdiag: --leader-elect: \"%s\": must be true or false\n", value);
	return false;
}

static bool parse_option(struct controller_args *args, int c)
{
	switch (c) {
	case OPT_ELECT:
		return parse_elect(args, optarg);
	case OPT_NAMESPACE:
		args->controller.namespace = optarg;
		return true;
	case OPT_IDENTITY:
		args->controller.identity = optarg;
		return true;
	case OPT_ZONEINFO:
		args->controller.zoneinfo = optarg;
		return true;
	default:
		return daemon_parse_option(&args->daemon, c, optarg);
	}
}

int cmd_controller(int argc, char **argv)
{
	static const struct option options[] = {
		DAEMON_OPTIONS,
		{"leader-elect", optional_argument, NULL, OPT_ELECT},
		{"lease-namespace", required_argument, NULL, OPT_NAMESPACE},
		{"identity", required_argument, NULL, OPT_IDENTITY},
		{"zoneinfo", required_argument, NULL, OPT_ZONEINFO},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct controller_args args = {
		.daemon = {.serviceaccount_dir = KUBE_SERVICEACCOUNT_DIR, .role = "controller"},
		.controller = {.zoneinfo = TZ_FOLDER},
	};
	struct err err = {0};
	int c, r;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return fputs(help, stdout) < 0 ? EXIT_CHECK_FAILED : EXIT_DONE;
		if (!parse_option(&args, c))
			return EXIT_USAGE;
	}
	if (optind < argc) {
		(void)fprintf(stderr, "memdiag: argument: \"%s\": controller takes options only\n",
			      argv[optind]);
		return EXIT_USAGE;
	}
	fill_in(&args);
	r = serve(&args, &err);
	free(args.namespace);
	free(args.identity);
	if (r < 0) {
		(void)fprintf(stderr, "memdiag: %s\n", err.msg);
		return EXIT_CHECK_FAILED;
	}
	return EXIT_DONE;
}
