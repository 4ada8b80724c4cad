/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/proc_timed.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"

enum { STACK_BYTES = 256 << 10 };

/* Owned by both threads: the one that is through last frees it. */
struct reading {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct root root;
	char *rel;
	struct buf text;
	int result;
	bool done;   /* by the reader */
	bool unread; /* the other one has gone */
};

static unsigned int left;

unsigned int proc_timed_left(void)
{
	return __atomic_load_n(&left, __ATOMIC_RELAXED);
}

static void reading_free(struct reading *reading)
{
	root_close(&reading->root);
	free(reading->rel);
	buf_done(&reading->text);
	(void)pthread_cond_destroy(&reading->wake);
	(void)pthread_mutex_destroy(&reading->lock);
	free(reading);
}

static void *read_it(void *arg)
{
	struct reading *reading = arg;
	int r = root_read(&reading->root, reading->rel, &reading->text, NULL);
	bool unread;

	(void)pthread_mutex_lock(&reading->lock);
	reading->result = r;
	reading->done = true;
	unread = reading->unread;
	(void)pthread_cond_signal(&reading->wake);
	(void)pthread_mutex_unlock(&reading->lock);
	if (unread) {
		reading_free(reading);
		(void)__atomic_fetch_sub(&left, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static struct reading *reading_new(const struct root *proc, const char *rel, size_t max)
{
	int fd = fcntl(proc->fd, F_DUPFD_CLOEXEC, 0);
	struct reading *reading;
	pthread_condattr_t attr;

	if (fd < 0)
		return NULL;
	reading = xcalloc(1, sizeof(*reading));
	reading->root = (struct root){.fd = fd, .path = xstrdup(proc->path)};
	reading->rel = xstrdup(rel);
	reading->text = (struct buf)BUF_INIT(max);
	(void)pthread_mutex_init(&reading->lock, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&reading->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	return reading;
}

static int start(struct reading *reading, pthread_t *ret)
{
	pthread_attr_t attr;
	int r;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	r = pthread_create(ret, &attr, read_it, reading);
	(void)pthread_attr_destroy(&attr);
	return -r;
}

/* Whether the reader was through in time; else the reading is its own from now on. */
static bool wait_done(struct reading *reading, uint64_t timeout_ms)
{
	const struct timespec until = clock_timespec(clock_mono_ns() + timeout_ms * NSEC_PER_MSEC);
	bool done;

	(void)pthread_mutex_lock(&reading->lock);
	while (!reading->done &&
	       pthread_cond_timedwait(&reading->wake, &reading->lock, &until) == 0)
		;
	done = reading->done;
	reading->unread = !done;
	/* Counted before the reader may count itself out. */
	if (!done)
		(void)__atomic_fetch_add(&left, 1, __ATOMIC_RELAXED);
	(void)pthread_mutex_unlock(&reading->lock);
	return done;
}

int proc_read_timed(const struct root *proc, const char *rel, uint64_t timeout_ms, struct buf *out)
{
	struct reading *reading;
	pthread_t thread;
	int r;

	if (proc_timed_left() >= PROC_TIMED_LEFT_MAX)
		return -EBUSY;
	reading = reading_new(proc, rel, out->max);
	if (!reading)
		return -errno;
	r = start(reading, &thread);
	if (r < 0) {
		reading_free(reading);
		return r;
	}
	if (!wait_done(reading, timeout_ms)) {
		(void)pthread_detach(thread);
		return -ETIMEDOUT;
	}
	(void)pthread_join(thread, NULL);
	r = reading->result;
	buf_done(out);
	*out = reading->text;
	reading->text = (struct buf)BUF_INIT(0);
	reading_free(reading);
	return r;
}
