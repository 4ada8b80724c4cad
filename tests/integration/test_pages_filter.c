/* SPDX-License-Identifier: Apache-2.0 */
/* The page scan limited to some memory cgroups, against the one that is not. Needs root. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "support/page_scan.h"
#include "support/plant.h"

/* Two cgroups with a file each, and a third file of which each has a half. */
struct halves {
	const char *cgroups[2];
	uint64_t ids[2];
	struct plant_file files[2], shared;
	struct plant_child readers[4];
};

static struct halves plant_halves(void)
{
	const char *dir = plant_dir();
	struct halves h = {
		.cgroups = {plant_cgroup("one"), plant_cgroup("two")},
		.files = {plant_file(dir, "of-one", 12 * MIB), plant_file(dir, "of-two", 20 * MIB)},
		.shared = plant_file(dir, "halves", 32 * MIB),
	};
	struct plant_file *all[] = {&h.files[0], &h.files[1], &h.shared};
	const size_t half = h.shared.bytes / 2;

	for (size_t i = 0; i < 3; i++) {
		plant_release(all[i]);
		plant_drop(all[i]);
	}
	for (size_t i = 0; i < 2; i++) {
		h.ids[i] = scan_memcg_id(h.cgroups[i]);
		h.readers[i] = plant_reader(h.cgroups[i], h.files[i].path, 0, h.files[i].bytes);
		h.readers[2 + i] = plant_reader(h.cgroups[i], h.shared.path, i * half, half);
	}
	return h;
}

static void close_halves(struct halves *h)
{
	for (size_t i = 0; i < 4; i++)
		plant_reader_end(&h->readers[i]);
	plant_close(&h->files[0]);
	plant_close(&h->files[1]);
	plant_close(&h->shared);
}

static bool same_memcg(const struct pages_snapshot *a, const struct pages_snapshot *b,
		       const char *path)
{
	const struct pages_memcg *x = scan_find_memcg(a, path), *y = scan_find_memcg(b, path);

	return x && y && x->id == y->id && x->cached_bytes == y->cached_bytes &&
	       x->shmem_bytes == y->shmem_bytes && x->dirty_bytes == y->dirty_bytes;
}

/* Scans with a filter until two scans without around it agree about these cgroups: then it must have said the same. */
static void check_same(const uint64_t *ids, size_t n, const char *const *cgroups, size_t n_cgroups)
{
	bool quiet = false, same = false;

	for (int i = 0; i < 20 && !(quiet && same); i++) {
		struct pages_snapshot *before = scan_top(50), *s = scan_only(ids, n),
				      *after = scan_top(50);

		quiet = same = true;
		for (size_t k = 0; k < n_cgroups; k++) {
			const char *path = plant_cgroup_path(cgroups[k]);

			quiet = quiet && same_memcg(before, after, path);
			same = same && same_memcg(before, s, path);
		}
		assert_int_equal(s->n_memcgs, n_cgroups);
		pages_snapshot_free(before);
		pages_snapshot_free(s);
		pages_snapshot_free(after);
		if (quiet && !same)
			fail_msg("with the filter other bytes than without");
	}
	assert_true(quiet && same);
}

static void test_filter_one(void **state)
{
	struct halves h = plant_halves();
	struct pages_snapshot *s = scan_only(&h.ids[0], 1);
	const struct pages_file *own = scan_find(s, &h.files[0].st),
				*shared = scan_find(s, &h.shared.st);

	(void)state;
	scan_assert_sane(s);
	assert_int_equal(s->coverage_permille, 1000);
	assert_int_equal(s->n_memcgs, 1);
	assert_int_equal(s->memcgs[0].id, h.ids[0]);
	assert_string_equal(s->memcgs[0].path, plant_cgroup_path(h.cgroups[0]));
	assert_int_equal(s->memcgs[0].cached_bytes, s->total_bytes);
	print_message("  %llu bytes in %llu files\n", (unsigned long long)s->total_bytes,
		      (unsigned long long)s->n_files);
	assert_true(s->total_bytes >= h.files[0].bytes + h.shared.bytes / 2);
	assert_true(s->total_bytes < s->nr_file_pages_before * scan_page_size);
	assert_non_null(own);
	assert_int_equal(own->cached_bytes, h.files[0].bytes);
	assert_true(scan_ends_with(own->path, "/of-one"));
	assert_null(scan_find(s, &h.files[1].st));
	assert_non_null(shared);
	assert_int_equal(shared->cached_bytes, h.shared.bytes / 2);
	assert_int_equal(shared->n_charges, 1);
	assert_ptr_equal(&s->files[s->memcgs[0].top_file], shared);
	pages_snapshot_free(s);
	check_same(&h.ids[0], 1, &h.cgroups[0], 1);
	check_same(&h.ids[1], 1, &h.cgroups[1], 1);
	close_halves(&h);
}

static void check_both(const struct halves *h, const uint64_t *ids, size_t n)
{
	struct pages_snapshot *s = scan_only(ids, n);
	const struct pages_file *shared = scan_find(s, &h->shared.st);

	scan_assert_sane(s);
	assert_int_equal(s->n_memcgs, 2);
	assert_int_equal(s->memcgs[0].cached_bytes + s->memcgs[1].cached_bytes, s->total_bytes);
	assert_non_null(scan_find(s, &h->files[0].st));
	assert_non_null(scan_find(s, &h->files[1].st));
	assert_non_null(shared);
	assert_int_equal(shared->cached_bytes, h->shared.bytes);
	assert_int_equal(shared->n_charges, 2);
	pages_snapshot_free(s);
	check_same(ids, n, h->cgroups, 2);
}

