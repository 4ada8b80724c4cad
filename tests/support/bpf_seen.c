/* SPDX-License-Identifier: Apache-2.0 */
#include "support/bpf_seen.h"

#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

size_t bpf_seen(const char *const *names)
{
	__u32 id = 0;
	size_t n = 0;

	while (bpf_prog_get_next_id(id, &id) == 0) {
		struct bpf_prog_info info = {0};
		__u32 size = sizeof(info);
		int fd = bpf_prog_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &size) == 0)
			for (size_t i = 0; names[i]; i++)
				n += strncmp(info.name, names[i], BPF_OBJ_NAME_LEN - 1) == 0;
		close(fd);
	}
	return n;
}

size_t bpf_seen_after(const char *const *names)
{
	size_t n = bpf_seen(names);

	for (int i = 0; i < 250 && n > 0; i++) {
		(void)usleep(20000);
		n = bpf_seen(names);
	}
	return n;
}
