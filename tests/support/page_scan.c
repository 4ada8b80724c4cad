/* SPDX-License-Identifier: Apache-2.0 */
#include "support/page_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/plant.h"

struct root scan_proc = ROOT_INIT;
size_t scan_page_size;
bool scan_emulated;

int scan_set_up(void **state)
{
	struct err err = {0};

	(void)state;
	scan_page_size = (size_t)sysconf(_SC_PAGESIZE);
	scan_emulated = getenv("MEMDIAG_TEST_EMULATED") != NULL;
	if (root_open(&scan_proc, "/proc", &err) < 0 || pages_probe(&scan_proc, &err) < 0) {
		print_error("%s\n", err.msg);
		return -1;
	}
	return 0;
}

int scan_tear_down(void **state)
{
	(void)state;
	root_close(&scan_proc);
	return 0;
}

int scan_clean(void **state)
{
	(void)state;
	plant_clean();
	return 0;
}

struct pages_snapshot *scan_with(const struct pages_opts *opts)
{
	struct pages_snapshot *s = NULL;
	struct err err = {0};

	/* What khugepaged moves meanwhile may be counted twice or not at all. */
	for (int i = 0; i < 20 && (!s || s->moved_pages > 0); i++) {
		pages_snapshot_free(s);
		if (pages_scan(&scan_proc, opts, &s, &err) < 0)
			fail_msg("pages_scan: %s", err.msg);
	}
	return s;
}

struct pages_snapshot *scan_top(size_t top)
{
	const struct pages_opts opts = {.top = top};

	return scan_with(&opts);
}

uint64_t scan_memcg_id(const char *dir)
{
	struct stat st;

	assert_int_equal(stat(dir, &st), 0);
	return st.st_ino;
}

struct pages_snapshot *scan_only(const uint64_t *ids, size_t n)
{
	const struct pages_opts opts = {.top = 50, .memcg_ids = ids, .n_memcg_ids = n};

	return scan_with(&opts);
}

const struct pages_file *scan_find(const struct pages_snapshot *s, const struct stat *st)
{
	for (size_t i = 0; i < s->n_files_kept; i++) {
		const struct pages_file *f = &s->files[i];

		if (f->inode == st->st_ino && f->dev_major == major(st->st_dev) &&
		    f->dev_minor == minor(st->st_dev))
			return f;
	}
	return NULL;
}

const struct pages_memcg *scan_find_memcg(const struct pages_snapshot *s, const char *path)
{
	for (size_t i = 0; i < s->n_memcgs; i++)
		if (strcmp(s->memcgs[i].path, path) == 0)
			return &s->memcgs[i];
	return NULL;
}

uint64_t scan_charged(const struct pages_snapshot *s, const struct pages_file *f, const char *path)
{
	for (size_t i = 0; i < f->n_charges; i++)
		if (strcmp(s->memcgs[f->charges[i].memcg].path, path) == 0)
			return f->charges[i].bytes;
	return 0;
}

bool scan_ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), k = strlen(end);

	return n >= k && strcmp(s + n - k, end) == 0;
}

void scan_assert_sane(const struct pages_snapshot *s)
{
	for (size_t i = 0; i < s->n_files_kept; i++) {
		const struct pages_file *f = &s->files[i];
		uint64_t sum = 0;

		assert_true(i == 0 || f->cached_bytes <= s->files[i - 1].cached_bytes);
		for (size_t k = 0; k < f->n_charges; k++) {
			assert_true(f->charges[k].memcg < s->n_memcgs);
			assert_true(k == 0 || f->charges[k].bytes <= f->charges[k - 1].bytes);
			sum += f->charges[k].bytes;
		}
		assert_int_equal(sum, f->cached_bytes);
	}
}

bool scan_within(uint64_t a, uint64_t b, uint64_t slack)
{
	return a <= b + slack && b <= a + slack;
}
