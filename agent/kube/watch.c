/* SPDX-License-Identifier: Apache-2.0 */
/*
 * List, then watch, and what to do about each way in which either ends:
 *
 *   what happened                                        answer
 *   ---------------------------------------------------  ----------------------------------------------------------
 *   LIST: another page                                   ask for it
 *   LIST: complete                                       watch from its resourceVersion
 *   LIST: 410 (the continue token is too old)            from the start, once without resourceVersion=0; then back off
 *   LIST: an item or body above the ceiling              back off; without resourceVersion=0 (the server's cache ignores
 *                                                        the limit), then with half the limit each time
 *   LIST: anything else, also in the midst of a page     back off; from the start, list_begin again
 *   WATCH: clean end after events or a second            watch from the last resourceVersion
 *   WATCH: clean end at once without events              back off, watch again; the third time in a row: relist
 *   WATCH: clean end after 90 s without a bookmark       relist (of a version from the future it says nothing at all)
 *   WATCH: 410, as HTTP status or in-stream ERROR        relist; again within 2 minutes: back off, and not from the cache
 *   WATCH: another in-stream ERROR                       back off, watch from the last resourceVersion
 *   WATCH: a line that is no event or above 8 MiB        back off, relist
 *   WATCH: no answer in 60 s, reset, timeout, refused    back off (refused: at most 6.4 s), watch from the last one
 *   any: 401                                             read the token file again, ask once more; then back off
 *   any: 403, 408, 429, 5xx                              back off (Retry-After at least), keep the resourceVersion
 *   any: other HTTP status                               back off, relist
 *   half-open connection                                 keepalive and user timeout end it in 60 s (kube/conn.c); a proxy
 *                                                        that keeps it open: timeoutSeconds + 30 s
 *
 * Backing off starts anew after a watch that lived for 2 minutes, and half as far after one of a second. Callbacks never run
 * inside libcurl: what arrives is kept until libcurl has returned, so they may start requests and free this very watch.
 */
#include "kube/watch.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "kube/conn.h"
#include "kube/timing.h"
#include "kube/watch_internal.h"

enum {
	WATCH_MIN_S = 300,
	WATCH_MARGIN_S = 30,	   /* what the server may be late in ending a watch */
	ERROR_BODY_MAX = 64 << 10, /* bytes of an answer that is no 200 */
};

static void on_start(void *arg);
static void on_pump(void *arg);
static void on_header_timeout(void *arg);

struct kube_watch *kube_watch_new(struct kube_client *client, const struct kube_watch_opts *opts)
{
	struct loop *loop = kube_client_loop(client);
	struct kube_watch *w = xcalloc(1, sizeof(*w));

	w->client = client;
	w->opts = *opts;
	watch_plan_init(&w->plan, opts->path, opts->field_selector);
	w->easy = kube_easy_new();
	w->start = loop_timer_new(loop, on_start, w);
	w->pump = loop_timer_new(loop, on_pump, w);
	w->header = loop_timer_new(loop, on_header_timeout, w);
	w->error_body.buf.max = ERROR_BODY_MAX;
	watch_frame_init(&w->events, KUBE_RECORD_MAX);
	list_frame_init(&w->list, KUBE_RECORD_MAX);
	loop_timer_arm(w->start, 0);
	return w;
}

/* Ends the transfer, if any, and what waits for it. */
static void halt(struct kube_watch *w)
{
	loop_transfer_cancel(kube_client_loop(w->client), w->easy);
	loop_timer_disarm(w->start);
	loop_timer_disarm(w->pump);
	loop_timer_disarm(w->header);
}

void kube_watch_free(struct kube_watch *w)
{
	if (!w)
		return;
	halt(w);
	if (w->busy) {
		w->doomed = true;
		return;
	}
	loop_timer_free(w->start);
	loop_timer_free(w->pump);
	loop_timer_free(w->header);
	curl_easy_cleanup(w->easy);
	curl_slist_free_all(w->headers);
	watch_frame_done(&w->events);
	list_frame_done(&w->list);
	buf_done(&w->error_body.buf);
	watch_plan_done(&w->plan);
	free(w);
}

struct kube_watch_stats kube_watch_stats(const struct kube_watch *w)
{
	return w->stats;
}

