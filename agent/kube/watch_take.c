/* SPDX-License-Identifier: Apache-2.0 */
/* What a LIST or a WATCH brings, handed to whoever watches, and what its end means. */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "kube/watch_internal.h"

static enum watch_outcome take_items(struct kube_watch *w)
{
	cJSON *item;
	int r;

	if (!w->list_open) {
		w->list_open = true;
		if (w->opts.fns.list_begin)
			w->opts.fns.list_begin(w->opts.arg);
	}
	while (!w->doomed && (r = list_frame_next(&w->list, &item, &w->err)) != 0) {
		if (r < 0)
			return r == -EFBIG ? WATCH_TOO_LARGE : WATCH_USELESS;
		if (w->opts.fns.upsert)
			w->opts.fns.upsert(w->opts.arg, item);
		cJSON_Delete(item);
	}
	return WATCH_GOES_ON;
}

static enum watch_outcome take_event(struct kube_watch *w, const struct watch_event *event)
{
	switch (event->kind) {
	case WATCH_UPSERT:
	case WATCH_REMOVE:
		w->brought++;
		w->stats.events++;
		break;
	case WATCH_BOOKMARK:
		w->bookmarks++;
		break;
	default:
		w->err = event->err;
		return event->kind == WATCH_GONE    ? WATCH_EXPIRED
		       : event->kind == WATCH_ERROR ? WATCH_BROKEN
						    : WATCH_USELESS;
	}
	if (*event->version) {
		free(w->plan.version);
		w->plan.version = xstrdup(event->version);
	}
	if (event->kind == WATCH_UPSERT && w->opts.fns.upsert)
		w->opts.fns.upsert(w->opts.arg, event->object);
	if (event->kind == WATCH_REMOVE && w->opts.fns.remove)
		w->opts.fns.remove(w->opts.arg, event->object);
	return WATCH_GOES_ON;
}

static enum watch_outcome take_events(struct kube_watch *w)
{
	enum watch_outcome outcome = WATCH_GOES_ON;
	struct watch_event event;

	while (!w->doomed && outcome == WATCH_GOES_ON) {
		watch_frame_next(&w->events, &event);
		if (event.kind == WATCH_NONE)
			break;
		outcome = take_event(w, &event);
		watch_event_done(&event);
	}
	return outcome;
}

/* A LIST whose body is complete. */
static enum watch_outcome page_end(struct kube_watch *w)
{
	char *version;

	free(take_ptr(w->plan.next_page));
	if (list_frame_finish(&w->list, &version, &w->plan.next_page, &w->err) < 0)
		return WATCH_USELESS;
	if (w->plan.next_page) {
		free(version);
		return WATCH_NEXT_PAGE;
	}
	w->plan.version = version;
	w->list_open = false;
	w->stats.synced = true;
	if (w->opts.fns.list_end)
		w->opts.fns.list_end(w->opts.arg);
	return WATCH_LISTED;
}

/* Anything but a complete 200. */
static enum watch_outcome failure(struct kube_watch *w, CURLcode result)
{
	enum watch_outcome outcome;
	struct kube_answer answer;

	kube_answer_read(&answer, w->easy, result, w->curl_error, &w->error_body);
	w->retry_after_ms = answer.response.retry_after_ms;
	if (!w->err.msg[0])
		(void)err_say(&w->err, EIO, "%s",
			      *answer.response.error ? answer.response.error : "not HTTP 200");
	outcome = watch_outcome_of_status(answer.response.status);
	/*
	 * Refused costs the server nothing. A connection that timed out was begun, and a server that is that slow has too much to
	 * do: 5000 agents that came back every few seconds kept one from ever recovering (`make scale` on a busy machine).
	 */
	if (outcome == WATCH_ABSENT && result == CURLE_OPERATION_TIMEDOUT)
		outcome = WATCH_BROKEN;
	kube_answer_done(&answer);
	return outcome;
}

enum watch_outcome watch_take(struct kube_watch *w)
{
	return w->listing ? take_items(w) : take_events(w);
}

enum watch_outcome watch_take_end(struct kube_watch *w, CURLcode result, uint64_t lived_ms)
{
	if (result != CURLE_OK || !w->accepted_ns)
		return failure(w, result);
	return w->listing ? page_end(w) : watch_outcome_of_end(w->brought, w->bookmarks, lived_ms);
}
