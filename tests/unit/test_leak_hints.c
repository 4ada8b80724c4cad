/* SPDX-License-Identifier: Apache-2.0 */
/* Which remedies a leak of memory cgroups gets, where blocks of a device pin them and where the cgroup above them can be told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "checks/cgroup_leak.h"

#define PAGE 4096ULL

/*
 * Five removed cgroups below /kubepods/besteffort: three have blocks of a disk alone, one a file's page too, one only that; and
 * one below /x, with a block of the same disk and two of another. A live one has much of the disk.
 */
enum { LIVE, ALONE, ALONE_TOO, ALONE_THREE, BOTH, FILE_ONLY, ELSEWHERE, MEMCGS };
enum { DISK, OTHER, LOG, FILES };

struct fixture {
	struct memcgs_entry entries[MEMCGS - 1];
	size_t group_of[MEMCGS - 1];
	struct pages_file files[FILES];
	struct pages_charge charges[FILES][MEMCGS];
	struct pages_memcg pages_memcgs[MEMCGS];
	struct memcgs_snapshot memcgs;
	struct pages_snapshot pages;
	struct leak_groups groups;
	struct spec *spec;
	struct leak_facts facts;
	struct findings findings;
};

static void charge(struct fixture *f, size_t file, size_t memcg, uint64_t pages)
{
	struct pages_file *to = &f->files[file];

	f->charges[file][to->n_charges++] = (struct pages_charge){memcg, pages * PAGE};
	to->charges = f->charges[file];
	f->pages_memcgs[memcg].cached_bytes += pages * PAGE;
}

static void fill(struct fixture *f)
{
	f->files[DISK] = (struct pages_file){.kind = PAGES_BDEV, .sb_id = "bdev", .dev_major = 8};
	f->files[OTHER] = (struct pages_file){.kind = PAGES_BDEV, .sb_id = "bdev", .dev_major = 9};
	f->files[LOG] = (struct pages_file){.kind = PAGES_FILE, .path = "/log"};
	charge(f, DISK, LIVE, 100);
	charge(f, DISK, ALONE, 3);
	charge(f, DISK, ALONE_TOO, 2);
	charge(f, DISK, ALONE_THREE, 1);
	charge(f, DISK, BOTH, 1);
	charge(f, DISK, ELSEWHERE, 1);
	charge(f, OTHER, ELSEWHERE, 2);
	charge(f, LOG, BOTH, 1);
	charge(f, LOG, FILE_ONLY, 9);
	for (size_t i = 0; i < MEMCGS; i++)
		f->pages_memcgs[i].id = 100 + i;
	for (size_t i = 1; i < MEMCGS; i++) {
		const char *above = i == ELSEWHERE ? "/x" : "/kubepods/besteffort";
		const struct owner owner = {0};

		f->entries[i - 1] =
			(struct memcgs_entry){.id = 100 + i,
					      .path = xasprintf("%s/c%zu", above, i),
					      .file_bytes = f->pages_memcgs[i].cached_bytes};
		f->group_of[i - 1] = leak_groups_add(&f->groups, &f->entries[i - 1], &owner);
	}
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	leak_groups_init(&f->groups);
	fill(f);
	f->memcgs = (struct memcgs_snapshot){
		.dying = 6, .dying_file_bytes = 20 * PAGE, .entries = f->entries, .n = MEMCGS - 1};
	f->pages = (struct pages_snapshot){.files = f->files,
					   .n_files_kept = FILES,
					   .memcgs = f->pages_memcgs,
					   .n_memcgs = MEMCGS};
	leak_groups_files(&f->groups, &f->memcgs, f->group_of, &f->pages);
	leak_groups_sort(&f->groups);
	f->spec = spec_new();
	f->facts = (struct leak_facts){.spec = f->spec,
				       .memcgs = &f->memcgs,
				       .groups = &f->groups,
				       .pages = &f->pages,
				       .cgroup_mount = "/sys/fs/cgroup",
				       .page_size = PAGE};
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	findings_done(&f->findings);
	for (size_t i = 0; i < MEMCGS - 1; i++)
		free(f->entries[i].path);
	leak_groups_done(&f->groups);
	spec_free(f->spec);
	free(f);
	return 0;
}

/* A new finding with the hints of a group, or of all (NULL), which are so many. */
static const struct hint *hints_of(struct fixture *f, const struct leak_group *group, size_t n)
{
	struct finding *finding = findings_add(&f->findings);

	finding->reason = "CgroupLeak";
	leak_add_hints(&f->facts, group, finding);
	assert_int_equal(finding->n_hints, n);
	assert_string_equal(finding->hints[n - 1].id, "drop-caches");
	return finding->hints;
}

/* Of a cgroup counts what nobody else pins it for: a live one's blocks and one with a file's page are not freed by it. */
static void a_device_counts_what_it_alone_pins(void **state)
{
	const struct fixture *f = *state;
	const struct leak_group *most = &f->groups.items[0], *rest = &f->groups.items[1];

	assert_int_equal(f->groups.n, 2);
	assert_ptr_equal(most->device.file, &f->files[DISK]);
	assert_int_equal(most->device.bytes, 7 * PAGE);
	assert_int_equal(most->device.only, 3);
	/* Its two devices pin it together: neither alone. */
	assert_ptr_equal(rest->device.file, &f->files[OTHER]);
	assert_int_equal(rest->device.bytes, 2 * PAGE);
	assert_int_equal(rest->device.only, 0);
}

