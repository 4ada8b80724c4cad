/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/grpc_frame.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/num.h"

static const char *const code_names[GRPC_CODES] = {
	"OK",
	"CANCELLED",
	"UNKNOWN",
	"INVALID_ARGUMENT",
	"DEADLINE_EXCEEDED",
	"NOT_FOUND",
	"ALREADY_EXISTS",
	"PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED",
	"FAILED_PRECONDITION",
	"ABORTED",
	"OUT_OF_RANGE",
	"UNIMPLEMENTED",
	"INTERNAL",
	"UNAVAILABLE",
	"DATA_LOSS",
	"UNAUTHENTICATED",
};

const char *grpc_code_name(int code)
{
	return code >= 0 && code < GRPC_CODES ? code_names[code] : "UNKNOWN";
}

/* The value of "name: value" without the spaces around it; false when the line is another header. */
static bool header_value(const char *line, size_t n, const char *name, const char **ret,
			 size_t *ret_n)
{
	size_t len = strlen(name);

	if (n <= len || strncasecmp(line, name, len) != 0 || line[len] != ':')
		return false;
	line += len + 1;
	n -= len + 1;
	while (n > 0 && (*line == ' ' || *line == '\t')) {
		line++;
		n--;
	}
	while (n > 0 && strchr("\r\n \t", line[n - 1]))
		n--;
	*ret = line;
	*ret_n = n;
	return true;
}

/* %XX becomes its byte; a '%' without two digits stays, as the gRPC specification wants it. */
static void percent_decode(const char *s, size_t n, char *out, size_t size)
{
	size_t used = 0;

	for (size_t i = 0; i < n && used + 1 < size; i++) {
		uint64_t byte;

		if (s[i] == '%' && n - i > 2 && num_hex(s + i + 1, 2, &byte) == 0 && byte != 0) {
			out[used++] = (char)byte;
			i += 2;
		} else if (s[i] != '\0') {
			out[used++] = s[i];
		}
	}
	out[used] = '\0';
}

void grpc_status_line(struct grpc_status *status, const char *line, size_t n)
{
	const char *value;
	char digits[8] = "";
	uint64_t code;
	size_t len;

	if (header_value(line, n, "grpc-status", &value, &len)) {
		if (len < sizeof(digits))
			memcpy(digits, value, len);
		/* What is no code is a failure all the same: UNKNOWN. */
		status->code = num_u64(digits, 0, 99, &code) < 0 ? 2 : (int)code;
	} else if (header_value(line, n, "grpc-message", &value, &len)) {
		percent_decode(value, len, status->message, sizeof(status->message));
	}
}

void grpc_prefix_write(uint8_t prefix[GRPC_PREFIX], uint32_t length)
{
	prefix[0] = 0;
	for (int i = 0; i < 4; i++)
		prefix[1 + i] = (uint8_t)(length >> (24 - 8 * i));
}

int grpc_frame_check(const void *body, size_t n, size_t max, struct err *err)
{
	const uint8_t *p = body;
	size_t length;

	if (n == 0)
		return 1;
	if (p[0] != 0)
		return err_say(err, EPROTO, "the reply is compressed or no gRPC at all");
	if (n < GRPC_PREFIX)
		return 1;
	length = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
	if (length > max)
		return err_say(err, EFBIG, "the reply has %zu bytes, more than %zu", length, max);
	if (n - GRPC_PREFIX > length)
		return err_say(err, EPROTO, "the reply has more than one message");
	return n - GRPC_PREFIX < length;
}
