/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent: reacts to status.run of MemoryDiagnoses that target its node, and writes its own report.
 *
 * A run on this node goes through these steps, each of which survives the API server going away:
 *	wait for the worker -> run -> wait for our slot of spreadSeconds -> look up our last report, the history's head -> apply the
 *	new one, again and again until it is in, the run's deadline has passed, or the diagnosis asks for something else.
 * Nothing is asked before the slot, or thousands of agents would ask at once: 5,000 did, and got 15,000 answers 429. So what needs an
 * answer first runs in its slot: with a nodeSelector, which asks for the node's labels, and when the run was there before us, for
 * a restart must not run twice.
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
