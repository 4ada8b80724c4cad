/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What came back, read: body or reason. Private to kube/.
 */
#ifndef MEMDIAG_KUBE_ANSWER_H
#define MEMDIAG_KUBE_ANSWER_H

#include <stdbool.h>

#include <curl/curl.h>

#include "base/buf.h"
#include "kube/client.h"

/* Collects a body up to its ceiling. */
struct kube_body {
	struct buf buf;
	bool over; /* there was more than that */
};

/* Takes the bytes; false when they exceed the ceiling. */
bool kube_body_add(struct kube_body *body, const void *data, size_t n);

struct kube_answer {
	struct kube_response response; /* its pointers are into the members below */
	cJSON *tree;
	char *error;
};

/* curl_error is what CURLOPT_ERRORBUFFER holds. */
void kube_answer_read(struct kube_answer *answer, CURL *easy, CURLcode result,
		      const char *curl_error, const struct kube_body *body);
/* The same without curl, for tests and for failures before a transfer. type: Content-Type or NULL. */
void kube_answer_make(struct kube_answer *answer, long status, const char *type,
		      const struct kube_body *body);
void kube_answer_fail(struct kube_answer *answer, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void kube_answer_done(struct kube_answer *answer);

#endif
