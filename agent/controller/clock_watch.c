/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/clock_watch.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/mem.h"

struct clock_watch {
	struct loop *loop;
	void (*fn)(void *arg);
	void *arg;
	int fd;
};

/* A timer that is never due: reading it fails with ECANCELED when the clock is set (Linux 3.0), also by a resume. */
static bool arm(int fd)
{
	const struct itimerspec never = {.it_value.tv_sec = INT64_C(1) << 40};

	return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) == 0;
}

static void on_readable(void *arg, int fd)
{
	struct clock_watch *watch = arg;
	uint64_t count;
	bool set = read(fd, &count, sizeof(count)) < 0 && errno == ECANCELED;

	(void)arm(fd);
	if (set)
		watch->fn(watch->arg);
}

struct clock_watch *clock_watch_new(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct clock_watch *watch = xcalloc(1, sizeof(*watch));

	*watch = (struct clock_watch){loop, fn, arg, -1};
	watch->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
	if (watch->fd >= 0 && arm(watch->fd) &&
	    loop_watch_fd(loop, watch->fd, on_readable, watch) == 0)
		return watch;
	if (watch->fd >= 0)
		(void)close(watch->fd);
	free(watch);
	return NULL;
}

void clock_watch_free(struct clock_watch *watch)
{
	if (!watch)
		return;
	loop_unwatch_fd(watch->loop, watch->fd);
	(void)close(watch->fd);
	free(watch);
}
