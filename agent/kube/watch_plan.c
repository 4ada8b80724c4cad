/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/watch_plan.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "kube/conn.h"
#include "kube/timing.h"

enum { ABSENT_ATTEMPT_MAX = 3 }; /* 6.4 s: 5000 clients come back at 800 a second */

enum {
	LIST_LIMIT = 500,   /* objects a page */
	QUICK_ENDS_MAX = 3, /* in a row, then the version itself is suspect */
};

struct answer {
	bool failed, back_off, relist;
};

static const struct answer answers[] = {
	[WATCH_NEXT_PAGE] = {0},
	[WATCH_LISTED] = {0},
	[WATCH_ENDED] = {0},
	[WATCH_ENDED_QUICKLY] = {.back_off = true},
	[WATCH_ENDED_SILENT] = {.relist = true},
	[WATCH_EXPIRED] = {.relist = true},
	[WATCH_TOO_LARGE] = {.failed = true, .back_off = true, .relist = true},
	[WATCH_UNAUTHORIZED] = {.failed = true, .back_off = true},
	[WATCH_ABSENT] = {.failed = true, .back_off = true},
	[WATCH_BROKEN] = {.failed = true, .back_off = true},
	[WATCH_USELESS] = {.failed = true, .back_off = true, .relist = true},
};

enum watch_outcome watch_outcome_of_status(long status)
{
	if (status == 410)
		return WATCH_EXPIRED;
	if (status == 401)
		return WATCH_UNAUTHORIZED;
	if (status == 0)
		return WATCH_ABSENT;
	/* 403: what a server that has just started says of what it will allow (retry.c); no reason for a new list. */
	if (status == 403 || status == 408 || status == 429 || status >= 500)
		return WATCH_BROKEN;
	return WATCH_USELESS;
}

enum watch_outcome watch_outcome_of_end(unsigned int events, unsigned int bookmarks,
					uint64_t lived_ms)
{
	if (events > 0)
		return WATCH_ENDED;
	if (lived_ms < kube_timing.quick_ms)
		return WATCH_ENDED_QUICKLY;
	if (bookmarks == 0 && lived_ms >= kube_timing.silent_ms)
		return WATCH_ENDED_SILENT;
	return WATCH_ENDED;
}

void watch_plan_init(struct watch_plan *plan, const char *path, const char *field_selector)
{
	*plan = (struct watch_plan){
		.path = xstrdup(path),
		.field_selector = field_selector ? xstrdup(field_selector) : NULL,
		.limit = LIST_LIMIT,
	};
}

void watch_plan_done(struct watch_plan *plan)
{
	free(plan->path);
	free(plan->field_selector);
	free(plan->version);
	free(plan->next_page);
}

static char *escape(const char *text)
{
	char *escaped = curl_easy_escape(NULL, text, 0);
	char *copy = xstrdup(escaped ? escaped : "");

	curl_free(escaped);
	return copy;
}

static char *list_query(const struct watch_plan *plan)
{
	_cleanup_free_ char *token = NULL;

	/* A continue token holds the version; both together are refused. */
	if (!plan->next_page)
		return xasprintf("limit=%u%s", plan->limit,
				 plan->fresh ? "" : "&resourceVersion=0");
	token = escape(plan->next_page);
	return xasprintf("limit=%u&continue=%s", plan->limit, token);
}

static char *watch_query(const struct watch_plan *plan, uint64_t seconds)
{
	_cleanup_free_ char *version = escape(plan->version);

	return xasprintf("watch=true&allowWatchBookmarks=true&timeoutSeconds=%llu&"
			 "resourceVersion=%s",
			 (unsigned long long)seconds, version);
}

char *watch_plan_path(const struct watch_plan *plan, uint64_t seconds)
{
	_cleanup_free_ char *query = watch_plan_lists(plan) ? list_query(plan)
							    : watch_query(plan, seconds);

	return xasprintf("%s%c%s%s%s", plan->path, strchr(plan->path, '?') ? '&' : '?', query,
			 plan->field_selector ? "&fieldSelector=" : "",
			 plan->field_selector ? plan->field_selector : "");
}

const char *watch_plan_accept(const struct watch_plan *plan, bool metadata)
{
	if (!metadata)
		return "application/json";
	return watch_plan_lists(plan)
		       ? "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
		       : "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
}

/* 410: at once the first time; a second one says that the server's cache lags, or that its answer does not help. */
static void answer_expired(struct watch_plan *plan, struct answer *answer)
{
	if (watch_plan_lists(plan)) {
		answer->back_off = plan->fresh;
		plan->fresh = true;
	} else if (plan->expired++ > 0) {
		answer->back_off = true;
		plan->fresh = true;
	}
}

static void answer_too_large(struct watch_plan *plan)
{
	if (plan->fresh && plan->limit > 1)
		plan->limit /= 2;
	plan->fresh = true;
}

struct watch_decision watch_plan_decide(struct watch_plan *plan, enum watch_outcome outcome,
					uint64_t retry_after_ms, bool may_retry_401)
{
	struct answer answer = answers[outcome];
	struct watch_decision decision = {.failed = answer.failed};

	if (outcome == WATCH_UNAUTHORIZED && may_retry_401 && !plan->retried_401) {
		plan->retried_401 = true;
		answer.back_off = false;
	}
	plan->quick = outcome == WATCH_ENDED_QUICKLY ? plan->quick + 1 : 0;
	if (plan->quick >= QUICK_ENDS_MAX)
		answer.relist = true;
	if (outcome == WATCH_EXPIRED)
		answer_expired(plan, &answer);
	else if (outcome == WATCH_TOO_LARGE)
		answer_too_large(plan);
	else if (outcome == WATCH_LISTED)
		plan->fresh = false;
	/* Asking in vain costs the server nothing, and whoever waits for it wants to know soon that it is back. */
	if (outcome == WATCH_ABSENT && plan->attempt > ABSENT_ATTEMPT_MAX)
		plan->attempt = ABSENT_ATTEMPT_MAX;
	if (answer.back_off)
		decision.delay_ms = kube_backoff_ms(plan->attempt++, retry_after_ms);
	if (answer.relist)
		free(take_ptr(plan->version));
	if (answer.relist || answer.failed)
		free(take_ptr(plan->next_page));
	return decision;
}
