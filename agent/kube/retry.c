/* SPDX-License-Identifier: Apache-2.0 */
/* Whether to ask again, and when. Pure but for the random number. */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/num.h"
#include "kube/client.h"
#include "kube/conn.h"
#include "kube/timing.h"

struct kube_timing kube_timing = {
	.backoff_first_ms = 800,
	.backoff_max_ms = 30000,
	.token_ms = 60000,
	.queue_ms = 1000,
	.connect_ms = 10000,
	.list_ms = 75000,
	.header_ms = 60000,
	.healthy_ms = 120000,
	.fair_ms = 1000,
	.quick_ms = 1000,
	.silent_ms = 90000,
	.retry_after_max_ms = 300000,
	.pause_ms = 1000,
	.lease_ms = 15000,
	.lease_renew_ms = 10000,
	.lease_retry_ms = 2000,
};

uint64_t kube_random_below(uint64_t n)
{
	uint64_t v;
	ssize_t got;

	do
		got = getrandom(&v, sizeof(v), 0);
	while (got < 0 && errno == EINTR);
	if (got != (ssize_t)sizeof(v)) /* no such system call: the clock spreads well enough */
		v = clock_mono_ns();
	return n > 0 ? v % n : 0;
}

enum { RETRY_AFTER_SPREAD = 4 }; /* times Retry-After: over that much clients come back */

uint64_t kube_backoff_ms(unsigned int n, uint64_t retry_after_ms)
{
	uint64_t delay = kube_timing.backoff_first_ms;

	while (n-- > 0 && delay < kube_timing.backoff_max_ms)
		delay *= 2;
	if (delay > kube_timing.backoff_max_ms)
		delay = kube_timing.backoff_max_ms;
	if (retry_after_ms == 0)
		return kube_random_below(delay + 1);
	/* The server knows better when: no sooner, and not so much later that a start of seconds becomes half a minute. */
	if (delay > RETRY_AFTER_SPREAD * retry_after_ms)
		delay = RETRY_AFTER_SPREAD * retry_after_ms;
	return retry_after_ms + kube_random_below(delay + 1);
}

/*
 * The API server answers 500 without a reason for every error it has no type for: etcd being away for a moment as well as an
 * apply that names a field the schema lacks, which no waiting cures.
 */
static bool is_passing(const char *message)
{
	static const char *const words[] = {"etcdserver: ",
					    "etcdclient: ",
					    "rpc error: ",
					    "connection refused",
					    "connection reset",
					    "i/o timeout",
					    "context deadline exceeded",
					    "context canceled",
					    "request timed out",
					    "unexpected EOF"};

	/* Field names are part of that message and may hold any word. */
	if (strstr(message, "field not declared in schema") ||
	    strstr(message, "failed to create typed patch object"))
		return false;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strstr(message, words[i]))
			return true;
	return false;
}

bool kube_retryable(const struct kube_response *response)
{
	switch (response->status) {
	case 0:
		return !response->too_large;
	/*
	 * 403: for up to a second after its start the API server denies what its RBAC allows, since its own caches are empty
	 * (seen for 0.2 s in one of three restarts of 1.36). A real denial is asked again until the caller's deadline.
	 */
	case 403:
	case 408:
	case 429:
	case 502:
	case 503:
	case 504:
		return true;
	case 500:
		/* Without a Status it is not the API server that speaks but something before it. */
		return !response->body || response->reason[0] || is_passing(response->error);
	default:
		return false;
	}
}
