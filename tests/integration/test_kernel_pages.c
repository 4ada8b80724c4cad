/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each page is, against the kernel's own counters, and kernel memory charged to a cgroup against that cgroup's. Needs root.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "instruments/kernel_pages.h"
#include "instruments/meminfo.h"
#include "support/page_size.h"
#include "support/plant.h"

#define MIB (1 << 20)

static struct root proc = ROOT_INIT;

/* A scan between two looks at the counters. */
struct measured {
	struct kernel_pages_snapshot *s;
	struct meminfo before, after;
};

static void look(struct meminfo *info)
{
	struct parse_notes notes = {0};

	assert_int_equal(meminfo_read(&proc, info, &notes, NULL), 0);
}

static struct measured measure(void)
{
	const struct kernel_pages_opts opts = {0};
	struct measured m = {NULL};
	struct err err = {0};

	look(&m.before);
	if (kernel_pages_scan(&proc, &opts, &m.s, &err) < 0)
		fail_msg("kernel_pages_scan: %s", err.msg);
	look(&m.after);
	return m;
}

/* How far bytes is outside of what the counter was before and after. */
static uint64_t distance(uint64_t bytes, uint64_t before, uint64_t after)
{
	uint64_t low = before < after ? before : after, high = before < after ? after : before;

	return bytes < low ? low - bytes : bytes > high ? bytes - high : 0;
}

struct expected {
	const char *what;
	uint64_t bytes, before, after, slack;
};

/* The first that does not agree; NULL: all do. */
static const struct expected *disagrees(const struct measured *m)
{
	const uint64_t *b = m->s->bytes;
	const struct meminfo *x = &m->before, *y = &m->after;
	static struct expected rows[8];
	struct memory_line lines[2][MEMORY_LINES_MAX];
	size_t n = meminfo_lines(x, lines[0]);
	uint64_t others = b[KERNEL_PAGES_ACCOUNTED] + b[KERNEL_PAGES_COMPOUND] +
			  b[KERNEL_PAGES_PLAIN] + b[KERNEL_PAGES_TAIL] + m->s->unmapped_bytes;

	(void)meminfo_lines(y, lines[1]);
	/* Counters of the kernel are kept per CPU and written back when they are off by some dozen pages each. */
	rows[0] = (struct expected){"free", b[KERNEL_PAGES_FREE], x->free, y->free, 8 * MIB};
	rows[1] = (struct expected){"per-CPU lists", b[KERNEL_PAGES_PCP], x->pcp, y->pcp, 8 * MIB};
	rows[2] = (struct expected){"slab", b[KERNEL_PAGES_SLAB] + b[KERNEL_PAGES_KMALLOC], x->slab,
				    y->slab, 2 * MIB};
	rows[3] = (struct expected){"page tables", b[KERNEL_PAGES_TABLE], x->page_tables,
				    y->page_tables, 2 * MIB};
	rows[4] =
		(struct expected){"huge pages", b[KERNEL_PAGES_HUGETLB], x->hugetlb, y->hugetlb, 0};
	rows[5] = (struct expected){"files", b[KERNEL_PAGES_FILE],
				    x->cached + x->buffers + x->swap_cached,
				    y->cached + y->buffers + y->swap_cached, 8 * MIB};
	rows[6] = (struct expected){"anonymous", b[KERNEL_PAGES_ANON] - m->s->unmapped_bytes,
				    x->anon_pages, y->anon_pages, 8 * MIB};
	/* What no counter has is what the breakdown does not explain. */
	rows[7] = (struct expected){"the rest", others - y->vmalloc_used - y->percpu,
				    (uint64_t)lines[0][n - 1].bytes,
				    (uint64_t)lines[1][n - 1].bytes, 8 * MIB};
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (distance(rows[i].bytes, rows[i].before, rows[i].after) > rows[i].slack)
			return &rows[i];
	return NULL;
}

/* Whatever the classes are, they are all of memory. */
static void assert_complete(const struct measured *m)
{
	uint64_t sum = m->s->torn_bytes;

	assert_int_equal(m->s->coverage_permille, 1000);
	for (size_t i = 0; i < KERNEL_PAGES_N; i++)
		sum += i == KERNEL_PAGES_RESERVED ? 0 : m->s->bytes[i];
	/* Some kernels free boot memory late, and struct page lives in whole pages. */
	if (distance(sum, m->before.total, m->after.total) > m->before.total / 1000)
		fail_msg("classes add up to %llu KiB of %llu KiB", (unsigned long long)sum >> 10,
			 (unsigned long long)m->before.total >> 10);
	assert_true(m->s->torn_bytes <= 4 * MIB);
}

