/* SPDX-License-Identifier: Apache-2.0 */
/* Every delay of kube/ in one place, so that tests need not wait for them. Private to kube/ and its tests. */
#ifndef MEMDIAG_KUBE_TIMING_H
#define MEMDIAG_KUBE_TIMING_H

#include <stdint.h>

struct kube_timing {
	uint64_t backoff_first_ms, backoff_max_ms; /* see kube_backoff_ms() */
	uint64_t token_ms;			   /* how long a token file is not read again */
	uint64_t
		queue_ms; /* how long a request waits for the one connection before it gets another */
	uint64_t connect_ms;
	uint64_t list_ms;    /* one page; the server itself gives up after 60 s */
	uint64_t header_ms;  /* until a watch is accepted; the server answers at once */
	uint64_t healthy_ms; /* a watch that lived so long starts over with the first backoff */
	uint64_t fair_ms; /* a watch that lived so long halves the number of backoffs that count */
	uint64_t
		quick_ms; /* a watch that ends sooner and brought nothing must not be repeated at once */
	uint64_t
		silent_ms; /* bookmarks come every minute: a longer watch without any knows nothing */
	uint64_t retry_after_max_ms;
	uint64_t pause_ms; /* for all requests after a 429 that does not say how long */
	/* Of a Lease: how long it holds, until when its holder must have renewed it to go on writing, how often either tries. */
	uint64_t lease_ms, lease_renew_ms, lease_retry_ms;
};

extern struct kube_timing kube_timing;

#endif
