/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory cgroup of a process, from /proc/PID/cgroup.
 */
#ifndef MEMDIAG_IDENTITY_PROCESS_CGROUP_H
#define MEMDIAG_IDENTITY_PROCESS_CGROUP_H

#include <stdint.h>
#include <sys/types.h>

#include "base/root.h"
#include "identity/pods.h"
#include "instruments/cgroupfs.h"

struct process_cgroup {
	uint64_t id; /* 0: the cgroup is not below the mount that we have */
	char *path;  /* below the mount, as struct pod_cgroup has it; owned */
};

/*
 * pods may be NULL; it helps where we are in a cgroup namespace: paths are then relative to our own cgroup ("/../../x/y"), and
 * the one cgroup of the table that ends so is meant. -ENOENT: the process is gone; -ENODATA: no memory controller.
 */
int process_cgroup_read(const struct root *proc, const struct cgroupfs *cgroups,
			const struct pods *pods, pid_t pid, struct process_cgroup *ret);
void process_cgroup_done(struct process_cgroup *cgroup);

/*
 * Pure: the path of the memory controller's line ("5:cpu,memory:/a" on v1, "0::/a" on v2) in the text of /proc/PID/cgroup. NULL:
 * there is none. The caller frees it.
 */
char *process_cgroup_parse(const char *text, enum cgroup_mode mode);

#endif
