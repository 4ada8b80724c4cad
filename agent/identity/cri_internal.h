/* SPDX-License-Identifier: Apache-2.0 */
/* What cri.c has for its tests: the decoders, which are pure, and the time limit. Private to identity/. */
#ifndef MEMDIAG_IDENTITY_CRI_INTERNAL_H
#define MEMDIAG_IDENTITY_CRI_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "identity/cri.h"

/* Of one call; CRI_TIMEOUT_MS unless a test is in a hurry. */
extern uint32_t cri_timeout_ms;

/*
 * Each takes the message of one reply and fills its part of the snapshot (which must not have that part yet). -EPROTO: it
 * does not decode; -EFBIG: decoding it takes more than CRI_MAX_DECODED bytes.
 */
int cri_decode_version(const void *data, size_t n, struct cri_snapshot *snapshot, struct err *err);
int cri_decode_sandboxes(const void *data, size_t n, struct cri_snapshot *snapshot,
			 struct err *err);
int cri_decode_containers(const void *data, size_t n, struct cri_snapshot *snapshot,
			  struct err *err);
int cri_decode_mounts(const void *data, size_t n, struct cri_mount **ret, size_t *ret_n,
		      struct err *err);

enum {
	/* Bytes of heap: an empty submessage is 2 bytes on the wire and over 100 decoded. */
	CRI_MAX_DECODED = 64 << 20,
};

#endif
