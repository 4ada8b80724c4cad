/* SPDX-License-Identifier: Apache-2.0 */
#include <getopt.h>
#include <stdio.h>

#include "checks/check.h"
#include "cmd/cmd.h"

static const char help[] =
	"Usage: memdiag checks [--proc DIR] [--cgroup-root DIR]\n\n"
	"Lists every check type, what it needs, and whether this node has it. A check that is not\n"
	"available is Skipped in a report, with the same reason.\n";

static void print_row(enum check_type type, const struct host *host)
{
	const struct check *check = check_find(type);
	struct err err = {0};

	if (!check) {
		(void)printf("%-18s %-9s %s\n", check_type_names[type], "no",
			     "not in this version");
		return;
	}
	if (check_probe(check, host, &err) < 0)
		(void)printf("%-18s %-9s %s\n", check_type_names[type], "no", err.msg);
	else
		(void)printf("%-18s %-9s %s\n", check_type_names[type], "yes", check->needs);
}

int cmd_checks(int argc, char **argv)
{
	static const struct option options[] = {
		{"proc", required_argument, NULL, 'p'},
		{"cgroup-root", required_argument, NULL, 'g'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct host_paths paths = cmd_default_paths();
	_cleanup_host_ struct host host = HOST_INIT;
	struct err err = {0};
	int c;

	while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		if (c == 'h')
			return fputs(help, stdout) < 0 ? EXIT_CHECK_FAILED : EXIT_DONE;
		if (c == 'p')
			paths.proc = optarg;
		else if (c == 'g')
			paths.cgroup = optarg;
		else
			return EXIT_USAGE;
	}
	if (host_open(&host, &paths, NULL, &err) < 0) {
		(void)fprintf(stderr, "memdiag: %s\n", err.msg);
		return EXIT_CHECK_FAILED;
	}
	(void)printf("%-18s %-9s %s\n", "CHECK", "AVAILABLE", "NEEDS, OR WHAT IS MISSING");
	for (int type = 0; type < CHECK_TYPES; type++)
		print_row((enum check_type)type, &host);
	return EXIT_DONE;
}
