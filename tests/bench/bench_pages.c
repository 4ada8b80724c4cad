/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The page scan against the other way to ask about every page: bulk reads of /proc/kpageflags and /proc/kpagecgroup, which
 * know no file; and against itself, limited to memory cgroups. Same page frames, same process, rounds in turns, medians.
 * Needs root.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "instruments/pages_internal.h"
#include "support/median.h"
#include "support/plant.h"

#define ROUNDS	    7
#define BIG	    20
#define BIG_BYTES   ((size_t)100 << 20)
#define SMALL	    40000
#define ANON_BYTES  ((size_t)2 << 30)
#define LIMIT_NS    25.0
#define LIMIT_RATIO 5.0
#define LIMIT_CALL  1e6

/* --- the peer ----------------------------------------------------------------------------------------------------------- */

/* Bits of /proc/kpageflags, include/uapi/linux/kernel-page-flags.h. */
#define KPF(n)	     (1ULL << (n))
#define KPF_IN_CACHE (KPF(5) | KPF(18)) /* LRU, unevictable */
#define KPF_OTHER    (KPF(7) | KPF(10) | KPF(12) | KPF(17) | KPF(20) | KPF(23) | KPF(26) | KPF(32))
/* slab, buddy, anonymous, hugetlb, no page, offline, page table, reserved */

#define PEER_BATCH  65536
#define PEER_GROUPS 65536 /* cgroups; a power of two */

struct peer {
	int flags_fd, cgroup_fd;
	uint64_t *flags, *cgroups;
	struct {
		uint64_t id, pages;
	} * groups;
	uint64_t cache_pages;
};

static void peer_init(struct peer *p)
{
	p->flags_fd = open("/proc/kpageflags", O_RDONLY | O_CLOEXEC);
	p->cgroup_fd = open("/proc/kpagecgroup", O_RDONLY | O_CLOEXEC);
	assert_true(p->flags_fd >= 0 && p->cgroup_fd >= 0);
	p->flags = xcalloc(PEER_BATCH, sizeof(*p->flags));
	p->cgroups = xcalloc(PEER_BATCH, sizeof(*p->cgroups));
	p->groups = xcalloc(PEER_GROUPS, sizeof(*p->groups));
}

static void peer_done(struct peer *p)
{
	(void)close(p->flags_fd);
	(void)close(p->cgroup_fd);
	free(p->flags);
	free(p->cgroups);
	free(p->groups);
}

static void peer_count(struct peer *p, uint64_t id)
{
	size_t i = (size_t)(id * 0x9e3779b97f4a7c15ULL >> 40) & (PEER_GROUPS - 1);

	while (p->groups[i].pages && p->groups[i].id != id)
		i = (i + 1) & (PEER_GROUPS - 1);
	p->groups[i].id = id;
	p->groups[i].pages++;
	p->cache_pages++;
}

/* Returns CPU ns. */
static uint64_t peer_scan(struct peer *p, const struct pages_range *ranges, size_t n)
{
	uint64_t begin = clock_thread_cpu_ns();

	memset(p->groups, 0, PEER_GROUPS * sizeof(*p->groups));
	p->cache_pages = 0;
	for (size_t r = 0; r < n; r++) {
		for (uint64_t pfn = ranges[r].start; pfn < ranges[r].end; pfn += PEER_BATCH) {
			uint64_t left = ranges[r].end - pfn;
			size_t k = left < PEER_BATCH ? (size_t)left : PEER_BATCH;

			if (pread(p->flags_fd, p->flags, k * 8, (off_t)(pfn * 8)) < 8 ||
			    pread(p->cgroup_fd, p->cgroups, k * 8, (off_t)(pfn * 8)) < 8)
				continue;
			for (size_t i = 0; i < k; i++)
				if (p->flags[i] & KPF_IN_CACHE && !(p->flags[i] & KPF_OTHER))
					peer_count(p, p->cgroups[i]);
		}
	}
	return clock_thread_cpu_ns() - begin;
}

/* --- what there is to find ----------------------------------------------------------------------------------------------- */

struct load {
	struct plant_file big[BIG];
	char *anon;
};

static void load_plant(struct load *l)
{
	const char *dir = plant_dir(), *shm = plant_tmpfs();

	for (int i = 0; i < BIG; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "big%d", i);
		l->big[i] = plant_file(dir, name, BIG_BYTES);
	}
	/* There is no swap for them to go to, so these need not be held. */
	for (int i = 0; i < SMALL; i++) {
		_cleanup_free_ char *path = xasprintf("%s/f%d", shm, i);
		_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		static const char block[3 * 4096];

		assert_true(fd >= 0);
		assert_true(write(fd, block, (size_t)(1 + i % 3) * 4096) > 0);
	}
	l->anon = mmap(NULL, ANON_BYTES, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	assert_ptr_not_equal(l->anon, MAP_FAILED);
}

static void load_remove(struct load *l)
{
	for (int i = 0; i < BIG; i++)
		plant_close(&l->big[i]);
	(void)munmap(l->anon, ANON_BYTES);
	plant_clean();
}

