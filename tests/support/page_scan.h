/* SPDX-License-Identifier: Apache-2.0 */
/* What tests of the page scan share: scans that fail the test themselves, and looking things up in what they found. */
#ifndef MEMDIAG_TESTS_PAGE_SCAN_H
#define MEMDIAG_TESTS_PAGE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/root.h"
#include "instruments/pages.h"

#define MIB ((size_t)1 << 20)

/* Valid between scan_set_up() and scan_tear_down(), which are for cmocka's groups; scan_clean() for each test. */
extern struct root scan_proc;
extern size_t scan_page_size;
/* In an emulated machine times say nothing, and a fifth of the files and cgroups takes long enough. */
extern bool scan_emulated;

int scan_set_up(void **state);
int scan_tear_down(void **state);
/* Takes away what was planted. */
int scan_clean(void **state);

/* The caller frees what they return: a scan during which no page was moved, unless that happens all the time. */
struct pages_snapshot *scan_with(const struct pages_opts *opts);
struct pages_snapshot *scan_top(size_t top);
/* Limited to these memory cgroups. */
struct pages_snapshot *scan_only(const uint64_t *ids, size_t n);

/* NULL when it was not found. */
const struct pages_file *scan_find(const struct pages_snapshot *s, const struct stat *st);
const struct pages_memcg *scan_find_memcg(const struct pages_snapshot *s, const char *path);
/* Bytes of the file that are charged to the cgroup of that path. */
uint64_t scan_charged(const struct pages_snapshot *s, const struct pages_file *f, const char *path);
/* The id by which the scan knows the cgroup with this directory. */
uint64_t scan_memcg_id(const char *dir);

/* Order and sums that hold for every snapshot. */
void scan_assert_sane(const struct pages_snapshot *s);
bool scan_ends_with(const char *s, const char *end);
bool scan_within(uint64_t a, uint64_t b, uint64_t slack);

#endif
