/* SPDX-License-Identifier: Apache-2.0 */
/* Files that never end: a FIFO that nobody writes to stands for the mappings of a process that hangs with their lock held. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "instruments/kmem_internal.h"
#include "instruments/proc_timed.h"
#include "support/plant.h"

enum { SHORT_MS = 20, LONG_MS = 60000 };

static const char *dir;
static struct root proc = ROOT_INIT;

static void write_file(const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	_cleanup_fclose_ FILE *f = fopen(path, "we");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
}

static void make_folder(const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

	assert_int_equal(mkdir(path, 0755), 0);
}

static void make_fifo(const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

	assert_int_equal(mkfifo(path, 0600), 0);
}

/* Lets who reads the FIFO go, with that text, and waits until all have gone. */
static void release(const char *name, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)close(fd);
	while (proc_timed_left() > 0)
		(void)usleep(1000);
}

static void what_ends_is_read(void **state)
{
	_cleanup_buf_ struct buf text = BUF_INIT(16), cut = BUF_INIT(4);

	(void)state;
	write_file("short", "some text\n");
	assert_int_equal(proc_read_timed(&proc, "short", LONG_MS, &text), 0);
	assert_string_equal(text.data, "some text\n");
	assert_int_equal(proc_read_timed(&proc, "short", LONG_MS, &cut), -EFBIG);
	assert_int_equal(proc_read_timed(&proc, "none", LONG_MS, &text), -ENOENT);
	assert_int_equal(proc_timed_left(), 0);
}

static void what_does_not_end_is_left(void **state)
{
	_cleanup_buf_ struct buf text = BUF_INIT(16);

	(void)state;
	make_fifo("hangs");
	write_file("short", "some text\n");
	for (unsigned int i = 1; i <= PROC_TIMED_LEFT_MAX; i++) {
		assert_int_equal(proc_read_timed(&proc, "hangs", SHORT_MS, &text), -ETIMEDOUT);
		assert_int_equal(proc_timed_left(), i);
	}
	assert_null(text.data);
	/* There is an end to that, and it ends. */
	assert_int_equal(proc_read_timed(&proc, "short", LONG_MS, &text), -EBUSY);
	release("hangs", "at last");
	assert_int_equal(proc_read_timed(&proc, "short", LONG_MS, &text), 0);
	assert_string_equal(text.data, "some text\n");
}

/* One process of two hangs: the other one's buffer is found, and the report names the one that is missing. */
static void a_process_that_hangs_is_named(void **state)
{
	static const char perf[] =
		"7f0000000000-7f0001000000 rw-s 0 00:0e 1 anon_inode:[perf_event]\n";
	static const char *const folders[] = {"10", "10/fd", "11", "11/fd"};
	struct kmem_snapshot *s = NULL;
	_cleanup_free_ char *first = xasprintf("%s/10/fd/3", dir),
			    *second = xasprintf("%s/11/fd/3", dir);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
		make_folder(folders[i]);
	make_fifo("10/maps");
	write_file("11/maps", perf);
	assert_int_equal(symlink("anon_inode:[perf_event]", first), 0);
	assert_int_equal(symlink("anon_inode:[perf_event]", second), 0);
	assert_int_equal(kmem_read(&(struct kmem_opts){.proc = &proc, .sys = dir, .recorded = true},
				   &s, NULL),
			 0);
	assert_int_equal(s->owners.n, 1);
	assert_int_equal(s->owners.items[0].pid, 11);
	assert_int_equal(s->missing.n, 1);
	assert_string_equal(s->missing.lines[0],
			    "mappings of process 10: they are locked for more than 1 s; look for "
			    "its threads in state D");
	release("10/maps", perf);
	kmem_snapshot_free(s);
}

static int setup(void **state)
{
	(void)state;
	dir = plant_dir();
	return root_open(&proc, dir, NULL);
}

static int teardown(void **state)
{
	(void)state;
	root_close(&proc);
	plant_clean();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_ends_is_read, setup, teardown),
		cmocka_unit_test_setup_teardown(what_does_not_end_is_left, setup, teardown),
		cmocka_unit_test_setup_teardown(a_process_that_hangs_is_named, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
