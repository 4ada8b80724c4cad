/* SPDX-License-Identifier: Apache-2.0 */
/* A watch's state, and what is done with what arrives. Private to kube/watch*.c. */
#ifndef MEMDIAG_KUBE_WATCH_INTERNAL_H
#define MEMDIAG_KUBE_WATCH_INTERNAL_H

#include <curl/curl.h>

#include "kube/answer.h"
#include "kube/list_frame.h"
#include "kube/watch.h"
#include "kube/watch_frame.h"
#include "kube/watch_plan.h"

struct kube_watch {
	struct kube_client *client;
	struct kube_watch_opts opts; /* with strings of its own */
	struct watch_plan plan;
	CURL *easy;
	struct curl_slist *headers;
	struct loop_timer *start, *pump, *header;
	struct watch_frame events;
	struct list_frame list;
	struct kube_body error_body;
	char curl_error[CURL_ERROR_SIZE];
	struct err err;	      /* why the stream was given up */
	uint64_t accepted_ns; /* when this stream's 200 came; 0: not yet */
	uint64_t retry_after_ms;
	unsigned int brought, bookmarks; /* by this stream */
	bool listing;			 /* this transfer is a LIST */
	bool list_open;			 /* list_begin was called, list_end was not */
	bool busy, doomed;		 /* a callback runs; it freed the watch */
	uint64_t told;			 /* hash of what was warned of: not again */
	struct kube_watch_stats stats;
};

/*
 * Hands what has arrived so far of an accepted request to whoever watches, whose callbacks may free the watch: then it is doomed
 * and nothing more is handed over. WATCH_GOES_ON, or why the stream is of no use any more.
 */
enum watch_outcome watch_take(struct kube_watch *w);
/* The transfer has ended, and all that arrived is taken. */
enum watch_outcome watch_take_end(struct kube_watch *w, CURLcode result, uint64_t lived_ms);

#endif
