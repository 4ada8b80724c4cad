/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/host.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/num.h"

/* MemTotal is in "kB", which the kernel means as KiB. */
static int read_mem_total(struct host *host, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(64 << 10);
	static const char key[] = "MemTotal:";
	char digits[24] = "";
	const char *at;
	uint64_t kib;
	int r = root_read(&host->proc, "meminfo", &text, err);

	if (r < 0)
		return r;
	at = text.data ? strstr(text.data, key) : NULL;
	if (at) {
		at += sizeof(key) - 1;
		at += strspn(at, " ");
		memcpy(digits, at, strnlen(at, sizeof(digits) - 1));
		digits[strspn(digits, "0123456789")] = '\0';
	}
	if (num_u64(digits, 1, UINT64_MAX >> 10, &kib) < 0)
		return err_say(err, EIO, "%s/meminfo has no MemTotal", host->proc.path);
	host->mem_total_bytes = kib << 10;
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
