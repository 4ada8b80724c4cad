/* SPDX-License-Identifier: Apache-2.0 */
/* One run of one diagnosis on this node. Private to agent/node/. */
#ifndef MEMDIAG_NODE_TASK_H
#define MEMDIAG_NODE_TASK_H

#include <stdbool.h>
#include <time.h>

#include "base/tree.h"
#include "kube/client.h"
#include "kube/events.h"
#include "kube/loop.h"
#include "spec/spec.h"

struct node;

enum task_step {
	TASK_SPREAD,  /* for our turn to ask the API server for anything */
	TASK_LABELS,  /* getting the node's labels */
	TASK_LOOKUP,  /* getting our own report */
	TASK_WAITING, /* for the worker */
	TASK_RUNNING,
	TASK_PUBLISH, /* applying the report */
	TASK_DONE,    /* nothing left to do for this run id */
};

struct task {
	struct node *node;
	char name[64]; /* of the diagnosis */
	char uid[64];
	char run_id[64];
	struct spec *spec; /* until the worker has it */
	uint64_t history_limit;
	int64_t spread_seconds;
	time_t deadline; /* 0: none */
	enum task_step step;
	bool seen;	/* in the list that is being read */
	bool looked_up; /* previous is known, so that our turn has come */
	unsigned int tries;
	struct loop_timer *timer;
	struct kube_request *request;
	cJSON *previous; /* our last report of this diagnosis, for the history */
	cJSON *report;	 /* to be applied */
};

/*
 * Starts the run; the object is the diagnosis as the API server has it. may_have_reported: it was there when we came, so a report of
 * ours may be, too. NULL when there is nothing to run on this node.
 */
struct task *task_new(struct node *node, const cJSON *diagnosis, bool may_have_reported);
void task_free(void *task);

/* True when the task is for this very run of this very object. */
bool task_matches(const struct task *task, const cJSON *diagnosis);
/* The worker takes the task's spec. */
struct spec *task_take_spec(struct task *task);
/* The worker's report has come; it becomes the task's. */
void task_finished(struct task *task, cJSON *report);

/* What tasks need of their node. */
struct loop *node_loop(struct node *node);
struct kube_client *node_client(struct node *node);
struct kube_events *node_events(struct node *node);
const char *node_name(const struct node *node);
/* A task is ready for the worker. */
void node_task_ready(struct node *node);

#endif
