/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server on a unix socket that says what a script tells it, in HTTP/2 frames or not, for the faults a real container runtime
 * can't be asked for. Each connection takes the next reply once its request is whole; when none is left it is never answered.
 */
#ifndef MEMDIAG_TESTS_GRPC_SERVER_H
#define MEMDIAG_TESTS_GRPC_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct grpc_server;

/* Listens at once, on a socket in a folder of its own. */
struct grpc_server *grpc_server_new(void);
const char *grpc_server_socket(const struct grpc_server *s);
/* Ends its connections, joins its thread, removes the socket. */
void grpc_server_free(struct grpc_server *s);

/* The next reply: n bytes as they are, copied. hang_up: end the connection then, else wait until the client does. */
void grpc_say_bytes(struct grpc_server *s, const void *bytes, size_t n, bool hang_up);
/* 200, the message, and the status in trailers; status NULL: no trailers; text NULL: no grpc-message. */
void grpc_say(struct grpc_server *s, const void *message, size_t n, const char *status,
	      const char *text);
/* What a server says that refuses at once: no body, the status in the only headers. http: "200". */
void grpc_say_refusal(struct grpc_server *s, const char *http, const char *status,
		      const char *text);
/* RST_STREAM, without any headers. */
void grpc_say_reset(struct grpc_server *s);

/* Building blocks for grpc_say_bytes(): the server's settings and its consent to the client's, first of all. */
void h2_settings(struct buf *out);
/* A HEADERS frame of stream 1; http NULL: trailers. last: END_STREAM. Header values may be NULL: left out. */
void h2_headers(struct buf *out, bool last, const char *http, const char *status, const char *text);
void h2_data(struct buf *out, bool last, const void *data, size_t n);

/* Connections so far, and the body of request i (with its prefix), valid until grpc_server_free(). */
size_t grpc_requests(struct grpc_server *s);
const struct buf *grpc_request(struct grpc_server *s, size_t i);

#endif
