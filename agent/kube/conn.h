/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every request to the API server has in common: address, TLS, token, socket options. Private to kube/.
 */
#ifndef MEMDIAG_KUBE_CONN_H
#define MEMDIAG_KUBE_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include <curl/curl.h>

#include "base/err.h"
#include "kube/client.h"
#include "kube/config.h"

struct kube_conn {
	const struct kube_config *config; /* borrowed */
	char *user_agent;
	char *base;		       /* what a path is appended to */
	char *host;		       /* "Host: ..." when it differs from base's; NULL */
	struct curl_slist *connect_to; /* the real address when base holds tls_server_name; NULL */
	char *token;		       /* "Authorization: Bearer ..."; NULL */
	uint64_t token_read_ns;	       /* 0: read the file before the next request */
};

int kube_conn_init(struct kube_conn *conn, const struct kube_config *config, const char *user_agent,
		   struct err *err);
void kube_conn_done(struct kube_conn *conn);

/*
 * Resets easy and gives it everything but method, body, callbacks and time limit. *headers is appended to; the caller frees
 * it after the transfer. -EIO: the token file cannot be read and never could.
 */
int kube_conn_setup(struct kube_conn *conn, CURL *easy, const char *path,
		    struct curl_slist **headers, struct err *err);
/* For a 401: has the token file read again before the next request. False when there is none. */
bool kube_conn_forget_token(struct kube_conn *conn);

/* Appends "name: value" or a whole line. */
void kube_header_add(struct curl_slist **headers, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* curl_easy_init() that does not fail, as base/mem.h has it. */
CURL *kube_easy_new(void);

/* Uniform over 0..n-1; 0 for n = 0. */
uint64_t kube_random_below(uint64_t n);

/* For kube/watch.c. */
struct kube_conn *kube_client_conn(struct kube_client *client);
struct loop *kube_client_loop(struct kube_client *client);

#endif
