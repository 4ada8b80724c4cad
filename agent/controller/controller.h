/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller: accepts specs, opens and closes runs, sums reports up, owns status. Needs no access to any host.
 *
 * It watches diagnoses whole, and metadata alone of reports and nodes. Whatever moves marks the diagnosis it concerns; a
 * marked diagnosis gets its status computed (status.h) and, when that differs, applied with the resourceVersion it was
 * computed from: a stale writer gets 409 and computes again.
 *
 * Several may run: all watch, the one that holds the Lease writes. A write that was on its way when the lease was lost is
 * ended; one that had arrived by then rests on a resourceVersion like all others.
 */
#ifndef MEMDIAG_CONTROLLER_CONTROLLER_H
#define MEMDIAG_CONTROLLER_CONTROLLER_H

#include <stdbool.h>

#include "kube/client.h"
#include "kube/loop.h"

#define CONTROLLER_LEASE "memdiag-controller"

struct controller;

struct controller_opts {
	bool leader_elect;
	const char *namespace; /* of the Lease */
	const char *identity;  /* ours in it, and in events */
	const char *zoneinfo;  /* folder of the time zones; must outlive the controller */
};

/* loop and client are borrowed and must outlive the controller. Starts watching at once. */
struct controller *controller_new(struct loop *loop, struct kube_client *client,
				  const struct controller_opts *opts);
/* Stops writing and gives the lease up, so that another need not wait for it: runs the loop for 2 s at most. */
void controller_resign(struct controller *controller);
void controller_free(struct controller *controller);

#endif
