/* SPDX-License-Identifier: Apache-2.0 */
/* Which hints are kept when there are more than a finding has room for. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/mem.h"
#include "report/hints.h"
#include "report/report.h"

/* What a leak's hints name; each has a value, so that conditions alone choose. */
static const char *const names[] = {"path_q",	   "path_deleted_q", "file_size", "namespace_q",
				    "kind",	   "name_q",	     "device",	  "device_size",
				    "device_only", "above_dir_q",    "dying",	  "cache_size",
				    "reclaim_mib"};

/* A finding with these hints, "id id "; so many more were dropped. */
static void expect(unsigned int conditions, const char *ids, size_t dropped)
{
	struct hint_facts facts = {.conditions = conditions};
	struct findings findings = {0};
	struct finding *finding = findings_add(&findings);
	char found[256] = "";

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		hint_facts_set(&facts, names[i], "1");
	finding->reason = "CgroupLeak";
	hints_apply(&facts, finding);
	for (size_t i = 0; i < finding->n_hints; i++) {
		strncat(found, finding->hints[i].id, 60);
		strcat(found, " ");
	}
	assert_string_equal(found, ids);
	assert_int_equal(finding->hints_dropped, dropped);
	hint_facts_done(&facts);
	findings_done(&findings);
}

static void the_last_resort_is_kept(void **state)
{
	const unsigned int pins = HINT_CACHE_PINS, file = HINT_NAMED_FILE | HINT_DELETED_FILE;

	(void)state;
	expect(pins, "drop-caches ", 0);
	expect(pins | file | HINT_CONTROLLER,
	       "drop-pinning-file release-pinning-file fix-controller drop-caches ", 0);
	/* Five, and six: the targeted ones come first, the last one stays. */
	expect(pins | file | HINT_CONTROLLER | HINT_DEVICE_PINS,
	       "drop-pinning-file release-pinning-file drop-device-cache drop-caches ", 1);
	expect(pins | file | HINT_CONTROLLER | HINT_DEVICE_PINS | HINT_RECLAIM_ABOVE,
	       "drop-pinning-file release-pinning-file drop-device-cache drop-caches ", 2);
	/* Without one, all room is the others'. */
	expect(file | HINT_SHMEM_FILE | HINT_CONTROLLER | HINT_DEVICE_PINS,
	       "drop-pinning-file remove-tmpfs-file release-pinning-file drop-device-cache ", 1);
}

static void what_is_dropped_is_in_the_summary(void **state)
{
	struct report *report = xcalloc(1, sizeof(*report));
	_cleanup_tree_ cJSON *tree = NULL;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct finding *finding = findings_add(&report->findings);

		finding->reason = "CgroupLeak";
		finding->severity = SEVERITY_WARNING;
		finding->message = xstrdup("m");
		finding->hints_dropped = 2;
		finding->hints[finding->n_hints++] =
			(struct hint){.id = "x", .risk = "Low", .summary = xstrdup("s")};
	}
	tree = report_to_tree(report);
	assert_int_equal(tree_int_or(tree, "summary.hintsDropped", -1), 4);
	/* Hints of what is not critical are the first to go when it is too large. */
	report_trim(tree, 1);
	assert_int_equal(tree_int_or(tree, "summary.hintsDropped", -1), 6);
	report_free(report);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_resort_is_kept),
		cmocka_unit_test(what_is_dropped_is_in_the_summary),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