static void classes_agree_with_meminfo(void **state)
{
	const struct expected *e = NULL;

	(void)state;
	/* The host is busy with other things, too: one quiet moment is enough. */
	for (int tries = 0; tries < 8; tries++) {
		struct measured m = measure();

		assert_complete(&m);
		e = disagrees(&m);
		print_message(
			"%llu frames, %.1f ms CPU, %.1f ns a frame, longest call %.0f us%s%s\n",
			(unsigned long long)m.s->pfns, (double)m.s->cpu_ns / 1e6,
			(double)m.s->cpu_ns / (double)m.s->pfns, (double)m.s->bpf_max_call_ns / 1e3,
			e ? "; off: " : "", e ? e->what : "");
		assert_true(m.s->bpf_max_call_ns < 1000000 || getenv("MEMDIAG_TEST_EMULATED"));
		kernel_pages_snapshot_free(m.s);
		if (!e)
			return;
	}
	fail_msg("%s: %llu KiB, the kernel says %llu to %llu", e->what,
		 (unsigned long long)e->bytes >> 10, (unsigned long long)e->before >> 10,
		 (unsigned long long)e->after >> 10);
}

static uint64_t huge_pages(const char *write)
{
	_cleanup_close_ int fd =
		open("/proc/sys/vm/nr_hugepages", (write ? O_WRONLY : O_RDONLY) | O_CLOEXEC);
	char text[32] = "";

	assert_true(fd >= 0);
	if (write)
		assert_true(pwrite(fd, write, strlen(write), 0) > 0);
	else
		assert_true(read(fd, text, sizeof(text) - 1) > 0);
	return strtoull(text, NULL, 10);
}

/* The pool's pages are huge pages while free, and still are when some are a file's. */
static void huge_pages_of_the_pool(void **state)
{
	uint64_t was = huge_pages(NULL);
	char text[32];
	struct measured m;

	(void)state;
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)was + 16);
	(void)huge_pages(text);
	m = measure();
	(void)snprintf(text, sizeof(text), "%llu", (unsigned long long)was);
	(void)huge_pages(text);
	assert_true(m.after.hugetlb > 0);
	assert_int_equal(m.s->bytes[KERNEL_PAGES_HUGETLB], m.after.hugetlb);
	kernel_pages_snapshot_free(m.s);
}

#define PIPES 128

/* Pipes that can hold a MiB each, and do where *arg says so. */
static int make_pipes(void *arg)
{
	static char data[MIB];
	const bool *full = arg;

	for (int i = 0; i < PIPES; i++) {
		int fds[2];

		if (pipe2(fds, O_CLOEXEC) < 0 || fcntl(fds[1], F_SETPIPE_SZ, MIB) < 0 ||
		    (*full && write(fds[1], data, MIB) != MIB))
			return 4;
	}
	return 0;
}

/* What the cgroup itself says: v1's kmem counter, v2's "kernel" in memory.stat (5.18). Slab and page tables are in it. */
static uint64_t cgroup_kernel_bytes(const char *dir)
{
	_cleanup_free_ char *v1 = xasprintf("%s/memory.kmem.usage_in_bytes", dir);
	_cleanup_free_ char *v2 = xasprintf("%s/memory.stat", dir);
	_cleanup_fclose_ FILE *f = fopen(v1, "re");
	char name[128];
	unsigned long long value = 0, kernel = 0;

	if (f) {
		assert_int_equal(fscanf(f, "%llu", &value), 1);
		return value;
	}
	f = fopen(v2, "re");
	assert_non_null(f);
	while (fscanf(f, "%127s %llu", name, &value) == 2)
		if (strcmp(name, "kernel") == 0)
			kernel = value;
	return kernel;
}

static const struct kernel_pages_memcg *find(const struct kernel_pages_snapshot *s,
					     const char *path)
{
	for (size_t i = 0; i < s->n_memcgs; i++)
		if (strcmp(s->memcgs[i].path, path) == 0)
			return &s->memcgs[i];
	return NULL;
}

static uint64_t bytes_of(const struct kernel_pages_snapshot *s, const char *path)
{
	const struct kernel_pages_memcg *memcg = find(s, path);

	return memcg ? memcg->bytes : 0;
}

/* The same pipes, empty and full, in two cgroups: what differs is what is in the pipes. */
static void pipes_are_charged_to_their_cgroup(void **state)
{
	const char *empty = plant_cgroup("empty"), *full = plant_cgroup("full");
	bool no = false, yes = true;
	struct plant_child children[] = {plant_process(empty, make_pipes, &no),
					 plant_process(full, make_pipes, &yes)};
	struct measured m = measure();
	uint64_t kernel = cgroup_kernel_bytes(full) - cgroup_kernel_bytes(empty), sum = 0;
	uint64_t found = bytes_of(m.s, plant_cgroup_path(full));

	(void)state;
	plant_reader_end(&children[0]);
	plant_reader_end(&children[1]);
	for (size_t i = 0; i < m.s->n_memcgs; i++) {
		sum += m.s->memcgs[i].bytes;
	}
	assert_int_equal(sum, m.s->bytes[KERNEL_PAGES_ACCOUNTED]);
	found -= bytes_of(m.s, plant_cgroup_path(empty));
	kernel_pages_snapshot_free(m.s);
	print_message("%.2f MiB of pages; the cgroup says %.2f MiB of kernel memory\n",
		      (double)found / MIB, (double)kernel / MIB);
	assert_true(distance(found, (uint64_t)PIPES * MIB, (uint64_t)PIPES * MIB) <= MIB);
	/* Kernels before 5.18 have no such line on v2. */
	if (kernel > 0)
		assert_true(distance(found, kernel, kernel) <= 2 * MIB);
	plant_clean();
}

