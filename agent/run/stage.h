/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a run is, for another thread: when the run does not come back, what it has is reported all the same. The thread that runs
 * owns the report and each result until it says that it is done.
 */
#ifndef MEMDIAG_RUN_STAGE_H
#define MEMDIAG_RUN_STAGE_H

#include <pthread.h>
#include <stdbool.h>

#include "report/report.h"

struct run_stage {
	pthread_mutex_t lock;
	struct report *report; /* NULL: no run, or it is past its checks */
	bool done
		[CHECK_TYPES]; /* by index of report->results: not touched any more until the end */
	size_t at;	       /* the result that is worked on; n_results: none, the window lasts */
	bool given_up;
};

#define RUN_STAGE_INIT                            \
	{                                         \
		.lock = PTHREAD_MUTEX_INITIALIZER \
	}

/* By the thread that runs; NULL is fine in all four. The report's head and the types of its results are known at the beginning. */
void run_stage_begin(struct run_stage *stage, struct report *report);
void run_stage_at(struct run_stage *stage, size_t at);
void run_stage_done(struct run_stage *stage, size_t at);
/* From now on the report is not looked at. */
void run_stage_end(struct run_stage *stage);

/*
 * By any other thread: the report of a run that hangs. Checks that are done are as they are; the one that hangs is Failed for `why`, and
 * the others say which one it was. NULL: no check is to blame, or it was asked for already. The caller frees it with
 * cJSON_Delete().
 */
cJSON *run_stage_give_up(struct run_stage *stage, const char *why);

#endif