/* --- measuring ----------------------------------------------------------------------------------------------------------- */

static struct pages_snapshot *scan_once(const struct root *proc, const uint64_t *ids, size_t n)
{
	const struct pages_opts opts = {.top = 20, .memcg_ids = ids, .n_memcg_ids = n};
	struct pages_snapshot *s = NULL;
	struct err err = {0};

	if (pages_scan(proc, &opts, &s, &err) < 0)
		fail_msg("%s", err.msg);
	return s;
}

static double scan_filtered(const struct root *proc, const uint64_t *ids, size_t n, double *call_ns)
{
	struct pages_snapshot *s = scan_once(proc, ids, n);
	double ns = (double)s->cpu_ns / (double)s->pfns;

	if ((double)s->bpf_max_call_ns > *call_ns)
		*call_ns = (double)s->bpf_max_call_ns;
	pages_snapshot_free(s);
	return ns;
}

struct figures {
	double scan_ns, peer_ns, ratio, call_ns;
	/* Limited to what nobody has and to what everybody has. */
	double nobody_ns, everybody_ns, filter_call_ns;
};

static void measure(const struct root *proc, struct figures *ret)
{
	double scan[ROUNDS], peer_ns[ROUNDS], ratio[ROUNDS], call[ROUNDS];
	double nobody[ROUNDS], everybody[ROUNDS], filter_call[ROUNDS];
	const uint64_t unknown = UINT64_MAX;
	_cleanup_free_ struct pages_range *ranges = NULL;
	struct pages_snapshot *s = scan_once(proc, NULL, 0);
	_cleanup_free_ uint64_t *ids = xcalloc(s->n_memcgs + 1, sizeof(*ids));
	const size_t n_ids = s->n_memcgs < PAGES_MAX_MEMCG_IDS ? s->n_memcgs : PAGES_MAX_MEMCG_IDS;
	struct peer peer = {0};
	size_t n = 0;

	for (size_t i = 0; i < n_ids; i++)
		ids[i] = s->memcgs[i].id;
	peer_init(&peer);
	assert_int_equal(pages_ranges_read(proc, &ranges, &n, NULL), 0);
	printf("pages: first scan %.2f ns/pfn, longest call %.3f ms\n",
	       (double)s->cpu_ns / (double)s->pfns, (double)s->bpf_max_call_ns / 1e6);
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t ns = peer_scan(&peer, ranges, n);

		pages_snapshot_free(s);
		s = scan_once(proc, NULL, 0);
		filter_call[i] = 0;
		nobody[i] = scan_filtered(proc, &unknown, 1, &filter_call[i]);
		everybody[i] = scan_filtered(proc, ids, n_ids, &filter_call[i]);
		scan[i] = (double)s->cpu_ns / (double)s->pfns;
		peer_ns[i] = (double)ns / (double)s->pfns;
		ratio[i] = peer_ns[i] / scan[i];
		call[i] = (double)s->bpf_max_call_ns;
	}
	printf("pages: %llu pfns, page cache %llu pages in %llu files (peer: %llu pages)\n",
	       (unsigned long long)s->pfns,
	       (unsigned long long)(s->total_bytes / (uint64_t)sysconf(_SC_PAGESIZE)),
	       (unsigned long long)s->n_files, (unsigned long long)peer.cache_pages);
	pages_snapshot_free(s);
	peer_done(&peer);
	ret->scan_ns = median(scan, ROUNDS);
	ret->peer_ns = median(peer_ns, ROUNDS);
	ret->ratio = median(ratio, ROUNDS);
	ret->call_ns = median(call, ROUNDS);
	ret->nobody_ns = median(nobody, ROUNDS);
	ret->everybody_ns = median(everybody, ROUNDS);
	ret->filter_call_ns = median(filter_call, ROUNDS);
}

static void bench_pages(void **state)
{
	struct root proc = ROOT_INIT;
	struct figures f;
	struct load load;

	(void)state;
	assert_int_equal(root_open(&proc, "/proc", NULL), 0);
	load_plant(&load);
	measure(&proc, &f);
	printf("pages: scan %.2f ns/pfn, kpageflags+kpagecgroup %.2f ns/pfn: %.1f times; longest "
	       "call "
	       "%.3f ms (medians of %d rounds)\n",
	       f.scan_ns, f.peer_ns, f.ratio, f.call_ns / 1e6, ROUNDS);
	printf("pages: limited to a memory cgroup that nobody is in %.2f ns/pfn, to all of them "
	       "%.2f "
	       "ns/pfn; longest call %.3f ms\n",
	       f.nobody_ns, f.everybody_ns, f.filter_call_ns / 1e6);
	load_remove(&load);
	root_close(&proc);
	assert_true(f.scan_ns <= LIMIT_NS);
	assert_true(f.ratio >= LIMIT_RATIO);
	assert_true(f.call_ns < LIMIT_CALL);
	assert_true(f.filter_call_ns < LIMIT_CALL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(bench_pages, plant_teardown),
	};

	return cmocka_run_group_tests_name("bench_pages", tests, NULL, NULL);
}
