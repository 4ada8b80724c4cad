/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: reacts to status.run of MemoryDiagnoses that target its node, and writes its own report.
 *
 * A run on this node goes through these steps, each of which survives the API server going away:
 *	look up the node's labels (only with a nodeSelector) -> look up our own report (a restart must not run twice; its
 *	last run is the history's head) -> wait for the worker -> run -> wait out our share of spreadSeconds -> apply the
 *	report, again and again until it is in, the run's deadline has passed, or the diagnosis asks for something else.
 */
#ifndef MEMDIAG_NODE_NODE_H
#define MEMDIAG_NODE_NODE_H

#include "instruments/host.h"
#include "kube/client.h"
#include "kube/loop.h"
#include "node/worker.h"

struct node;

/* loop and client are borrowed and must outlive the node, as what opts points to. Starts watching at once. */
int node_new(struct loop *loop, struct kube_client *client, const struct worker_opts *opts,
	     struct node **ret, struct err *err);
void node_free(struct node *node);

#endif
