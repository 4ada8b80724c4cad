/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's counters: strict with what is known, lenient with the rest; parts that add up to the byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "instruments/cgroupfs.h"
#include "instruments/meminfo.h"
#include "support/folder.h"

static const char good[] =
	"MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    500 kB\n"
	"Buffers:          10 kB\nCached:          200 kB\nAnonPages:       300 kB\n"
	"Shmem:            50 kB\nSlab:             90 kB\nSReclaimable:     60 kB\n"
	"SUnreclaim:       30 kB\nPageTables:        5 kB\nKReclaimable:     61 kB\n"
	"KernelStack:       4 kB\nVmallocUsed:      20 kB\nPercpu:            6 kB\n"
	"SomethingNew:   9999 kB\nHugePages_Total:    0\n";

static int64_t line(const struct meminfo *info, const char *name)
{
	struct memory_line lines[MEMORY_LINES_MAX];
	size_t n = meminfo_lines(info, lines);

	for (size_t i = 0; i < n; i++) {
		if (strcmp(lines[i].name, name) == 0)
			return lines[i].bytes;
	}
	fail_msg("no line %s", name);
	return 0;
}

static void parts_do_not_overlap(void **state)
{
	struct parse_notes notes = {0};
	struct meminfo info = {0};

	(void)state;
	meminfo_parse(good, &info, &notes);
	assert_int_equal(notes.n, 0);
	assert_int_equal(info.total, 1000 << 10);
	assert_int_equal(line(&info, "pageCache"), (200 + 10 - 50) << 10);
	assert_int_equal(line(&info, "vmalloc"), 16 << 10);
	assert_int_equal(line(&info, "miscReclaimable"), 1 << 10);
	assert_int_equal(line(&info, "residual"),
			 (1000 - 100 - 300 - 50 - 160 - 60 - 30 - 1 - 4 - 16 - 5 - 6) << 10);
}

/* Whatever the counters say, the lines add up to MemTotal to the byte. */
static void the_sum_is_exact(void **state)
{
	(void)state;
	srand(7);
	for (int round = 0; round < 1000; round++) {
		struct memory_line lines[MEMORY_LINES_MAX];
		uint64_t values[sizeof(struct meminfo) / sizeof(uint64_t)];
		struct meminfo info;
		int64_t sum = 0;
		size_t n;

		for (size_t i = 0; i < ARRAY_SIZE(values); i++)
			values[i] = (uint64_t)rand() << 12;
		memcpy(&info, values, sizeof(info));
		n = meminfo_lines(&info, lines);
		assert_true(n <= MEMORY_LINES_MAX);
		for (size_t i = 0; i < n; i++)
			sum += lines[i].bytes;
		assert_true(sum == (int64_t)info.total);
	}
}

static void swap_cache_and_compressed(void **state)
{
	/* 40 of swap cache, 30 of it mapped: on the LRU lists are anon, shmem, and the other 10. */
	struct meminfo info = {.anon_pages = 100,
			       .shmem = 20,
			       .active_anon = 90,
			       .inactive_anon = 40,
			       .swap_cached = 40,
			       .zspages = 9,
			       .zswap = 4};

	(void)state;
	assert_int_equal(line(&info, "swapCache"), 10);
	assert_int_equal(line(&info, "zswap"), 4);
	assert_int_equal(line(&info, "zram"), 5);
	/* Never more than there is. */
	info.active_anon = 500;
	assert_int_equal(line(&info, "swapCache"), 40);
	/* mlocked memory is on no such list. */
	info.active_anon = 0;
	assert_int_equal(line(&info, "swapCache"), 0);
	/* An allocator of its own. */
	info.zswap = 12;
	assert_int_equal(line(&info, "zswap"), 12);
	assert_int_equal(line(&info, "zram"), 9);
}

/* Whatever the counters say. */
static void parts_add_up_to_their_line(void **state)
{
	(void)state;
	srand(8);
	for (int round = 0; round < 1000; round++) {
		struct memory_line parts[MEMORY_PARTS_MAX];
		uint64_t values[sizeof(struct meminfo) / sizeof(uint64_t)];
		struct meminfo info;
		size_t n;

		for (size_t i = 0; i < ARRAY_SIZE(values); i++)
			values[i] = (uint64_t)rand() % 5 << (rand() % 30);
		memcpy(&info, values, sizeof(info));
		n = meminfo_parts(&info, parts);
		assert_int_equal(n % 3, 0);
		for (size_t i = 0; i < n; i += 3) {
			assert_string_equal(parts[i].group, parts[i + 2].group);
			assert_true(parts[i].bytes >= 0 && parts[i + 1].bytes >= 0);
			assert_true(parts[i].bytes + parts[i + 1].bytes + parts[i + 2].bytes ==
				    line(&info, parts[i].group));
		}
	}
}

