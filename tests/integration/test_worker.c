/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's worker on the running kernel: what it does while a run waits for the end of its window. Needs root. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "identity/cri_internal.h"
#include "node/worker.h"
#include "support/cri_recorded.h"
#include "support/grpc_server.h"
#include "support/plant.h"

enum { WINDOW_MS = 10 * 60 * 1000, SOON_MS = 60 * 1000 };

/* Its window ends when the worker does. */
static struct spec *long_run(void)
{
	struct spec *spec = spec_new();

	memset(spec->checks, 0, sizeof(spec->checks));
	spec->checks[CHECK_RUN_QUEUE_LATENCY] = true;
	spec->window_ms = WINDOW_MS;
	return spec;
}

static bool has_text(const char *dir, const char *file, const char *text)
{
	_cleanup_root_ struct root root = ROOT_INIT;
	_cleanup_buf_ struct buf content = BUF_INIT(ROOT_FILE_MAX);

	return root_open(&root, dir, NULL) == 0 && root_read(&root, file, &content, NULL) == 0 &&
	       content.data && strstr(content.data, text);
}

/* A pod that is there within the window alone: its name is learnt, and kept, while the run goes on. */
static void names_are_learnt_within_a_window(void **state)
{
	const struct host_paths paths = {"/proc", "/sys/fs/cgroup"};
	_cleanup_host_ struct host host = HOST_INIT;
	struct grpc_server *server = grpc_server_new();
	const char *dir = plant_dir();
	_cleanup_free_ char *file = xasprintf("%s/history", dir);
	struct worker_opts opts = {.host = &host, .history_file = file};
	uint64_t begin_ns = clock_mono_ns();
	struct pollfd result = {.events = POLLIN};
	struct worker *worker;
	struct err err = {0};
	bool learnt = false;

	(void)state;
	assert_int_equal(host_open(&host, &paths, "n", NULL), 0);
	grpc_say(server, recorded_version, sizeof(recorded_version), "0", NULL);
	grpc_say(server, recorded_containers, sizeof(recorded_containers), "0", NULL);
	grpc_say(server, recorded_sandboxes, sizeof(recorded_sandboxes), "0", NULL);
	opts.identity.cri_socket = grpc_server_socket(server);
	opts.identity.history = history_new();
	assert_int_equal(worker_new(&opts, &worker, &err), 0);
	result.fd = worker_fd(worker);
	worker_start(worker, long_run(), "s-1");
	worker_refresh(worker);
	while (!learnt && clock_mono_ns() - begin_ns < SOON_MS * NSEC_PER_MSEC &&
	       poll(&result, 1, 50) == 0)
		learnt = has_text(dir, "history", "web-0");
	assert_true(learnt);
	assert_false(worker_idle(worker));
	assert_int_equal(poll(&result, 1, 0), 0);
	assert_int_equal(grpc_requests(server), 3);
	/* Who asks at the end of the window gets no answer any more, and need not wait for it here. */
	cri_timeout_ms = 100;
	worker_free(worker);
	cri_timeout_ms = CRI_TIMEOUT_MS;
	assert_true(clock_mono_ns() - begin_ns < WINDOW_MS * NSEC_PER_MSEC);
	history_free(opts.identity.history);
	grpc_server_free(server);
}

/* A /proc as the kernel's, but that nobody gets to the end of opening slabinfo. */
static char *plant_hanging_proc(void)
{
	char *dir = xasprintf("%s/proc", plant_dir());
	_cleanup_free_ char *fifo = xasprintf("%s/slabinfo", dir);
	DIR *real = opendir("/proc");
	const struct dirent *entry;

	assert_non_null(real);
	assert_int_equal(mkdir(dir, 0700), 0);
	while ((entry = readdir(real))) {
		_cleanup_free_ char *from = xasprintf("/proc/%s", entry->d_name),
				    *to = xasprintf("%s/%s", dir, entry->d_name);

		if (entry->d_name[0] != '.' && strcmp(entry->d_name, "slabinfo") != 0)
			assert_int_equal(symlink(from, to), 0);
	}
	(void)closedir(real);
	assert_int_equal(mkfifo(fifo, 0600), 0);
	return dir;
}

static struct spec *scans(void)
{
	struct spec *spec = spec_new();

	memset(spec->checks, 0, sizeof(spec->checks));
	spec->checks[CHECK_SLAB_CACHE] = true;
	spec->checks[CHECK_CGROUP_LEAK] = true;
	spec->window_ms = 100;
	spec->cpu_budget_ms = 10;
	return spec;
}

/* The run is given up with its reason; the worker comes back once the kernel lets it, and what it brings is still there. */
static void a_run_that_hangs_is_told(void **state)
{
	_cleanup_free_ char *proc = plant_hanging_proc();
	_cleanup_free_ char *fifo = xasprintf("%s/slabinfo", proc),
			    *want = xasprintf("it opens %s", fifo);
	const struct host_paths paths = {proc, "/sys/fs/cgroup"};
	_cleanup_host_ struct host host = HOST_INIT;
	const struct worker_opts opts = {
		.host = &host, .identity = {.cri_socket = ""}, .hang_ms = 1000};
	struct worker_hang hang = {0};
	struct pollfd result = {.events = POLLIN};
	struct worker *worker;
	struct err err = {0};
	const cJSON *check;
	cJSON *late;
	int fd;

	(void)state;
	assert_int_equal(host_open(&host, &paths, "n", NULL), 0);
	assert_int_equal(worker_new(&opts, &worker, &err), 0);
	assert_false(worker_hangs(worker, &hang));
	worker_start(worker, scans(), "s-1");
	result.fd = worker_fd(worker);
	while (!worker_hangs(worker, &hang))
		assert_int_equal(poll(&result, 1, 50), 0);
	assert_non_null(strstr(hang.what, want));
	assert_non_null(hang.report);
	check = cJSON_GetArrayItem(tree_get(hang.report, "checks"), 0);
	assert_string_equal(tree_str_or_empty(check, "type"), "SlabCache");
	assert_string_equal(tree_str_or_empty(check, "reason"), "Hangs");
	assert_string_equal(tree_str_or_empty(check, "message"), hang.what);
	cJSON_Delete(hang.report);
	/* Once for each run. */
	assert_true(worker_hangs(worker, &hang));
	assert_null(hang.report);
	/* It is read before and after the window. */
	while (poll(&result, 1, 50) == 0) {
		fd = open(fifo, O_WRONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd >= 0)
			(void)close(fd);
	}
	assert_false(worker_hangs(worker, &hang));
	late = worker_take(worker);
	assert_non_null(late);
	cJSON_Delete(late);
	worker_free(worker);
}

static int clean(void **state)
{
	(void)state;
	plant_clean();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(names_are_learnt_within_a_window, clean),
		cmocka_unit_test_teardown(a_run_that_hangs_is_told, clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
