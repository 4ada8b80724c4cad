/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bytes of gRPC over HTTP/2: the length-prefixed message and the status in headers or trailers. Pure. Private to identity/.
 */
#ifndef MEMDIAG_IDENTITY_GRPC_FRAME_H
#define MEMDIAG_IDENTITY_GRPC_FRAME_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
	GRPC_PREFIX = 5,	/* a flag (1: compressed) and the length, big-endian */
	GRPC_MESSAGE_MAX = 512, /* bytes of grpc-message that are kept */
};

/* The codes that memdiag tells apart. */
enum {
	GRPC_STATUS_NONE = -1, /* not seen */
	GRPC_OK = 0,
	GRPC_DEADLINE_EXCEEDED = 4,
	GRPC_NOT_FOUND = 5,
	GRPC_PERMISSION_DENIED = 7,
	GRPC_RESOURCE_EXHAUSTED = 8,
	GRPC_UNIMPLEMENTED = 12,
	GRPC_UNAVAILABLE = 14,
	GRPC_UNAUTHENTICATED = 16,
	GRPC_CODES = 17,
};

/* "NOT_FOUND"; "UNKNOWN" for what is no code. */
const char *grpc_code_name(int code);

struct grpc_status {
	int code;
	char message[GRPC_MESSAGE_MAX]; /* percent-decoded; foreign bytes, NUL-terminated */
};

/* Takes one header or trailer line, with or without its line end; lines that are neither status nor message are passed over. */
void grpc_status_line(struct grpc_status *status, const char *line, size_t n);

void grpc_prefix_write(uint8_t prefix[GRPC_PREFIX], uint32_t length);

/*
 * The n bytes of a unary reply's body so far. 0: the one message is whole; 1: more must come. -EPROTO: compressed (nobody asked
 * for that), or more than one message; -EFBIG: the message is longer than max.
 */
int grpc_frame_check(const void *body, size_t n, size_t max, struct err *err);

#endif
