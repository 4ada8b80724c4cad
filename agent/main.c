/* SPDX-License-Identifier: Apache-2.0 */
/* The table of subcommands. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/tree.h"
#include "cmd/cmd.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
} commands[] = {
	{"run", cmd_run, "diagnose this host now and print the report; needs no cluster"},
	{"pods", cmd_pods, "list this node's memory cgroups by pod and container"},
	{"checks", cmd_checks, "list the checks, what each needs, and whether this node has it"},
	{"agent", cmd_agent, "run on a node: watch MemoryDiagnoses, diagnose, report (DaemonSet)"},
	{"controller", cmd_controller, "open and close runs, sum reports up (Deployment)"},
	{"schedule", cmd_schedule, "print when a cron schedule runs next"},
	{"version", cmd_version, "print the version"},
};

static void usage(FILE *out)
{
	(void)fprintf(out, "memdiag: where did the node's memory go?\n\n"
			   "Usage: memdiag COMMAND [OPTION]...\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		(void)fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].summary);
	(void)fprintf(out, "\nmemdiag COMMAND --help tells more.\n");
}

int main(int argc, char **argv)
{
	tree_init();
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0)
		return cmd_version(1, argv);
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(argv[1], commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	}
	(void)fprintf(stderr, "memdiag: unknown command \"%s\"; memdiag --help lists them\n",
		      argv[1]);
	return EXIT_USAGE;
}
