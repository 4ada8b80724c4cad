/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/daemon.h"
#include "controller/controller.h"

static const char help[] =
	"Usage: memdiag controller [OPTION]...\n\n"
	"Runs once per cluster: accepts MemoryDiagnoses, opens and closes their runs, sums the "
	"nodes'\n"
	"reports up in their status. Needs no access to any host.\n\n" DAEMON_HELP "  -h, --help\n";

static int serve(const struct daemon_opts *opts, struct err *err)
{
	struct daemon daemon;
	int r = daemon_init(&daemon, opts, err);

	if (r == 0) {
		struct controller *controller = controller_new(daemon.loop, daemon.client);

		r = daemon_run(&daemon, err);
		controller_free(controller);
	}
	daemon_done(&daemon);
	return r;
}

int cmd_controller(int argc, char **argv)
{
	static const struct option options[] = {
		DAEMON_OPTIONS,
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct daemon_opts opts = {.serviceaccount_dir = KUBE_SERVICEACCOUNT_DIR,
				   .role = "controller"};
	struct err err = {0};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return fputs(help, stdout) < 0 ? EXIT_CHECK_FAILED : EXIT_DONE;
		if (!daemon_parse_option(&opts, c, optarg))
			return EXIT_USAGE;
	}
	if (optind < argc) {
		(void)fprintf(stderr, "memdiag: argument: \"%s\": controller takes options only\n",
			      argv[optind]);
		return EXIT_USAGE;
	}
	if (serve(&opts, &err) < 0) {
		(void)fprintf(stderr, "memdiag: %s\n", err.msg);
		return EXIT_CHECK_FAILED;
	}
	return EXIT_DONE;
}
