/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a watch asks for next, and how its end changes that. No I/O but the random numbers. Private to kube/.
 */
#ifndef MEMDIAG_KUBE_WATCH_PLAN_H
#define MEMDIAG_KUBE_WATCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>

/* How a request went on or ended. The answers are at the top of kube/watch.c. */
enum watch_outcome {
	WATCH_GOES_ON,
	WATCH_NEXT_PAGE,
	WATCH_LISTED,
	WATCH_ENDED,
	WATCH_ENDED_QUICKLY, /* and brought nothing */
	WATCH_ENDED_SILENT,  /* after a time in which a bookmark was due */
	WATCH_EXPIRED,	     /* 410 */
	WATCH_TOO_LARGE,
	WATCH_UNAUTHORIZED,
	WATCH_ABSENT,  /* nobody answered */
	WATCH_BROKEN,  /* the version is still good */
	WATCH_USELESS, /* it may not be */
};

/* Of an answer that is no complete 200. 0: there was none. */
enum watch_outcome watch_outcome_of_status(long status);
/* Of a WATCH that the server ended as it should: what it brought and how long it lived. */
enum watch_outcome watch_outcome_of_end(unsigned int events, unsigned int bookmarks,
					uint64_t lived_ms);

struct watch_plan {
	char *path, *field_selector;
	char *version;	      /* where to watch from; NULL: list */
	char *next_page;      /* continue token; NULL: first page */
	bool fresh;	      /* list without resourceVersion=0 */
	unsigned int limit;   /* objects a page */
	unsigned int attempt; /* backoffs since the last healthy watch */
	unsigned int expired; /* versions found too old since then */
	unsigned int quick;   /* quick ends in a row */
	bool retried_401;     /* since the last 200 */
};

struct watch_decision {
	bool failed; /* worth counting and telling */
	uint64_t delay_ms;
};

void watch_plan_init(struct watch_plan *plan, const char *path, const char *field_selector);
void watch_plan_done(struct watch_plan *plan);

/* The watch that ended was a healthy one: what was held against the server is forgotten. */
static inline void watch_plan_forgive(struct watch_plan *plan)
{
	plan->attempt = plan->expired = 0;
}

/*
 * It was a fair one: half is forgotten. An outage of seconds after minutes of backing off is over in seconds, while a server
 * that crashes every few seconds is still asked less and less often.
 */
static inline void watch_plan_ease(struct watch_plan *plan)
{
	plan->attempt /= 2;
}

static inline bool watch_plan_lists(const struct watch_plan *plan)
{
	return !plan->version;
}

/* Path and query of the next request; seconds: what a WATCH is to last. The caller frees it. */
char *watch_plan_path(const struct watch_plan *plan, uint64_t seconds);

/* Its media type; metadata: metadata alone is wanted. Lists have a type of their own: the other one is refused there. */
const char *watch_plan_accept(const struct watch_plan *plan, bool metadata);

/*
 * Settles what comes next after the request ended so. may_retry_401: there is a token file to read again.
 */
struct watch_decision watch_plan_decide(struct watch_plan *plan, enum watch_outcome outcome,
					uint64_t retry_after_ms, bool may_retry_401);

#endif
