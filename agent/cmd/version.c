/* SPDX-License-Identifier: Apache-2.0 */
#include "base/version.h"
#include "cmd/cmd.h"

int cmd_version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return printf("memdiag %s\n", memdiag_version) < 0 ? EXIT_CHECK_FAILED : EXIT_DONE;
}
