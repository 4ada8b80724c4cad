/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of kube/ share: a scripted server, a loop, a client, and a record of what they were told. One at a time;
 * http_rig_setup() and http_rig_teardown() are cmocka fixtures.
 */
#ifndef MEMDIAG_TESTS_HTTP_RIG_H
#define MEMDIAG_TESTS_HTTP_RIG_H

#include <stdbool.h>

#include "kube/client.h"
#include "kube/timing.h"
#include "kube/watch.h"
#include "support/http.h"

struct http_rig {
	struct http_server *server;
	struct loop *loop;
	struct loop_timer *guard;
	struct kube_config config;
	struct kube_client *client;
	struct kube_watch *watch;
	/* The last answer of a request, and how many there were; the loop stops at stop_after. */
	struct {
		unsigned int answers;
		long status;
		char *body, *error, *reason;
		uint64_t retry_after_ms;
		bool retryable;
	} seen;
	unsigned int stop_after;
	/* The watch's callbacks: "[" list_begin, "]" list_end, "+name", "-name"; the loop stops when it is `expected`. */
	struct buf said;
	const char *expected;
};

extern struct http_rig rig;

int http_rig_setup(void **state);
int http_rig_teardown(void **state);

/* Makes the client; rig.config may be filled in before. */
void http_rig_connect(void);
void http_rig_run(uint64_t most_ms);
/* Runs until that many answers have come in all, or 5 s. */
void http_rig_run_answers(unsigned int n);
void http_rig_on_answer(void *arg, const struct kube_response *response);
void http_rig_get(const char *path);

/* Watches /api/v1/x. */
void http_rig_watch(void);
/* Notes one callback, as "what" and the object's name. */
void http_rig_say(const char *what, const cJSON *object);
extern const struct kube_watch_fns http_rig_watch_fns;
/* Runs until the callbacks have said exactly that; fails after 5 s. */
void http_rig_run_until(const char *all);
/* Runs until the server has been asked n times; fails after 5 s. */
void http_rig_run_asked(size_t n);

/* Fails unless request i holds the text. */
void http_rig_asked(size_t i, const char *part);

#define http_rig_test(f) cmocka_unit_test_setup_teardown(f, http_rig_setup, http_rig_teardown)

/* Bodies of lists and events. */
#define LIST(version, next, items)                                         \
	"{\"kind\":\"XList\",\"metadata\":{\"resourceVersion\":\"" version \
	"\",\"continue\":\"" next "\"},\"items\":[" items "]}"
#define ITEM(name) "{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"1\"}}"
#define EVENT(type, name, version)                                          \
	"{\"type\":\"" type "\",\"object\":{\"metadata\":{\"name\":\"" name \
	"\",\"resourceVersion\":\"" version "\"}}}\n"
#define LIST_FROM_CACHE "GET /api/v1/x?limit=500&resourceVersion=0 "

#endif
