/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/loop.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
	WATCHED_MAX = 8,
	POLL_MAX_MS =
		3600 * 1000, /* curl_multi_poll() takes an int; waking once an hour costs nothing */
};

struct loop_timer {
	struct loop_timer *next; /* armed ones alone, earliest first */
	struct loop *loop;
	uint64_t deadline_ns;
	bool armed;
	void (*fn)(void *arg);
	void *arg;
};

struct transfer {
	struct transfer *next;
	CURL *easy;
	void (*done)(void *arg, CURL *easy, CURLcode result);
	void *arg;
};

struct watched {
	int fd; /* -1: free */
	bool ready;
	void (*fn)(void *arg, int fd);
	void *arg;
};

struct loop {
	CURLM *multi;
	struct loop_timer *timers;
	struct transfer *transfers;
	struct watched watched[WATCHED_MAX];
	uint64_t pass_ns; /* timers armed from now on fire later than this */
	bool stop;
};

int loop_new(struct loop **ret, struct err *err)
{
	struct loop *loop;
	CURLM *multi;

	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_say(err, EIO, "cannot start libcurl");
	multi = curl_multi_init();
	if (!multi) {
		curl_global_cleanup();
		return err_say(err, EIO, "cannot start libcurl");
	}
	(void)signal(SIGPIPE, SIG_IGN);
	loop = xcalloc(1, sizeof(*loop));
	loop->multi = multi;
	for (int i = 0; i < WATCHED_MAX; i++)
		loop->watched[i].fd = -1;
	*ret = loop;
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	while (loop->transfers)
		loop_transfer_cancel(loop, loop->transfers->easy);
	(void)curl_multi_cleanup(loop->multi);
	curl_global_cleanup();
	free(loop);
}

void loop_stop(struct loop *loop)
{
	loop->stop = true;
}

/* --- timers ------------------------------------------------------------------------------------------------------ */

struct loop_timer *loop_timer_new(struct loop *loop, void (*fn)(void *arg), void *arg)
{
	struct loop_timer *timer = xcalloc(1, sizeof(*timer));

	timer->loop = loop;
	timer->fn = fn;
	timer->arg = arg;
	return timer;
}

void loop_timer_disarm(struct loop_timer *timer)
{
	if (!timer->armed)
		return;
	for (struct loop_timer **at = &timer->loop->timers; *at; at = &(*at)->next) {
		if (*at == timer) {
			*at = timer->next;
			break;
		}
	}
	timer->armed = false;
}

void loop_timer_arm(struct loop_timer *timer, uint64_t delay_ms)
{
	struct loop_timer **at = &timer->loop->timers;
	uint64_t now_ns = clock_mono_ns();

	loop_timer_disarm(timer);
	if (delay_ms > (UINT64_MAX - now_ns) / NSEC_PER_MSEC)
		delay_ms = (UINT64_MAX - now_ns) / NSEC_PER_MSEC;
	timer->deadline_ns = now_ns + delay_ms * NSEC_PER_MSEC;
	/* One that its own callback arms again waits for the next turn, so that descriptors get theirs. */
	if (timer->deadline_ns <= timer->loop->pass_ns)
		timer->deadline_ns = timer->loop->pass_ns + 1;
	while (*at && (*at)->deadline_ns <= timer->deadline_ns)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
	timer->armed = true;
}

void loop_timer_free(struct loop_timer *timer)
{
	if (!timer)
		return;
	loop_timer_disarm(timer);
	free(timer);
}

/* Looks at the head anew each time: a callback may free any timer, its own included. */
static void run_timers(struct loop *loop)
{
	loop->pass_ns = clock_mono_ns();
	while (!loop->stop && loop->timers && loop->timers->deadline_ns <= loop->pass_ns) {
		struct loop_timer *timer = loop->timers;

		loop_timer_disarm(timer);
		timer->fn(timer->arg);
	}
}

