/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compaction latency against vmstat's compact_stall, on memory that is fragmented on purpose. Needs root; takes most of the memory
 * for some seconds, without filling it.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "instruments/compaction.h"
#include "support/balloon.h"
#include "support/page_size.h"
#include "support/plant.h"

#define MIB  ((uint64_t)1 << 20)
#define U(x) ((uint64_t)(x)) /* BPF's numbers are another type of the same size */

enum { HUGE_PAGES_MAX = 1000, STALLS = 50 };

static struct compaction *opened;

static uint64_t value_of(const char *path, const char *name)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[256], key[128];
	unsigned long long value;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%127s %llu", key, &value) == 2 && strcmp(key, name) == 0)
			return value;
	fail_msg("%s has no %s", path, name);
	return 0;
}

static uint64_t stalls(void)
{
	return value_of("/proc/vmstat", "compact_stall");
}

static uint64_t huge_page_order(void)
{
	uint64_t order = 0;

	while (page_bytes() << order < huge_page_bytes())
		order++;
	return order;
}

/* Fills three quarters of what is free and gives every other page back: no piece of it is larger than a page. */
static void fragment(void)
{
	const uint64_t page = page_bytes();
	uint64_t bytes = value_of("/proc/meminfo", "MemFree:") * 1024 / 4 * 3 / page * page;
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || madvise(p, bytes, MADV_NOHUGEPAGE) < 0)
		_exit(10);
	for (uint64_t i = 0; i < bytes; i += page)
		p[i] = 1;
	for (uint64_t i = 0; i < bytes; i += 2 * page)
		if (madvise(p + i, page, MADV_DONTNEED) < 0)
			_exit(11);
}

/* Asks for huge pages until the kernel had to compact for some dozens; in a child, first to go if memory gets short. */
static void compact(void)
{
	const uint64_t huge = huge_page_bytes();
	uint64_t bytes = HUGE_PAGES_MAX * huge, first;
	_cleanup_close_ int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	/* More than a small machine has: it ends long before. */
	char *p = mmap(NULL, bytes + huge, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (write(fd, "1000", 4) != 4 || p == MAP_FAILED)
		_exit(12);
	fragment();
	p = (char *)(((uintptr_t)p + huge - 1) & ~(huge - 1));
	if (madvise(p, bytes, MADV_HUGEPAGE) < 0)
		_exit(13);
	first = stalls();
	for (uint64_t i = 0; i < bytes && stalls() < first + STALLS; i += huge)
		p[i] = 1;
	_exit(0);
}

static void in_child(const char *cgroup)
{
	_cleanup_free_ char *path = xasprintf("%s/cgroup.procs", cgroup);
	int status = 0;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = open(path, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1)
			_exit(9);
		compact();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("the child that fragments memory: status %#x", (unsigned int)status);
}

static struct latency_snapshot *snapshot(void)
{
	struct latency_snapshot *s = NULL;
	struct err err = {0};

	if (compaction_read(opened, &s, &err) < 0)
		fail_msg("compaction_read: %s", err.msg);
	return s;
}

/* Sum of the direct causes, by cgroup (UINT64_MAX: all) and order (UINT64_MAX: all). */
static struct hist direct(const struct latency_snapshot *s, uint64_t cgroup, uint64_t order)
{
	struct hist hist = {0};

	for (size_t i = 0; i < s->n; i++)
		if (s->rows[i].cause <= COMPACTION_DEFERRED &&
		    (cgroup == UINT64_MAX || s->rows[i].cgroup_id == cgroup) &&
		    (order == UINT64_MAX || s->rows[i].target_id == order))
			hist_add(&hist, &s->rows[i].hist);
	return hist;
}

static uint64_t deferred_of(const struct latency_snapshot *s)
{
	uint64_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->rows[i].cause == COMPACTION_DEFERRED)
			n += s->rows[i].hist.count;
	return n;
}

static void drop_cache(void)
{
	_cleanup_close_ int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	sync();
	assert_int_equal(write(fd, "1", 1), 1);
}

static void count_is_compact_stall(const struct compaction_opts *opts)
{
	const char *dir = plant_cgroup("compaction");
	struct latency_snapshot *before, *after, *diff;
	struct err err = {0};
	uint64_t count, deferred;
	struct hist all, mine;
	struct stat st;

	assert_int_equal(stat(dir, &st), 0);
	if (compaction_open(opts, &opened, &err) < 0)
		fail_msg("compaction_open: %s", err.msg);
	before = snapshot();
	count = stalls();
	/* Cache that DAMON or kswapd gives back meanwhile would be pieces large enough. */
	drop_cache();
	balloon_inflate(4096 * MIB);
	in_child(dir);
	balloon_release();
	count = stalls() - count;
	after = snapshot();
	diff = latency_diff(before, after);
	all = direct(diff, UINT64_MAX, UINT64_MAX);
	mine = direct(diff, st.st_ino, huge_page_order());
	print_message("compaction: %" PRIu64 " waits, %" PRIu64 " us, longest %" PRIu64
		      " us; compact_stall %" PRIu64 "\n",
		      U(all.count), U(all.sum_ns / 1000), U(all.max_ns / 1000), count);
	for (size_t i = 0; i < diff->n; i++)
		print_message("  %s, order %" PRIu64 ": %" PRIu64 "\n",
			      compaction_cause_names[diff->rows[i].cause], diff->rows[i].target_id,
			      U(diff->rows[i].hist.count));
	assert_true(count >= STALLS);
	/* Up to 6.x those that were only deferred are stalls as well; 7.2 leaves them out. */
	deferred = deferred_of(diff);
	assert_true(all.count == count || all.count - deferred == count);
	assert_true(mine.count >= STALLS);
	/* Deferred ones take no time; sometimes all are. */
	for (size_t i = 0; i < diff->n; i++)
		if (diff->rows[i].cause < COMPACTION_DEFERRED)
			assert_true(diff->rows[i].hist.sum_ns > 0);
	assert_int_equal(diff->lost, 0);
	latency_snapshot_free(before);
	latency_snapshot_free(after);
	latency_snapshot_free(diff);
}

static void with_task_storage(void **state)
{
	const struct compaction_opts opts = {.by_pid = false};

	(void)state;
	count_is_compact_stall(&opts);
}

static void by_pid(void **state)
{
	const struct compaction_opts opts = {.by_pid = true};

	(void)state;
	count_is_compact_stall(&opts);
}

/* Not waited for, and not called direct. */
static void writing_to_compact_memory_is_manual(void **state)
{
	const struct compaction_opts opts = {.by_pid = false};
	struct latency_snapshot *s;
	uint64_t manual = 0;
	int fd = open("/proc/sys/vm/compact_memory", O_WRONLY | O_CLOEXEC);

	(void)state;
	assert_int_equal(compaction_open(&opts, &opened, NULL), 0);
	assert_int_equal(write(fd, "1", 1), 1);
	(void)close(fd);
	s = snapshot();
	for (size_t i = 0; i < s->n; i++)
		manual += s->rows[i].cause == COMPACTION_MANUAL ? s->rows[i].hist.count : 0;
	assert_true(manual > 0);
	latency_snapshot_free(s);
}

static int clean(void **state)
{
	(void)state;
	compaction_close(opened);
	opened = NULL;
	balloon_release();
	plant_clean();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(with_task_storage, clean),
		cmocka_unit_test_teardown(by_pid, clean),
		cmocka_unit_test_teardown(writing_to_compact_memory_is_manual, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
