/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Agreeing on one leader with a Lease (coordination.k8s.io/v1), by the rules of client-go, so that either sees the other:
 *
 * - It holds for 15 s from when *we* last saw it change, on our own monotonic clock; clocks of others are not compared.
 * - The holder renews it every 2 s. When that has not worked for 10 s it stops leading, 5 s before anybody else may begin:
 *   counted from when the last renewal that worked was sent, not from when its answer came.
 * - Every write carries the resourceVersion it rests on: of two who want it, one gets 409.
 *
 * Requests for it are urgent (kube/client.h): a busy API server must not cost the lease.
 */
#ifndef MEMDIAG_KUBE_LEASE_H
#define MEMDIAG_KUBE_LEASE_H

#include <stdbool.h>

#include "kube/client.h"

struct kube_lease;

struct kube_lease_opts {
	const char *namespace, *name; /* copied, as all strings here */
	const char *identity;	      /* unique among those who want it, also over restarts */
	/* From the loop, whenever kube_lease_held() has changed. */
	void (*changed)(void *arg, bool held);
	void *arg;
};

/* Tries to get it from now on. */
struct kube_lease *kube_lease_new(struct kube_client *client, const struct kube_lease_opts *opts);
void kube_lease_free(struct kube_lease *lease);

/* Whether we may act as leader at this moment. To be asked before each write. */
bool kube_lease_held(const struct kube_lease *lease);
/*
 * Gives it up, so that another need not wait for it to expire; from now on it is not held. done is called once, at the latest
 * after 2 s, whether that worked or not; never from within this call.
 */
void kube_lease_release(struct kube_lease *lease, void (*done)(void *arg), void *arg);

#endif
