/* SPDX-License-Identifier: Apache-2.0 */
#include "support/bpf_seen.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <bpf/bpf.h>

#include "support/cpu_load.h"

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

struct holder {
	void *(*open_it)(void);
	int ready;
};

static void hold_open(void *arg)
{
	const struct holder *holder = arg;
	char c = 0;

	if (!holder->open_it() || write(holder->ready, &c, 1) != 1)
		_exit(1);
	(void)pause();
}

void bpf_seen_leaves_nothing(const char *const *names, size_t least, void *(*open_it)(void),
			     void (*close_it)(void *opened))
{
	const struct cpu_load plain = {.cpu = -1};
	struct holder holder = {.open_it = open_it};
	int ready[2];
	pid_t child;
	void *opened;
	char c;

	assert_int_equal(bpf_seen_after(names), 0);
	opened = open_it();
	assert_non_null(opened);
	assert_true(bpf_seen(names) >= least);
	close_it(opened);
	assert_int_equal(bpf_seen_after(names), 0);

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	holder.ready = ready[1];
	child = cpu_load_run(&plain, hold_open, &holder);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_true(bpf_seen(names) >= least);
	cpu_load_stop(child); /* by SIGKILL */
	assert_int_equal(bpf_seen_after(names), 0);
	close(ready[0]);
	close(ready[1]);
}
