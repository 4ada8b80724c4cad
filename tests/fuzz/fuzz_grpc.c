/* SPDX-License-Identifier: Apache-2.0 */
/* Header lines up to the first NUL, as curl would hand them over; what follows is the body, which comes in pieces. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "identity/grpc_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct grpc_status status = {.code = GRPC_STATUS_NONE};
	size_t head = strnlen((const char *)data, size), at = 0;
	struct err err;

	while (at < head) {
		const uint8_t *end = memchr(data + at, '\n', head - at);
		size_t n = end ? (size_t)(end + 1 - data) - at : head - at;

		grpc_status_line(&status, (const char *)data + at, n);
		at += n;
	}
	if (status.code < GRPC_STATUS_NONE || status.code > 99 ||
	    strnlen(status.message, sizeof(status.message)) == sizeof(status.message) ||
	    !grpc_code_name(status.code))
		abort();
	if (head == size)
		return 0;
	data += head + 1;
	size -= head + 1;
	for (size_t n = 0; n <= size; n++) {
		int r = grpc_frame_check(data, n, 1 << 16, &err);

		/* What is whole has a prefix; what is refused stays refused. */
		if (r == 0 && n < GRPC_PREFIX)
			abort();
		if (r < 0) {
			if (n < size && grpc_frame_check(data, n + 1, 1 << 16, NULL) >= 0)
				abort();
			break;
		}
	}
	return 0;
}