static void bad_lines_are_named(void **state)
{
	static const struct {
		const char *text, *note;
	} rows[] = {
		{"MemFree: x kB\n", "MemFree: x kB: not a number"},
		{"MemFree: -5 kB\n", "not a number"},
		{"MemFree: 99999999999999999999 kB\n", "too large"},
		{"MemFree: 18446744073709551615 kB\n", "too large"}, /* overflows when in bytes */
		{"MemFree: 12", "12: not a number"},		     /* the file was cut here */
		{"MemFree: 1 kB\nMemFree: 2 kB\n", "comes twice"},
		{"", "MemTotal: is missing"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct parse_notes notes = {0};
		struct meminfo info = {0};
		bool found = false;

		meminfo_parse(rows[i].text, &info, &notes);
		for (size_t k = 0; k < notes.n; k++)
			found |= strstr(notes.lines[k], rows[i].note) != NULL;
		if (!found)
			fail_msg("\"%s\": %s", rows[i].text,
				 notes.n ? notes.lines[0] : "(no note)");
	}
}

static void the_rest_is_used(void **state)
{
	struct parse_notes notes = {0};
	struct meminfo info = {0};

	(void)state;
	meminfo_parse("MemTotal: 10 kB\nMemFree: x\nCached: 7 kB\n", &info, &notes);
	assert_int_equal(info.total, 10 << 10);
	assert_int_equal(info.cached, 7 << 10);
	assert_int_equal(info.free, 0);
	/* Six required keys are missing or bad; the first four are named, the rest counted. */
	assert_int_equal(notes.n, NOTES_MAX);
	assert_true(notes.dropped > 0);
}

/* Each kind of bad line of each file: it is named, and what is good beside it is used. */
static const struct bad_line {
	const char *file, *text, *note;
	uint64_t used; /* what comes out of the good line, in units of the file */
} bad_lines[] = {
	{"zoneinfo", "  count: 3\n   count: x\n", "zoneinfo: count: x: not a number", 3},
	{"zoneinfo", "  count: 3\n   count: -1\n", "zoneinfo: count: -1: not a number", 3},
	{"zoneinfo", "  count: 3\n  count: 99999999999999999999\n", "too large", 3},
	{"zoneinfo", "  count: 3\n  count: 999999999999999999999999999\n", "too large", 3},
	{"zoneinfo", "  count: 3\n  count: 9007199254740992\n", "too large", 3},
	{"zoneinfo", "  count: 3\n  count: 12", "count: 12: not a number", 3},
	{"zoneinfo", "  count: 3\n  count:", "count:: not a number", 3},
	{"zoneinfo", "Node 0, zone DMA\n  unknown 5\n", "zoneinfo: count: is missing", 0},
	{"vmstat", "nr_zspages 3\nnr_memmap_pages x\n", "vmstat: nr_memmap_pages x: not a number",
	 3},
	{"vmstat", "nr_zspages 3\nnr_zspages 4\n", "vmstat: nr_zspages 4: comes twice", 3},
	{"vmstat", "nr_zspages 3\nnr_memmap_pages 9007199254740992\n", "too large", 3},
	{"vmstat", "nr_zspages 3\nunknown 4\nnr_memmap_pages 5", "nr_memmap_pages 5: not a number",
	 3},
	{"sockstat", "TCP: inuse 1 mem 3\nUDP: inuse 2 mem y\n", "UDP: inuse 2 mem y: not a number",
	 3},
	{"sockstat", "TCP: inuse 1 mem 3\nUDP: mem 9007199254740992\n", "too large", 3},
	{"sockstat", "TCP: inuse 1 mem 3\nUDP: inuse 2 mem 9", "UDP: inuse 2 mem 9: not a number",
	 3},
	{"memory.stat v1", "total_rss 3\ntotal_cache z\n",
	 "memory.stat: total_cache z: not a number", 3},
	{"memory.stat v1", "total_rss 3\ntotal_rss 4\n", "total_rss 4: comes twice", 3},
	{"memory.stat v1", "total_rss 3\ntotal_shmem 99999999999999999999\n", "too large", 3},
	{"memory.stat v1", "total_rss 3\nunknown 1\ntotal_dirty 40", "total_dirty 40: not a number",
	 3},
	{"memory.stat v2", "anon 3\nfile z\n", "memory.stat: file z: not a number", 3},
	{"memory.stat v2", "anon 3\nanon 4\n", "anon 4: comes twice", 3},
	{"memory.stat v2", "anon 3\nslab_reclaimable 18446744073709551615\n", "too large", 3},
	{"memory.stat v2", "anon 3\nunknown 1\nkernel_stack 40", "kernel_stack 40: not a number",
	 3},
};

static uint64_t parse_bad(const struct bad_line *row, struct parse_notes *notes)
{
	struct cgroup_stat stat = {0};
	struct meminfo info = {0};

	if (strcmp(row->file, "zoneinfo") == 0)
		return meminfo_parse_pcp(row->text, 4096, notes) / 4096;
	if (strcmp(row->file, "sockstat") == 0)
		return meminfo_parse_sockets(row->text, 4096, notes) / 4096;
	if (strcmp(row->file, "vmstat") == 0) {
		meminfo_parse_vmstat(row->text, 4096, &info, notes);
		return info.zspages / 4096;
	}
	cgroupfs_parse_stat(row->text, strcmp(row->file, "memory.stat v2") == 0, &stat, notes);
	return stat.anon;
}

static void bad_lines_of_each_file(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_lines); i++) {
		const struct bad_line *row = &bad_lines[i];
		struct parse_notes notes = {0};

		assert_int_equal(parse_bad(row, &notes), row->used);
		assert_int_equal(notes.n, 1);
		if (!strstr(notes.lines[0], row->note))
			fail_msg("%s \"%s\": %s", row->file, row->text, notes.lines[0]);
	}
}

