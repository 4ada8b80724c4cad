/* SPDX-License-Identifier: Apache-2.0 */
#include "support/balloon.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"

#define POOL "/proc/sys/vm/nr_hugepages"

static pid_t guardian;
static int hold = -1;

static uint64_t meminfo_kib(const char *name)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/meminfo", "re");
	char key[64], line[256];
	unsigned long long value;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %llu", key, &value) == 2 && strcmp(key, name) == 0)
			return value;
	fail_msg("/proc/meminfo has no %s", name);
	return 0;
}

static void set_pool(uint64_t pages)
{
	char text[32];
	int fd = open(POOL, O_WRONLY | O_CLOEXEC);
	int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)pages);

	if (fd >= 0) {
		(void)!write(fd, text, (size_t)n);
		(void)close(fd);
	}
}

static void guard(uint64_t pages, int ready, int held)
{
	char c;

	(void)setsid();
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGTERM, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	set_pool(pages);
	(void)!write(ready, "", 1);
	(void)!read(held, &c, 1); /* until the test lets go, or is no more */
	set_pool(0);
	_exit(0);
}

void balloon_inflate(uint64_t keep_bytes)
{
	uint64_t free_kib = meminfo_kib("MemFree:"), page_kib = meminfo_kib("Hugepagesize:");
	uint64_t keep_kib = keep_bytes / 1024;
	int ready[2], held[2];
	char c;

	assert_int_equal(meminfo_kib("HugePages_Total:"), 0);
	if (free_kib <= keep_kib + page_kib)
		return;
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(held, O_CLOEXEC), 0);
	guardian = fork();
	assert_true(guardian >= 0);
	if (guardian == 0) {
		(void)close(held[1]);
		guard((free_kib - keep_kib) / page_kib, ready[1], held[0]);
	}
	hold = held[1];
	(void)close(held[0]);
	(void)close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	(void)close(ready[0]);
}

void balloon_release(void)
{
	if (hold < 0)
		return;
	(void)close(hold);
	hold = -1;
	(void)waitpid(guardian, NULL, 0);
}

static void set_one(pid_t pid, int policy, const cpu_set_t *cpus)
{
	const struct sched_param none = {0};

	(void)sched_setscheduler(pid, policy, &none);
	(void)sched_setaffinity(pid, sizeof(*cpus), cpus);
}

static void set_policy(int policy, const cpu_set_t *cpus)
{
	DIR *dir = opendir("/proc");
	const struct dirent *entry;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char comm[64] = "";
		_cleanup_free_ char *path = xasprintf("/proc/%s/comm", entry->d_name);
		_cleanup_fclose_ FILE *f = fopen(path, "re");

		if (f && fgets(comm, sizeof(comm), f) && strncmp(comm, "kswapd", 6) == 0)
			set_one((pid_t)atoi(entry->d_name), policy, cpus);
	}
	(void)closedir(dir);
}

void balloon_slow_kswapd(void)
{
	cpu_set_t first;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	set_policy(SCHED_IDLE, &first);
}

void balloon_restore_kswapd(void)
{
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all)); /* the kernel keeps those that there are */
	set_policy(SCHED_OTHER, &all);
}