static long status_of(const struct kube_watch *w)
{
	long status = 0;

	curl_easy_getinfo(w->easy, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

/* The line that ends the headers: a watch without events is known to be accepted by it alone. */
static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
	struct kube_watch *w = arg;

	if (size * n > 2 || line[0] != '\r' || status_of(w) != 200)
		return size * n;
	w->accepted_ns = clock_mono_ns();
	w->plan.retried_401 = false;
	loop_timer_disarm(w->header);
	if (!w->listing)
		w->stats.synced = true;
	return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct kube_watch *w = arg;
	int r;

	n *= size;
	if (status_of(w) != 200) {
		(void)kube_body_add(&w->error_body, data, n);
		return n;
	}
	r = w->listing ? list_frame_push(&w->list, data, n) : watch_frame_push(&w->events, data, n);
	loop_timer_arm(w->pump, 0);
	return r < 0 ? 0 : n;
}

static void on_done(void *arg, CURL *easy, CURLcode result);

static int send_request(struct kube_watch *w, struct err *err)
{
	uint64_t seconds = WATCH_MIN_S + kube_random_below(WATCH_MIN_S);
	_cleanup_free_ char *path = watch_plan_path(&w->plan, seconds);
	int r;

	curl_slist_free_all(w->headers);
	w->headers = NULL;
	r = kube_conn_setup(kube_client_conn(w->client), w->easy, path, &w->headers, err);
	if (r < 0)
		return r;
	kube_header_add(&w->headers, "Accept: %s",
			watch_plan_accept(&w->plan, w->opts.metadata_only));
	curl_easy_setopt(w->easy, CURLOPT_HTTPHEADER, w->headers);
	curl_easy_setopt(w->easy, CURLOPT_TIMEOUT_MS,
			 w->listing ? (long)kube_timing.list_ms
				    : (long)(seconds + WATCH_MARGIN_S) * 1000);
	curl_easy_setopt(w->easy, CURLOPT_ERRORBUFFER, w->curl_error);
	curl_easy_setopt(w->easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(w->easy, CURLOPT_HEADERDATA, w);
	curl_easy_setopt(w->easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(w->easy, CURLOPT_WRITEDATA, w);
	log_debug("GET %s", path);
	return loop_transfer_start(kube_client_loop(w->client), w->easy, on_done, w) < 0
		       ? err_say(err, EIO, "libcurl refuses the request")
		       : 0;
}

/* How long ago this request was accepted; 0: it was not. */
static uint64_t lived_ms(const struct kube_watch *w)
{
	return w->accepted_ns ? (clock_mono_ns() - w->accepted_ns) / NSEC_PER_MSEC : 0;
}

/* Sets off what comes next. */
static void go_on(struct kube_watch *w, enum watch_outcome outcome)
{
	bool may_retry_401 = outcome == WATCH_UNAUTHORIZED &&
			     kube_conn_forget_token(kube_client_conn(w->client));
	struct watch_decision decision;

	halt(w);
	if (!w->listing && lived_ms(w) >= kube_timing.healthy_ms) {
		watch_plan_forgive(&w->plan);
		w->told = 0;
	} else if (!w->listing && lived_ms(w) >= kube_timing.fair_ms) {
		watch_plan_ease(&w->plan);
	}
	decision = watch_plan_decide(&w->plan, outcome, w->retry_after_ms, may_retry_401);
	if (decision.failed) {
		uint64_t hash = num_hash(w->err.msg, strlen(w->err.msg));

		/* Once at warn; repetitions are for those who debug. */
		log_line(w->told == hash ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
			 "%s %s: %s; again in %llu ms", w->listing ? "list" : "watch", w->plan.path,
			 w->err.msg, (unsigned long long)decision.delay_ms);
		w->told = hash;
		w->stats.errors++;
	}
	if (decision.failed || watch_plan_lists(&w->plan))
		w->stats.synced = false;
	loop_timer_arm(w->start, decision.delay_ms);
}

static void on_start(void *arg)
{
	struct kube_watch *w = arg;

	w->listing = watch_plan_lists(&w->plan);
	w->accepted_ns = w->retry_after_ms = 0;
	w->brought = w->bookmarks = 0;
	w->curl_error[0] = w->err.msg[0] = '\0';
	buf_clear(&w->error_body.buf);
	watch_frame_clear(&w->events);
	list_frame_clear(&w->list);
	if (w->listing && !w->plan.next_page) {
		w->list_open = false;
		w->stats.lists++;
	} else if (!w->listing) {
		w->stats.watches++;
	}
	if (send_request(w, &w->err) < 0) {
		go_on(w, WATCH_BROKEN);
		return;
	}
	if (!w->listing)
		loop_timer_arm(w->header, kube_timing.header_ms);
}

static void on_header_timeout(void *arg)
{
	struct kube_watch *w = arg;

	(void)err_say(&w->err, ETIMEDOUT, "no answer in %llu s",
		      (unsigned long long)kube_timing.header_ms / 1000);
	go_on(w, WATCH_BROKEN);
}

/* --- receiving: callbacks run from here on, and each may free the watch ----------------------------------------------- */

/* Handles what has arrived, and the end when it has come. */
static void receive(struct kube_watch *w, bool ended, CURLcode result)
{
	enum watch_outcome outcome = WATCH_GOES_ON;

	w->busy = true;
	if (w->accepted_ns)
		outcome = watch_take(w);
	if (outcome == WATCH_GOES_ON && ended && !w->doomed)
		outcome = watch_take_end(w, result, lived_ms(w));
	w->busy = false;
	if (w->doomed)
		kube_watch_free(w);
	else if (outcome != WATCH_GOES_ON)
		go_on(w, outcome);
}

static void on_pump(void *arg)
{
	receive(arg, false, CURLE_OK);
}

static void on_done(void *arg, CURL *easy, CURLcode result)
{
	(void)easy;
	receive(arg, true, result);
}