/* Without zoneinfo and vmstat there is still a breakdown, which says what is missing; without meminfo there is none. */
static void files_that_are_missing(void **state)
{
	_cleanup_free_ char *dir = folder_new();
	_cleanup_root_ struct root proc = ROOT_INIT;
	struct parse_notes notes = {0};
	struct err err = {0};
	struct meminfo info;

	(void)state;
	assert_int_equal(root_open(&proc, dir, NULL), 0);
	assert_true(meminfo_read(&proc, &info, &notes, &err) < 0);
	assert_non_null(strstr(err.msg, "meminfo"));
	folder_put(dir, "meminfo", good);
	memset(&notes, 0, sizeof(notes));
	assert_int_equal(meminfo_read(&proc, &info, &notes, NULL), 0);
	assert_int_equal(notes.n, 2);
	assert_string_equal(notes.lines[0], "zoneinfo: file: cannot be read");
	assert_string_equal(notes.lines[1], "vmstat: file: cannot be read");
	assert_int_equal(info.total, 1000 << 10);
	assert_int_equal(folder_remove(dir), 0);
}

static void other_files(void **state)
{
	static const char zones[] =
		"Node 0, zone      DMA\n  pagesets\n    cpu: 0\n              count:    5\n"
		"              high:     9\n    cpu: 1\n              count:    7\n"
		"Node 0, zone   Normal\n    cpu: 0\n              count: 100\n";
	struct parse_notes notes = {0};
	struct cgroup_stat v1 = {0}, v2 = {0};

	(void)state;
	assert_int_equal(meminfo_parse_pcp(zones, 4096, &notes), 112 * 4096);
	assert_int_equal(
		meminfo_parse_sockets(
			"sockets: used 9\nTCP: inuse 5 orphan 0 mem 3\nUDP: inuse 2 mem 4\n", 4096,
			&notes),
		7 * 4096);
	assert_int_equal(notes.n, 0);
	cgroupfs_parse_stat("cache 1\nrss 2\ntotal_cache 10\ntotal_rss 20\ntotal_shmem 3\n", false,
			    &v1, NULL);
	assert_int_equal(v1.cache, 10);
	assert_int_equal(v1.anon, 20);
	cgroupfs_parse_stat("anon 5\nfile 6\nkernel 7\nslab_reclaimable 8\n", true, &v2, NULL);
	assert_int_equal(v2.anon, 5);
	assert_int_equal(v2.cache, 6);
	assert_int_equal(v2.kernel, 7);
}

static void the_residual_that_is_believed(void **state)
{
	static const int64_t one[] = {7}, odd[] = {90, 12, 11, 80, 13, 10, 70, 14, 60},
			     moved[] = {-5, -9, -1, 30, 20}, all_moved[] = {-5, -1, -9},
			     same[] = {4, 4, 4, 4};

	(void)state;
	assert_int_equal(meminfo_choose(one, ARRAY_SIZE(one)), 0);
	/* Ascending 10 11 12: the third of nine. */
	assert_int_equal(meminfo_choose(odd, ARRAY_SIZE(odd)), 1);
	/* The smallest that is not negative; with none, the nearest to it. */
	assert_int_equal(meminfo_choose(moved, ARRAY_SIZE(moved)), 4);
	assert_int_equal(meminfo_choose(all_moved, ARRAY_SIZE(all_moved)), 1);
	assert_int_equal(meminfo_choose(same, ARRAY_SIZE(same)), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_do_not_overlap),
		cmocka_unit_test(the_sum_is_exact),
		cmocka_unit_test(bad_lines_are_named),
		cmocka_unit_test(the_rest_is_used),
		cmocka_unit_test(bad_lines_of_each_file),
		cmocka_unit_test(files_that_are_missing),
		cmocka_unit_test(swap_cache_and_compressed),
		cmocka_unit_test(parts_add_up_to_their_line),
		cmocka_unit_test(other_files),
		cmocka_unit_test(the_residual_that_is_believed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
