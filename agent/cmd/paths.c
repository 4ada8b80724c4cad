/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "cmd/cmd.h"

#define IN_POD "/host/sys/fs/cgroup"

struct host_paths cmd_default_paths(void)
{
	return (struct host_paths){"/proc", access(IN_POD, F_OK) == 0 ? IN_POD : "/sys/fs/cgroup"};
}
