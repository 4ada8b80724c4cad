/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one event loop of a daemon: HTTP transfers (curl multi), timers, readable file descriptors. Single-threaded; every
 * callback runs on the thread that called loop_run(), never inside libcurl: all functions below may be called from it, also to
 * free the timer or to end the transfer or descriptor it is about.
 */
#ifndef MEMDIAG_KUBE_LOOP_H
#define MEMDIAG_KUBE_LOOP_H

#include <stdint.h>

#include <curl/curl.h>

#include "base/err.h"

struct loop;
struct loop_timer;

/*
 * Starts libcurl; to be called before any second thread. From then on the process ignores SIGPIPE: TLS libraries write to
 * connections that the peer has closed.
 */
int loop_new(struct loop **ret, struct err *err);
/* After everything that uses it is freed; transfers still running are ended without calling done. */
void loop_free(struct loop *loop);

/* Runs until loop_stop(); 0, or what made it impossible to go on. */
int loop_run(struct loop *loop, struct err *err);
/* Makes loop_run() return after the current callback. */
void loop_stop(struct loop *loop);

/* A one-shot timer owned by the caller: made idle, armed and re-armed at will. */
struct loop_timer *loop_timer_new(struct loop *loop, void (*fn)(void *arg), void *arg);
/* Fires once in delay_ms, instead of any earlier arming. */
void loop_timer_arm(struct loop_timer *timer, uint64_t delay_ms);
void loop_timer_disarm(struct loop_timer *timer);
/* NULL is fine. May be called from its own callback. */
void loop_timer_free(struct loop_timer *timer);

/* Calls fn whenever fd is readable or in error, until loop_unwatch_fd(). -ENOSPC: 8 are watched already. */
int loop_watch_fd(struct loop *loop, int fd, void (*fn)(void *arg, int fd), void *arg);
void loop_unwatch_fd(struct loop *loop, int fd);

/*
 * Starts a transfer; done is called once with curl's result when it ends. The caller owns easy. Not to be called from
 * libcurl's own callbacks (CURLOPT_WRITEFUNCTION and the like); timers may be armed there.
 */
int loop_transfer_start(struct loop *loop, CURL *easy,
			void (*done)(void *arg, CURL *easy, CURLcode result), void *arg);
/* Ends it without calling done. Harmless for one that is not running. */
void loop_transfer_cancel(struct loop *loop, CURL *easy);

#endif
