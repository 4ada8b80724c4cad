/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One gRPC call with one request and one reply, over a unix socket. Blocking, for the worker thread.
 */
#ifndef MEMDIAG_IDENTITY_GRPC_H
#define MEMDIAG_IDENTITY_GRPC_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct grpc_call {
	const char *socket;  /* path */
	const char *method;  /* "runtime.v1.RuntimeService/Version" */
	const void *request; /* an encoded message; copied */
	size_t request_len;
	uint32_t timeout_ms; /* of the whole call */
	size_t max_reply;    /* bytes of the message */
};

/*
 * The reply's message in a new buffer, which the caller releases with buf_done(). Errors name the method, and the gRPC status
 * where there is one:
 * -ENOSYS: the server does not implement the method; -ENOENT: NOT_FOUND; -ETIMEDOUT; -EFBIG; -EACCES; -ECONNREFUSED: nobody
 * listens, or UNAVAILABLE; -EPROTO: everything else, a missing status among it.
 */
int grpc_unary(const struct grpc_call *call, struct buf *ret, struct err *err);

#endif
