/* SPDX-License-Identifier: Apache-2.0 */
#include "base/thread_wait.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/num.h"

enum { FUNCTION_MAX = 64, PATH_MAX_SHOWN = 128 };

/* A short file of /proc/self/task/TID, whatever the host's /proc is. */
static void read_own(pid_t tid, const char *file, char *out, size_t size)
{
	char path[64];
	FILE *f;

	out[0] = '\0';
	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/%s", (int)tid, file);
	f = fopen(path, "re");
	if (!f)
		return;
	if (!fgets(out, (int)size, f))
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	(void)fclose(f);
}

static bool file_of_fd(uint64_t fd, char out[PATH_MAX_SHOWN])
{
	char link[48];
	ssize_t n;

	(void)snprintf(link, sizeof(link), "/proc/self/fd/%" PRIu64, fd);
	n = readlink(link, out, PATH_MAX_SHOWN - 1);
	if (n < 0)
		return false;
	out[n] = '\0';
	return true;
}

/*
 * The thread may go on meanwhile and free it: the kernel reads, which fails where nothing is. Byte by byte, since what is beyond the
 * text may not be there, and a piece is read whole or not at all.
 */
static bool text_at(uint64_t address, char out[PATH_MAX_SHOWN])
{
	memset(out, 0, PATH_MAX_SHOWN);
	for (size_t i = 0; i < PATH_MAX_SHOWN - 1; i++) {
		struct iovec to = {.iov_base = out + i, .iov_len = 1};
		struct iovec from = {.iov_base = (void *)(uintptr_t)(address + i), .iov_len = 1};

		if (process_vm_readv(getpid(), &to, 1, &from, 1, 0) != 1)
			return false;
		if (out[i] == '\0')
			return i > 0;
	}
	return true;
}

/* The path that openat(2) got, with the directory it is below. */
static bool file_of_open(uint64_t dir, uint64_t address, char out[2 * PATH_MAX_SHOWN])
{
	char folder[PATH_MAX_SHOWN] = "", path[PATH_MAX_SHOWN];

	if (!text_at(address, path))
		return false;
	if (path[0] != '/' && (int)dir != AT_FDCWD)
		(void)file_of_fd(dir, folder);
	(void)snprintf(out, 2 * PATH_MAX_SHOWN, "%s%s%s", folder, folder[0] ? "/" : "", path);
	return true;
}

/* "NUMBER 0xARG 0xARG ...", or "running", or "-1 ..." for a page fault. */
static bool parse_call(char *syscall, uint64_t *ret_number, uint64_t ret_arg[2])
{
	const char *word = strsep(&syscall, " ");

	if (num_u64(word, 0, UINT32_MAX, ret_number) < 0)
		return false;
	for (int i = 0; i < 2; i++) {
		word = strsep(&syscall, " ");
		if (!word || strncmp(word, "0x", 2) != 0 ||
		    num_hex(word + 2, strlen(word + 2), &ret_arg[i]) < 0)
			return false;
	}
	return true;
}

static void describe_call(char *syscall, char *out, size_t size)
{
	uint64_t number, arg[2];
	char file[2 * PATH_MAX_SHOWN];

	if (syscall[0] == '\0')
		(void)snprintf(out, size, "what it waits for cannot be seen");
	else if (!parse_call(syscall, &number, arg))
		(void)snprintf(out, size, "it computes");
	else if ((number == SYS_read || number == SYS_pread64) && file_of_fd(arg[0], file))
		(void)snprintf(out, size, "it reads %s", file);
	else if ((number == SYS_write || number == SYS_fsync) && file_of_fd(arg[0], file))
		(void)snprintf(out, size, "it writes %s", file);
	else if (number == SYS_getdents64 && file_of_fd(arg[0], file))
		(void)snprintf(out, size, "it lists %s", file);
	else if (number == SYS_openat && file_of_open(arg[0], arg[1], file))
		(void)snprintf(out, size, "it opens %s", file);
	else
		(void)snprintf(out, size, "it waits in system call %" PRIu64, number);
}

const char *thread_wait_describe(pid_t tid, char out[THREAD_WAIT_MAX])
{
	char syscall[256], function[FUNCTION_MAX];
	size_t len;

	read_own(tid, "syscall", syscall, sizeof(syscall));
	read_own(tid, "wchan", function, sizeof(function));
	describe_call(syscall, out, THREAD_WAIT_MAX);
	len = strlen(out);
	/* "0": it does not wait, or who asks may not know. */
	if (function[0] && strcmp(function, "0") != 0)
		(void)snprintf(out + len, THREAD_WAIT_MAX - len, " (%s)", function);
	return out;
}