static void the_device_is_flushed_before_all_is_dropped(void **state)
{
	struct fixture *f = *state;
	const struct hint *hint;

	f->groups.items[0].device_name = xstrdup("sda1");
	hint = hints_of(f, &f->groups.items[0], 2);
	assert_string_equal(hint->id, "drop-device-cache");
	assert_string_equal(hint->command, "blockdev --flushbufs /dev/sda1");
	assert_string_equal(hint->current,
			    "28Ki of sda1's own blocks, charged to 5 removed cgroups");
	assert_string_equal(hint->risk, "Medium");
	assert_non_null(strstr(hint->summary, "3 of them have nothing else"));
}

static void no_command_for_a_device_without_a_name(void **state)
{
	struct fixture *f = *state;

	(void)hints_of(f, &f->groups.items[0], 1);
}

/* Flushing would take blocks from it, but not one cgroup would go. */
static void no_flush_that_would_free_none(void **state)
{
	struct fixture *f = *state;

	f->groups.items[1].device_name = xstrdup("sdb");
	(void)hints_of(f, &f->groups.items[1], 1);
}

static void the_node_gets_the_device_of_most(void **state)
{
	struct fixture *f = *state;
	const struct hint *hint;

	/* A second group whose device is the first's. */
	f->groups.items[0].device_name = xstrdup("sda1");
	f->groups.items[1].device = (struct leak_device){&f->files[DISK], PAGE, 4};
	f->groups.items[0].reclaim = LEAK_RECLAIM_ALL;
	hint = hints_of(f, NULL, 2);
	assert_string_equal(hint->id, "drop-device-cache");
	assert_string_equal(hint->current,
			    "32Ki of sda1's own blocks, charged to 6 removed cgroups");
	assert_non_null(strstr(hint->summary, "7 of them"));
}

/* What cgroup v1 has takes from all that live there: said, and behind what is targeted. */
static void v1_empties_the_cgroup_above(void **state)
{
	struct fixture *f = *state;
	struct finding *finding;
	const struct hint *hint;

	f->groups.items[0].device_name = xstrdup("sda1");
	f->groups.items[0].reclaim = LEAK_RECLAIM_ALL;
	hint = hints_of(f, &f->groups.items[0], 3);
	assert_string_equal(hint[0].id, "drop-device-cache");
	hint++;
	assert_string_equal(hint->id, "empty-cgroup-above");
	assert_string_equal(hint->command,
			    "echo 0 > /sys/fs/cgroup/kubepods/besteffort/memory.force_empty");
	assert_string_equal(hint->risk, "High");
	assert_non_null(strstr(hint->trade_off, "every live container"));

	/* Nobody knows where the controller is mounted. */
	f->facts.cgroup_mount = NULL;
	(void)hints_of(f, &f->groups.items[0], 2);

	/* A group that no file pins. */
	f->facts.cgroup_mount = "/sys/fs/cgroup";
	f->groups.items[0].file_bytes = 0;
	f->groups.items[0].device.only = 0;
	finding = findings_add(&f->findings);
	finding->reason = "CgroupLeak";
	leak_add_hints(&f->facts, &f->groups.items[0], finding);
	assert_int_equal(finding->n_hints, 0);
}

/* Enough to get round to all: twice what pins them, and a turn of 32 pages for each that lives. */
static void v2_reclaims_some_from_the_cgroup_above(void **state)
{
	struct fixture *f = *state;
	const struct hint *hint;

	f->memcgs.live = 80;
	f->groups.items[0].reclaim = LEAK_RECLAIM_AMOUNT;
	hint = hints_of(f, &f->groups.items[0], 2);
	assert_string_equal(hint->id, "reclaim-cgroup-above");
	assert_string_equal(hint->command,
			    "echo 11M > /sys/fs/cgroup/kubepods/besteffort/memory.reclaim");
	assert_string_equal(hint->risk, "Medium");
	assert_non_null(strstr(hint->trade_off, "up to 11M"));

	f->facts.page_size = 16384;
	hint = hints_of(f, &f->groups.items[0], 2);
	assert_string_equal(hint->command,
			    "echo 41M > /sys/fs/cgroup/kubepods/besteffort/memory.reclaim");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_device_counts_what_it_alone_pins, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_device_is_flushed_before_all_is_dropped, setup,
						teardown),
		cmocka_unit_test_setup_teardown(no_command_for_a_device_without_a_name, setup,
						teardown),
		cmocka_unit_test_setup_teardown(no_flush_that_would_free_none, setup, teardown),
		cmocka_unit_test_setup_teardown(the_node_gets_the_device_of_most, setup, teardown),
		cmocka_unit_test_setup_teardown(v2_reclaims_some_from_the_cgroup_above, setup,
						teardown),
		cmocka_unit_test_setup_teardown(v1_empties_the_cgroup_above, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
