/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one thread that runs diagnoses, so that a scan never holds up the network. One job at a time; each struct has one
 * owner, handed over under a lock and announced by an eventfd.
 */
#ifndef MEMDIAG_NODE_WORKER_H
#define MEMDIAG_NODE_WORKER_H

#include <stdbool.h>

#include "base/tree.h"
#include "checks/sources.h"
#include "export/counters.h"
#include "instruments/host.h"
#include "spec/spec.h"

struct worker;

struct worker_opts {
	const struct host *host; /* borrowed; must outlive the worker, as what identity points to */
	struct identity_opts identity; /* its history is the worker's from now on */
	const char *history_file;      /* saved after what changes it; NULL: not */
	struct captures *captures; /* what monitoring has attached; NULL: runs attach their own */
	struct agent_counters *counters; /* NULL: nobody asks */
};

int worker_new(const struct worker_opts *opts, struct worker **ret, struct err *err);
/* Ends the window of the job that is running, waits for it, then frees. */
void worker_free(struct worker *worker);

/* Readable when a result waits. */
int worker_fd(const struct worker *worker);
bool worker_idle(const struct worker *worker);
/* Hands a job over; spec becomes the worker's. The worker must be idle. */
void worker_start(struct worker *worker, struct spec *spec, const char *run_id);
/*
 * Asks for the names of pods soon, between jobs or while a job waits for the end of its window, so that the history knows them
 * before they are gone. May be called at any time; several calls before it happens are one.
 */
void worker_refresh(struct worker *worker);
/* The report of the last job, or NULL when none waits; the caller frees it with cJSON_Delete(). */
cJSON *worker_take(struct worker *worker);

#endif
