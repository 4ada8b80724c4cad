/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to the API server over the loop: one connection for requests, kept alive; TLS verified; token re-read.
 */
#ifndef MEMDIAG_KUBE_CLIENT_H
#define MEMDIAG_KUBE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/tree.h"
#include "kube/config.h"
#include "kube/loop.h"

struct kube_client;
struct kube_request;

/* config is borrowed and must outlive the client. user_agent must not begin with "curl/" (the server would pretty-print). */
int kube_client_new(struct loop *loop, const struct kube_config *config, const char *user_agent,
		    struct kube_client **ret, struct err *err);
/* Its watches are freed before it. Requests under way end without their callback. */
void kube_client_free(struct kube_client *client);

/* What came back. Valid during the callback only. */
struct kube_response {
	long status;	   /* HTTP status; 0: no answer, or none of use (error says why) */
	const cJSON *body; /* NULL when there is none or it is no JSON */
	const char
		*error; /* "" on 2xx; else the reason in one line: Status.message, or curl's text */
	const char *reason; /* metav1.Status reason such as "NotFound"; "" when there is none */
	uint64_t retry_after_ms; /* Retry-After; 0: none */
	bool too_large; /* there was an answer, of more than max_response bytes; status is 0 */
};

/* Whether the same request can succeed later: no answer (not one that was too large), 403 (see retry.c), 429, 5xx other than what an unknown field makes. */
bool kube_retryable(const struct kube_response *response);

struct kube_request_opts {
	const char *method; /* GET, PATCH, DELETE, POST, PUT */
	const char
		*path; /* "/apis/memdiag.io/v1alpha1/…?query"; the caller has percent-encoded it */
	const char *accept;	  /* NULL: application/json */
	const char *content_type; /* with a body */
	const char *body;	  /* copied; NULL: none */
	size_t max_response;	  /* bytes; 0: 8 MiB */
	uint64_t timeout_ms;	  /* 0: 30 s */
	bool urgent; /* goes at once, over a connection of its own if need be, also while the API server has asked for a pause */
};

typedef void (*kube_response_fn)(void *arg, const struct kube_response *response);

/*
 * A 429 makes all requests wait that are not urgent, for as long as its Retry-After says (at most 30 s): one that the API
 * server has no time for tells that it has none for the others either.
 *
 * Starts a request. done is called exactly once from the loop, never from within this call, unless the request is
 * cancelled. Returns a handle for kube_request_cancel(), valid until done is called.
 */
struct kube_request *kube_request(struct kube_client *client, const struct kube_request_opts *opts,
				  kube_response_fn done, void *arg);
/* Ends it without calling done. NULL is fine. */
void kube_request_cancel(struct kube_request *request);

/* Server-side apply: PATCH path?fieldManager=manager&force=true with the tree as complete intent. */
struct kube_request *kube_apply(struct kube_client *client, const char *path, const char *manager,
				const cJSON *object, kube_response_fn done, void *arg);

struct kube_client_stats {
	uint64_t requests, failures, throttled; /* sent; without 2xx; answered 429 */
};
struct kube_client_stats kube_client_stats(const struct kube_client *client);

/*
 * Delay before try n (0 = first retry): 0.8 s x 2^n, at most 30 s, full jitter (uniform over 0..delay). With Retry-After: that,
 * and up to four times as long again.
 */
uint64_t kube_backoff_ms(unsigned int n, uint64_t retry_after_ms);

#endif
