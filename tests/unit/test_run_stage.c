/* SPDX-License-Identifier: Apache-2.0 */
/* A run that does not come back: what is reported of it, and what its thread is said to wait for. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/root.h"
#include "base/thread_wait.h"
#include "run/stage.h"
#include "support/plant.h"

/* Three checks: one is done and found something, one is at work, one has not begun. */
static struct report *half_done(struct run_stage *stage)
{
	struct report *report = xcalloc(1, sizeof(*report));
	struct finding *finding;

	(void)snprintf(report->diagnosis, sizeof(report->diagnosis), "d");
	(void)snprintf(report->run_id, sizeof(report->run_id), "m-1");
	report->cgroup_mode = "v2";
	report->results[0].type = CHECK_PAGE_CACHE;
	report->results[1].type = CHECK_SLAB_CACHE;
	report->results[2].type = CHECK_KERNEL_MEMORY;
	report->n_results = 3;
	run_stage_begin(stage, report);
	run_stage_at(stage, 0);
	report->results[0].method = "bpf-page-scan";
	finding = findings_add(&report->results[0].findings);
	finding->reason = "PageCacheHigh";
	finding->severity = SEVERITY_CRITICAL;
	finding->message = xstrdup("much of it");
	run_stage_done(stage, 0);
	run_stage_at(stage, 1);
	return report;
}

static const char *check_field(const cJSON *tree, int i, const char *field)
{
	return tree_str_or_empty(cJSON_GetArrayItem(tree_get(tree, "checks"), i), field);
}

static void what_is_done_is_reported(void **state)
{
	struct run_stage stage = RUN_STAGE_INIT;
	struct report *report = half_done(&stage);
	cJSON *tree = run_stage_give_up(&stage, "not back after 131 s: it reads /proc/7/maps");

	(void)state;
	assert_non_null(tree);
	assert_string_equal(tree_str_or_empty(tree, "run.id"), "m-1");
	assert_string_equal(tree_str_or_empty(tree, "verdict"), "Critical");
	assert_int_equal(cJSON_GetArraySize(tree_get(tree, "findings")), 1);
	assert_string_equal(check_field(tree, 0, "state"), "Complete");
	assert_string_equal(check_field(tree, 1, "state"), "Failed");
	assert_string_equal(check_field(tree, 1, "reason"), "Hangs");
	assert_string_equal(check_field(tree, 1, "message"),
			    "not back after 131 s: it reads /proc/7/maps");
	assert_string_equal(check_field(tree, 2, "reason"), "GivenUp");
	assert_string_equal(check_field(tree, 2, "message"),
			    "the run was given up, since SlabCache hangs: not back after 131 s: it "
			    "reads /proc/7/maps");
	cJSON_Delete(tree);
	/* Once is enough, until another run begins. */
	assert_null(run_stage_give_up(&stage, "again"));
	run_stage_begin(&stage, report);
	tree = run_stage_give_up(&stage, "again");
	assert_string_equal(check_field(tree, 0, "message"),
			    "the run was given up, since the window hangs: again");
	cJSON_Delete(tree);
	run_stage_end(&stage);
	assert_null(run_stage_give_up(&stage, "at its end"));
	report_free(report);
}

/* --- threads that wait ----------------------------------------------------------------------------------------------- */

struct waiter {
	struct root root;
	const char *file;
	int fd; /* to be read instead; -1: none */
	pid_t tid;
};

static void *wait_for_it(void *arg)
{
	struct waiter *waiter = arg;
	char c;

	__atomic_store_n(&waiter->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	if (waiter->fd >= 0) {
		(void)!read(waiter->fd, &c, 1);
	} else {
		int fd = root_open_file(&waiter->root, waiter->file, NULL);

		(void)close(fd);
	}
	return NULL;
}

/* Until the thread is where it hangs. */
static void assert_waits(struct waiter *waiter, const char *want)
{
	char what[THREAD_WAIT_MAX] = "";
	pid_t tid = 0;

	for (int i = 0; i < 10000 && strncmp(what, want, strlen(want)) != 0; i++) {
		(void)usleep(1000);
		tid = __atomic_load_n(&waiter->tid, __ATOMIC_ACQUIRE);
		if (tid)
			(void)thread_wait_describe(tid, what);
	}
	if (strncmp(what, want, strlen(want)) != 0)
		fail_msg("\"%s\", not \"%s\"", what, want);
}

static void a_file_that_does_not_open_is_named(void **state)
{
	const char *dir = plant_dir();
	_cleanup_free_ char *path = xasprintf("%s/hangs", dir),
			    *want = xasprintf("it opens %s", path);
	struct waiter waiter = {.root = ROOT_INIT, .file = "hangs", .fd = -1};
	pthread_t thread;
	int fd;

	(void)state;
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(root_open(&waiter.root, dir, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &waiter), 0);
	assert_waits(&waiter, want);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	(void)pthread_join(thread, NULL);
	(void)close(fd);
	root_close(&waiter.root);
	plant_clean();
}

static void a_file_that_is_not_read_to_its_end_is_named(void **state)
{
	struct waiter waiter = {.root = ROOT_INIT};
	pthread_t thread;
	int p[2];

	(void)state;
	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	waiter.fd = p[0];
	assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &waiter), 0);
	assert_waits(&waiter, "it reads pipe:[");
	(void)close(p[1]);
	(void)pthread_join(thread, NULL);
	(void)close(p[0]);
}

static void *spin(void *arg)
{
	struct waiter *waiter = arg;

	__atomic_store_n(&waiter->tid, (pid_t)syscall(SYS_gettid), __ATOMIC_RELEASE);
	while (__atomic_load_n(&waiter->fd, __ATOMIC_RELAXED) < 0)
		;
	return NULL;
}

static void who_does_not_wait_computes(void **state)
{
	struct waiter waiter = {.fd = -1};
	char what[THREAD_WAIT_MAX];
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, spin, &waiter), 0);
	assert_waits(&waiter, "it computes");
	__atomic_store_n(&waiter.fd, 0, __ATOMIC_RELAXED);
	(void)pthread_join(thread, NULL);
	assert_string_equal(thread_wait_describe(1 << 30, what),
			    "what it waits for cannot be seen");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_done_is_reported),
		cmocka_unit_test(a_file_that_does_not_open_is_named),
		cmocka_unit_test(a_file_that_is_not_read_to_its_end_is_named),
		cmocka_unit_test(who_does_not_wait_computes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
