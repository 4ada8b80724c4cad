/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "identity/cgroup_name.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *path = xstrndup((const char *)data, size);
	struct cgroup_name name;

	memset(&name, 0xff, sizeof(name));
	cgroup_name_parse(path, &name);
	if (strnlen(name.pod_uid, sizeof(name.pod_uid)) == sizeof(name.pod_uid) ||
	    strnlen(name.container_id, sizeof(name.container_id)) == sizeof(name.container_id) ||
	    strnlen(name.unit, sizeof(name.unit)) == sizeof(name.unit) || !name.qos)
		abort();
	if (name.kind == CGROUP_KIND_POD || name.kind == CGROUP_KIND_CONTAINER) {
		/* Each has its parts. */
		if (!*name.pod_uid || (name.kind == CGROUP_KIND_CONTAINER) == !*name.container_id)
			abort();
	}
	return 0;
}