static void test_filter_both(void **state)
{
	struct halves h = plant_halves();
	const uint64_t twice[] = {h.ids[1], h.ids[0], h.ids[1]};

	(void)state;
	check_both(&h, h.ids, 2);
	check_both(&h, twice, 3);
	close_halves(&h);
}

static void test_filter_ceiling(void **state)
{
	struct halves h = plant_halves();
	_cleanup_free_ uint64_t *ids = xcalloc(PAGES_MAX_MEMCG_IDS + 1, sizeof(*ids));
	const struct pages_opts over = {
		.top = 50, .memcg_ids = ids, .n_memcg_ids = PAGES_MAX_MEMCG_IDS + 1};
	const uint64_t first = h.ids[0] < h.ids[1] ? h.ids[0] : h.ids[1];
	const uint64_t second = h.ids[0] + h.ids[1] - first;
	const size_t places[] = {1, 1365, 2731, 4095};
	struct pages_snapshot *s = NULL;
	struct err err = {0};

	(void)state;
	for (size_t k = 0; k < 4; k++) {
		/* In order, the larger id is at that place; what follows is nobody's. */
		for (size_t i = 0; i <= PAGES_MAX_MEMCG_IDS; i++)
			ids[i] = i < places[k] ? first : UINT64_MAX - 1 - i;
		ids[places[k]] = second;
		check_both(&h, ids, PAGES_MAX_MEMCG_IDS);
	}
	assert_int_equal(pages_scan(&scan_proc, &over, &s, &err), -EINVAL);
	print_message("  %s\n", err.msg);
	assert_non_null(strstr(err.msg, "4096"));
	assert_null(s);
	close_halves(&h);
}

static void test_filter_nobody(void **state)
{
	const uint64_t ids[] = {UINT64_MAX, (uint64_t)1 << 62, UINT64_MAX - 1};

	(void)state;
	for (size_t n = 1; n <= 3; n++) {
		struct pages_snapshot *s = scan_only(ids, n);

		assert_int_equal(s->coverage_permille, 1000);
		assert_int_equal(s->total_bytes, 0);
		assert_int_equal(s->n_files, 0);
		assert_int_equal(s->n_files_kept, 0);
		assert_int_equal(s->n_memcgs, 0);
		assert_int_equal(s->n_shmem_directories, 0);
		assert_int_equal(s->invalid_pages, 0);
		assert_true(s->nr_file_pages_before > 0);
		pages_snapshot_free(s);
	}
}

/* All memory cgroups that the plain scan found, and pages charged to none. */
static void test_filter_everybody(void **state)
{
	struct halves h = plant_halves();
	double ratio = 0;

	(void)state;
	for (int i = 0; i < 20 && !(ratio > 0.995 && ratio < 1.005); i++) {
		struct pages_snapshot *all = scan_top(50), *s;
		uint64_t ids[PAGES_MAX_MEMCG_IDS] = {0};
		size_t n = 1;

		/* With very many, the largest of them. */
		for (size_t k = 0; k < all->n_memcgs && n < PAGES_MAX_MEMCG_IDS; k++)
			ids[n++] = all->memcgs[k].id;
		s = scan_only(ids, n);
		ratio = (double)s->total_bytes / (double)all->total_bytes;
		print_message("  %zu memory cgroups: %.5f of the plain scan\n", all->n_memcgs,
			      ratio);
		pages_snapshot_free(all);
		pages_snapshot_free(s);
	}
	assert_true(ratio > 0.995 && ratio < 1.005);
	close_halves(&h);
}

#define MANY 1500

/* Page by page another memory cgroup: more than one call may ask about, and verdicts that share a slot. */
static void test_filter_many(void **state)
{
	const char *cgroups[MANY], *shm = plant_tmpfs();
	const size_t n = scan_emulated ? MANY / 5 : MANY;
	uint64_t ids[MANY / 3], best = UINT64_MAX;

	(void)state;
	for (size_t i = 0; i < n; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "m%zu", i);
		cgroups[i] = plant_cgroup(name);
	}
	for (size_t i = 0; i < n / 3; i++)
		ids[i] = scan_memcg_id(cgroups[3 * i]);
	plant_charged(cgroups, n, shm, 2 * scan_page_size);
	for (int i = 0; i < 3; i++) {
		struct pages_snapshot *s = scan_only(ids, n / 3);

		assert_int_equal(s->n_memcgs, n / 3);
		assert_int_equal(s->n_files, n / 3);
		assert_int_equal(s->total_bytes, n / 3 * 2 * scan_page_size);
		for (size_t k = 0; k < n / 3; k++)
			assert_int_equal(s->memcgs[k].cached_bytes, 2 * scan_page_size);
		print_message("  longest of %llu calls: %.3f ms; %.2f ns a page\n",
			      (unsigned long long)s->bpf_calls, (double)s->bpf_max_call_ns / 1e6,
			      (double)s->cpu_ns / (double)s->pfns);
		best = s->bpf_max_call_ns < best ? s->bpf_max_call_ns : best;
		pages_snapshot_free(s);
	}
	assert_true(scan_emulated || best < 1000 * 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_filter_one, scan_clean),
		cmocka_unit_test_teardown(test_filter_both, scan_clean),
		cmocka_unit_test_teardown(test_filter_ceiling, scan_clean),
		cmocka_unit_test(test_filter_nobody),
		cmocka_unit_test_teardown(test_filter_everybody, scan_clean),
		cmocka_unit_test_teardown(test_filter_many, scan_clean),
	};

	return cmocka_run_group_tests_name("pages, filter", tests, scan_set_up, scan_tear_down);
}
