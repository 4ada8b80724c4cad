/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "kube/loop.h"

static struct loop *loop;
static char trace[64];
static size_t traced;
static struct loop_timer *timers[4];

static int setup(void **state)
{
	struct err err;

	(void)state;
	traced = 0;
	trace[0] = '\0';
	return loop_new(&loop, &err);
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		loop_timer_free(timers[i]);
		timers[i] = NULL;
	}
	loop_free(loop);
	return 0;
}

static void note(char c)
{
	if (traced < sizeof(trace) - 1)
		trace[traced++] = c;
	trace[traced] = '\0';
}

static void on_note(void *arg)
{
	note(*(const char *)arg);
	if (*(const char *)arg == 'Z')
		loop_stop(loop);
}

static void test_timers_in_order(void **state)
{
	struct err err;
	uint64_t begin_ns = clock_mono_ns();

	(void)state;
	timers[0] = loop_timer_new(loop, on_note, (void *)"Z");
	timers[1] = loop_timer_new(loop, on_note, (void *)"b");
	timers[2] = loop_timer_new(loop, on_note, (void *)"a");
	timers[3] = loop_timer_new(loop, on_note, (void *)"-");
	loop_timer_arm(timers[0], 40);
	loop_timer_arm(timers[1], 1);
	loop_timer_arm(timers[3], 10);
	loop_timer_arm(timers[1], 20); /* instead of 1 */
	loop_timer_arm(timers[2], 5);
	loop_timer_disarm(timers[3]);
	loop_timer_disarm(timers[3]);
	assert_int_equal(loop_run(loop, &err), 0);
	assert_string_equal(trace, "abZ");
	assert_in_range((clock_mono_ns() - begin_ns) / NSEC_PER_MSEC, 40, 2000);
}

/* Frees itself and another that is due at the same time. */
static void on_free_two(void *arg)
{
	(void)arg;
	note('f');
	for (int i = 0; i < 2; i++) {
		loop_timer_free(timers[i]);
		timers[i] = NULL;
	}
}

static void test_timer_frees_timers(void **state)
{
	struct err err;

	(void)state;
	timers[0] = loop_timer_new(loop, on_free_two, NULL);
	timers[1] = loop_timer_new(loop, on_free_two, NULL);
	timers[2] = loop_timer_new(loop, on_note, (void *)"Z");
	for (int i = 0; i < 3; i++)
		loop_timer_arm(timers[i], 0);
	assert_int_equal(loop_run(loop, &err), 0);
	assert_string_equal(trace, "fZ");
}

static int pipe_fds[2];

static void on_readable(void *arg, int fd)
{
	char c;

	(void)arg;
	if (read(fd, &c, 1) == 1) {
		note(c);
		return;
	}
	note('0');
	loop_unwatch_fd(loop, fd);
	loop_stop(loop);
}

/* Arms itself without delay: descriptors must have their turn all the same. */
static void on_again(void *arg)
{
	(void)arg;
	loop_timer_arm(timers[0], 0);
}

static void on_close(void *arg)
{
	(void)arg;
	close(pipe_fds[1]);
}

static void test_descriptors(void **state)
{
	struct err err;

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(loop_watch_fd(loop, pipe_fds[0], on_readable, NULL), 0);
	assert_int_equal(write(pipe_fds[1], "xy", 2), 2);
	timers[0] = loop_timer_new(loop, on_again, NULL);
	loop_timer_arm(timers[0], 0);
	timers[1] = loop_timer_new(loop, on_close, NULL); /* POLLHUP without data */
	loop_timer_arm(timers[1], 20);
	assert_int_equal(loop_run(loop, &err), 0);
	assert_string_equal(trace, "xy0");
	close(pipe_fds[0]);
	for (int i = 0; i < 8; i++)
		assert_int_equal(loop_watch_fd(loop, 100 + i, on_readable, NULL), 0);
	assert_int_equal(loop_watch_fd(loop, 108, on_readable, NULL), -ENOSPC);
	assert_int_equal(loop_watch_fd(loop, -1, on_readable, NULL), -EBADF);
	loop_unwatch_fd(loop, 103);
	assert_int_equal(loop_watch_fd(loop, 108, on_readable, NULL), 0);
}

/* Both are readable; the first callback gives up the second. */
static void on_unwatch_other(void *arg, int fd)
{
	note('u');
	loop_unwatch_fd(loop, fd);
	loop_unwatch_fd(loop, *(int *)arg);
}

static void test_callback_unwatches(void **state)
{
	struct err err;
	int a[2], b[2];

	(void)state;
	assert_int_equal(pipe2(a, O_CLOEXEC), 0);
	assert_int_equal(pipe2(b, O_CLOEXEC), 0);
	assert_int_equal(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
	assert_int_equal(loop_watch_fd(loop, a[0], on_unwatch_other, &b[0]), 0);
	assert_int_equal(loop_watch_fd(loop, b[0], on_unwatch_other, &a[0]), 0);
	timers[0] = loop_timer_new(loop, on_note, (void *)"Z");
	loop_timer_arm(timers[0], 20);
	assert_int_equal(loop_run(loop, &err), 0);
	assert_string_equal(trace, "uZ");
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

/* Waiting costs no CPU: neither a timer nor a descriptor makes the loop turn meanwhile. */
static void test_idle(void **state)
{
	struct err err;
	uint64_t cpu_ns;

	(void)state;
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
	assert_int_equal(loop_watch_fd(loop, pipe_fds[0], on_readable, NULL), 0);
	timers[0] = loop_timer_new(loop, on_note, (void *)"Z");
	loop_timer_arm(timers[0], 200);
	cpu_ns = clock_thread_cpu_ns();
	assert_int_equal(loop_run(loop, &err), 0);
	assert_true(clock_thread_cpu_ns() - cpu_ns < 20 * NSEC_PER_MSEC);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

#define loop_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		loop_test(test_timers_in_order),
		loop_test(test_timer_frees_timers),
		loop_test(test_descriptors),
		loop_test(test_callback_unwatches),
		loop_test(test_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
