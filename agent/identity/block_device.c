/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/block_device.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* A driver chooses the name; what is neither a plain word nor a path of such below /dev is nobody's device node. */
static bool is_plain(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.:-/";

	return *name && *name != '/' && name[strspn(name, letters)] == '\0' && !strstr(name, "..");
}

char *block_device_name(const struct root *sys, uint32_t major, uint32_t minor)
{
	_cleanup_buf_ struct buf text = BUF_INIT(4096);
	char rel[64], *rest, *line;

	(void)snprintf(rel, sizeof(rel), "dev/block/%u:%u/uevent", major, minor);
	if (root_read(sys, rel, &text, NULL) < 0 || !text.data)
		return NULL;
	rest = text.data;
	while ((line = strsep(&rest, "\n"))) {
		const char *name = line + strlen("DEVNAME=");

		if (strncmp(line, "DEVNAME=", strlen("DEVNAME=")) == 0)
			return is_plain(name) ? xstrdup(name) : NULL;
	}
	return NULL;
}
