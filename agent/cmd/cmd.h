/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subcommands: each takes its own argv (argv[0] is its name) and returns the exit status.
 */
#ifndef MEMDIAG_CMD_CMD_H
#define MEMDIAG_CMD_CMD_H

#include <stdio.h>

#include "instruments/host.h"
#include "spec/faults.h"

enum {
	EXIT_DONE = 0,
	EXIT_CHECK_FAILED = 1, /* a check failed, or none worked */
	EXIT_USAGE = 2,	       /* bad arguments or spec */
	EXIT_FAIL_ON = 3,      /* --fail-on was reached */
};

int cmd_run(int argc, char **argv);
int cmd_pods(int argc, char **argv);
int cmd_checks(int argc, char **argv);
int cmd_agent(int argc, char **argv);
int cmd_controller(int argc, char **argv);
int cmd_schedule(int argc, char **argv);
int cmd_version(int argc, char **argv);

/* Prints one line per fault on stderr. */
void cmd_print_faults(const struct faults *faults);

/*
 * Where the host's /proc and cgroups are: /host/sys/fs/cgroup where the agent's pod has them, so that `kubectl exec` into it needs
 * no option; a container's own /sys/fs/cgroup shows its own cgroup only.
 */
struct host_paths cmd_default_paths(void);

#endif
