/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controller: accepts specs, opens and closes runs, sums reports up, owns status. Needs no access to any host.
 *
 * It watches diagnoses whole, and metadata alone of reports and nodes. Whatever moves marks the diagnosis it concerns; a
 * marked diagnosis gets its status computed (status.h) and, when that differs, applied with the resourceVersion it was
 * computed from: a stale writer gets 409 and computes again.
 */
#ifndef MEMDIAG_CONTROLLER_CONTROLLER_H
#define MEMDIAG_CONTROLLER_CONTROLLER_H

#include "kube/client.h"
#include "kube/loop.h"

struct controller;

/* Borrowed; they must outlive the controller. Starts watching at once. */
struct controller *controller_new(struct loop *loop, struct kube_client *client);
void controller_free(struct controller *controller);

#endif