static int next_timer_ms(const struct loop *loop)
{
	uint64_t now_ns = clock_mono_ns(), ms;

	if (!loop->timers)
		return POLL_MAX_MS;
	if (loop->timers->deadline_ns <= now_ns)
		return 0;
	/* Rounded up: waking early would only poll again. */
	ms = (loop->timers->deadline_ns - now_ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;
	return ms > POLL_MAX_MS ? POLL_MAX_MS : (int)ms;
}

/* --- descriptors --------------------------------------------------------------------------------------------------- */

int loop_watch_fd(struct loop *loop, int fd, void (*fn)(void *arg, int fd), void *arg)
{
	if (fd < 0)
		return -EBADF;
	for (int i = 0; i < WATCHED_MAX; i++) {
		if (loop->watched[i].fd >= 0)
			continue;
		loop->watched[i] = (struct watched){.fd = fd, .fn = fn, .arg = arg};
		return 0;
	}
	return -ENOSPC;
}

void loop_unwatch_fd(struct loop *loop, int fd)
{
	for (int i = 0; i < WATCHED_MAX; i++)
		if (loop->watched[i].fd == fd)
			loop->watched[i] = (struct watched){.fd = -1};
}

/*
 * Asks poll() itself which descriptors are ready: libcurl 7.88 leaves POLLHUP and POLLERR out of curl_waitfd.revents, so a
 * pipe whose writer is gone would wake the loop for ever without a callback.
 */
static void run_descriptors(struct loop *loop)
{
	struct pollfd fds[WATCHED_MAX];

	for (int i = 0; i < WATCHED_MAX; i++)
		fds[i] = (struct pollfd){.fd = loop->watched[i].fd, .events = POLLIN};
	if (poll(fds, WATCHED_MAX, 0) <= 0)
		return;
	for (int i = 0; i < WATCHED_MAX; i++)
		loop->watched[i].ready = loop->watched[i].fd >= 0 && fds[i].revents != 0;
	for (int i = 0; i < WATCHED_MAX && !loop->stop; i++) {
		struct watched *w = &loop->watched[i];

		/* Cleared when a callback before this one gave the slot up. */
		if (!w->ready)
			continue;
		w->ready = false;
		w->fn(w->arg, w->fd);
	}
}

/* --- transfers ----------------------------------------------------------------------------------------------------- */

int loop_transfer_start(struct loop *loop, CURL *easy,
			void (*done)(void *arg, CURL *easy, CURLcode result), void *arg)
{
	struct transfer *t;

	if (curl_multi_add_handle(loop->multi, easy) != CURLM_OK)
		return -EINVAL;
	t = xcalloc(1, sizeof(*t));
	*t = (struct transfer){.next = loop->transfers, .easy = easy, .done = done, .arg = arg};
	loop->transfers = t;
	return 0;
}

/* Takes it out of the list and out of curl; NULL when it is not running. The caller frees it. */
static struct transfer *transfer_remove(struct loop *loop, CURL *easy)
{
	for (struct transfer **at = &loop->transfers; *at; at = &(*at)->next) {
		struct transfer *t = *at;

		if (t->easy != easy)
			continue;
		*at = t->next;
		(void)curl_multi_remove_handle(loop->multi, easy);
		return t;
	}
	return NULL;
}

void loop_transfer_cancel(struct loop *loop, CURL *easy)
{
	free(transfer_remove(loop, easy));
}

static void run_transfers(struct loop *loop)
{
	CURLMsg *msg;
	int left;

	while (!loop->stop && (msg = curl_multi_info_read(loop->multi, &left))) {
		CURLcode result = msg->data.result;
		struct transfer *t;

		if (msg->msg != CURLMSG_DONE)
			continue;
		t = transfer_remove(loop, msg->easy_handle);
		if (!t)
			continue;
		t->done(t->arg, t->easy, result);
		free(t);
	}
}

int loop_run(struct loop *loop, struct err *err)
{
	struct curl_waitfd fds[WATCHED_MAX];
	CURLMcode code = CURLM_OK;
	int running, ready;

	while (!loop->stop) {
		unsigned int n = 0;

		code = curl_multi_perform(loop->multi, &running);
		if (code != CURLM_OK)
			break;
		run_transfers(loop);
		run_timers(loop);
		if (loop->stop)
			break;
		for (int i = 0; i < WATCHED_MAX; i++)
			if (loop->watched[i].fd >= 0)
				fds[n++] = (struct curl_waitfd){.fd = loop->watched[i].fd,
								.events = CURL_WAIT_POLLIN};
		code = curl_multi_poll(loop->multi, fds, n, next_timer_ms(loop), &ready);
		if (code != CURLM_OK)
			break;
		if (n > 0 && ready > 0)
			run_descriptors(loop);
	}
	loop->stop = false;
	return code == CURLM_OK ? 0 : err_say(err, EIO, "libcurl: %s", curl_multi_strerror(code));
}