/* 128 MiB, or eight if they are larger than most. */
static size_t huge_bytes(void)
{
	return huge_page_bytes() > 16 * MIB ? 8 * huge_page_bytes() : 128 * MIB;
}

/* Huge pages of which every other page is given back. Not where there are none. */
static int remains_of_huge_pages(void *arg)
{
	const size_t bytes = huge_bytes(), huge = huge_page_bytes(), page = page_bytes();
	char *map = mmap(NULL, bytes + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			 -1, 0),
	     *p;

	(void)arg;
	if (map == MAP_FAILED)
		return 4;
	p = map + (huge - (uintptr_t)map % huge) % huge;
	if (madvise(p, bytes, MADV_HUGEPAGE) < 0)
		return 5;
	memset(p, 1, bytes);
	for (size_t i = 0; i < bytes; i += 2 * page)
		if (madvise(p + i, page, MADV_DONTNEED) < 0)
			return 6;
	return 0;
}

/* Kernels from 6.3 on; compiled with huge pages. */
static bool kernel_tells_what_is_mapped(void)
{
	static const char member[] = "_nr_pages_mapped";
	_cleanup_close_ int fd = open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC);
	_cleanup_free_ char *types = NULL;
	struct stat st;

	assert_true(fd >= 0 && fstat(fd, &st) == 0);
	types = xmalloc((size_t)st.st_size);
	for (off_t n = 0; n < st.st_size;) {
		ssize_t r = read(fd, types + n, (size_t)(st.st_size - n));

		assert_true(r > 0);
		n += r;
	}
	return memmem(types, (size_t)st.st_size, member, sizeof(member));
}

/*
 * What is in use, but in no process and no counter: half of the huge pages. The independent truth: anonymous pages that the kernel
 * does not count as mapped.
 */
static void remains_of_huge_pages_are_found(void **state)
{
	const char *cgroup = plant_cgroup("remains");
	struct plant_child child = plant_process(cgroup, remains_of_huge_pages, NULL);
	uint64_t found = 0, all = 0, off = UINT64_MAX;

	(void)state;
	for (int tries = 0; tries < 8 && off > 8 * MIB; tries++) {
		struct measured m = measure();
		const struct kernel_pages_memcg *memcg = find(m.s, plant_cgroup_path(cgroup));

		found = memcg ? memcg->unmapped_bytes : 0;
		all = m.s->unmapped_bytes;
		off = distance(m.s->bytes[KERNEL_PAGES_ANON], m.before.anon_pages + all,
			       m.after.anon_pages + all);
		kernel_pages_snapshot_free(m.s);
		print_message("%.1f MiB of the cgroup, %.1f MiB of all, off by %.1f MiB\n",
			      (double)found / MIB, (double)all / MIB, (double)off / MIB);
		if (!kernel_tells_what_is_mapped())
			break;
	}
	plant_reader_end(&child);
	plant_clean();
	if (!kernel_tells_what_is_mapped()) {
		assert_int_equal(all, 0);
		return;
	}
	assert_true(off <= 8 * MIB);
	/* Not every huge page can be had where memory is fragmented. */
	assert_true(found >= huge_bytes() / 16);
	assert_true(found <= huge_bytes() / 2);
	assert_true(all >= found);
}

static void a_budget_ends_it(void **state)
{
	const struct kernel_pages_opts opts = {.cpu_budget_ns = 1};
	struct kernel_pages_snapshot *s = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(kernel_pages_scan(&proc, &opts, &s, &err), 0);
	assert_true(s->pfns > 0 && s->coverage_permille < 1000);
	kernel_pages_snapshot_free(s);
}

static int setup(void **state)
{
	(void)state;
	return root_open(&proc, "/proc", NULL);
}

static int teardown(void **state)
{
	(void)state;
	plant_clean();
	root_close(&proc);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(classes_agree_with_meminfo),
		cmocka_unit_test(huge_pages_of_the_pool),
		cmocka_unit_test(pipes_are_charged_to_their_cgroup),
		cmocka_unit_test(remains_of_huge_pages_are_found),
		cmocka_unit_test(a_budget_ends_it),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
