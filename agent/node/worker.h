/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one thread that runs diagnoses, so that a scan never holds up the network. One job at a time; each struct has one
 * owner, handed over under a lock and announced by an eventfd. A job that does not come back is told by worker_hangs(); the
 * process has to be started anew then.
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
	uint64_t
		hang_ms; /* how long a job may take beyond its window and ten times its CPU budget */
};

/* A worker that does not come back. */
struct worker_hang {
	uint64_t seconds; /* since the job began */
	char what[512];	  /* what it waits for, for people */
	cJSON *report; /* of the run, once for each; NULL: told already, or no run hangs. The caller's */
};

enum { WORKER_HANG_MS = 120000, WORKER_END_MS = 5000 };

int worker_new(const struct worker_opts *opts, struct worker **ret, struct err *err);
/*
 * Ends the window of the job that is running, waits for it, then frees. A job that does not come back within WORKER_END_MS ends the
 * process, with exit status 1: what its thread uses cannot be freed.
 */
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
/* True when the job at hand, a run or names that are asked for, takes longer than it may. */
bool worker_late(struct worker *worker);
/*
 * The same, and then ret says what it waits for, and a run is given up. The kernel may never let it go: a process whose memory map is
 * locked, a filesystem that is gone.
 */
bool worker_hangs(struct worker *worker, struct worker_hang *ret);
/* The report of the last job, or NULL when none waits; the caller frees it with cJSON_Delete(). */
cJSON *worker_take(struct worker *worker);

#endif
