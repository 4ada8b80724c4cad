/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executes a spec on this host: decides what can be run, owns the window, starts captures, collects and detaches them
 * before any scan starts, and gathers results and findings into a report. Blocks; touches no network.
 */
#ifndef MEMDIAG_RUN_RUN_H
#define MEMDIAG_RUN_RUN_H

#include "instruments/captures.h"
#include "instruments/host.h"
#include "report/report.h"
#include "run/stage.h"
#include "spec/spec.h"

struct run_opts {
	const struct host *host;
	struct identity_opts identity;
	const char *run_id; /* NULL or "": without a cluster */
	/* What is attached already, borrowed; NULL: the run attaches what it needs and detaches it. */
	struct captures *captures;
	struct run_stage *stage; /* told how far the run is; NULL is fine */
	int stop_fd; /* readable: end the window now, what it saw is reported; -1: none */
	/* Called now and then; NULL is fine. */
	void (*progress)(void *arg, const char *what, unsigned int permille);
	/*
	 * Called by the same thread about once a second while the window lasts; NULL is fine. The window is as long as it was: what
	 * this takes at its end lengthens it.
	 */
	void (*waiting)(void *arg);
	void *arg; /* of both */
};

/* Never fails: what went wrong is in the report's checks. The caller frees it with report_free(). */
struct report *run_execute(const struct spec *spec, const struct run_opts *opts);

#endif
