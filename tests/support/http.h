/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on loopback that says what a script tells it, for the faults a real API server can't be asked for. Each request,
 * over whichever connection, takes the next reply; when there is none left it is never answered.
 */
#ifndef MEMDIAG_TESTS_HTTP_H
#define MEMDIAG_TESTS_HTTP_H

#include <stddef.h>

struct http_server;

enum http_then {
	HTTP_KEEP,  /* wait for the next request on this connection */
	HTTP_CLOSE, /* hang up */
	HTTP_HANG,  /* keep the connection and say nothing more */
};

/* Listens at once. port 0: any free one. */
struct http_server *http_server_new(int port);
int http_server_port(const struct http_server *s);
/* Ends its connections and joins its threads. */
void http_server_free(struct http_server *s);
/* Sends replies in pieces of n bytes. */
void http_set_piece(struct http_server *s, size_t n);

/* The bytes as they are. */
void http_say(struct http_server *s, enum http_then then, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* A complete reply with Content-Length. head: "404 Not Found\r\nRetry-After: 1"; more headers may follow the status. */
void http_say_json(struct http_server *s, const char *head, const char *body);
/* 200 and body as one chunk; a last chunk ends it with HTTP_KEEP, else the stream stays open or breaks off. */
void http_say_stream(struct http_server *s, enum http_then then, const char *body);

/* What was asked so far: head and body of request i as text, valid until http_server_free(); NULL: not asked. */
size_t http_requests(struct http_server *s);
const char *http_request(struct http_server *s, size_t i);
size_t http_connections(struct http_server *s);

#endif
