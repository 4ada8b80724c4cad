/* SPDX-License-Identifier: Apache-2.0 */
/* The state file of names of pods that are gone: whatever is taken from it comes back the same when it was saved. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "identity/history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/dev/shm/memdiag-fuzz-XXXXXX";
static char *file;

static void clean(void)
{
	(void)unlink(file);
	(void)rmdir(folder);
	free(file);
}

static void write_state(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = -1;

	if (!file) {
		if (!mkdtemp(folder))
			abort();
		file = xasprintf("%s/state", folder);
		(void)atexit(clean);
	}
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct history *first = history_new(), *second = history_new();
	size_t bad = 0, lines = 1;
	struct err err = {0};

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	write_state(data, size);
	if (history_load(first, file, &bad, &err) < 0 || bad + history_count(first) > lines)
		abort();
	if (history_save(first, file, &err) < 0 || history_load(second, file, &bad, &err) < 0)
		abort();
	if (bad > 0 || history_count(second) != history_count(first))
		abort();
	history_free(first);
	history_free(second);
	return 0;
}
