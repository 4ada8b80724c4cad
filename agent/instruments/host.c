/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/host.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "instruments/meminfo.h"

static int read_mem_total(struct host *host, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(64 << 10);
	struct meminfo info = {0};
	int r = root_read(&host->proc, "meminfo", &text, err);

	if (r < 0)
		return r;
	meminfo_parse(text.data ? text.data : "", &info, NULL);
	if (info.total == 0)
		return err_say(err, EIO, "%s/meminfo has no MemTotal", host->proc.path);
	host->mem_total_bytes = info.total;
	return 0;
}

int host_open(struct host *host, const struct host_paths *paths, const char *node_name,
	      struct err *err)
{
	struct utsname uts;
	int r = root_open(&host->proc, paths->proc, err);

	if (r < 0)
		return r;
	r = cgroupfs_open(&host->cgroups, paths->cgroup, err);
	if (r < 0)
		return r;
	if (uname(&uts) < 0)
		return err_set(err, errno, "uname");
	(void)snprintf(host->kernel, sizeof(host->kernel), "%s", uts.release);
	(void)snprintf(host->node_name, sizeof(host->node_name), "%s",
		       node_name ? node_name : uts.nodename);
	if (!node_name) {
		for (char *c = host->node_name; *c; c++)
			*c = (char)tolower((unsigned char)*c);
	}
	return read_mem_total(host, err);
}

void host_close(struct host *host)
{
	root_close(&host->proc);
	cgroupfs_close(&host->cgroups);
}
