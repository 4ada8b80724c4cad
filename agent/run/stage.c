/* SPDX-License-Identifier: Apache-2.0 */
#include "run/stage.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

static void lock(struct run_stage *stage)
{
	(void)pthread_mutex_lock(&stage->lock);
}

static void unlock(struct run_stage *stage)
{
	(void)pthread_mutex_unlock(&stage->lock);
}

void run_stage_begin(struct run_stage *stage, struct report *report)
{
	if (!stage)
		return;
	lock(stage);
	stage->report = report;
	memset(stage->done, 0, sizeof(stage->done));
	stage->given_up = false;
	stage->at = report->n_results;
	unlock(stage);
}

void run_stage_at(struct run_stage *stage, size_t at)
{
	if (!stage)
		return;
	lock(stage);
	stage->at = at;
	unlock(stage);
}

void run_stage_done(struct run_stage *stage, size_t at)
{
	if (!stage)
		return;
	lock(stage);
	stage->done[at] = true;
	unlock(stage);
}

void run_stage_end(struct run_stage *stage)
{
	if (!stage)
		return;
	lock(stage);
	stage->report = NULL;
	unlock(stage);
}

static const char *name_at(const struct run_stage *stage)
{
	const struct report *report = stage->report;

	return stage->at < report->n_results ? check_type_names[report->results[stage->at].type]
					     : "the window";
}

/* Borrows what a result that is done has. */
static void take_done(struct report *copy, size_t i, const struct check_result *result)
{
	copy->results[i] = *result;
	for (size_t f = 0; f < result->findings.n; f++)
		*findings_add(&copy->findings) = result->findings.items[f];
}

static void take_undone(struct report *copy, size_t i, const struct run_stage *stage,
			const char *why)
{
	struct check_result *result = &copy->results[i];

	result->type = stage->report->results[i].type;
	result->state = CHECK_FAILED;
	result->reason = i == stage->at ? "Hangs" : "GivenUp";
	if (i == stage->at)
		(void)snprintf(result->message, sizeof(result->message), "%s", why);
	else
		(void)snprintf(result->message, sizeof(result->message),
			       "the run was given up, since %s hangs: %s", name_at(stage), why);
}

cJSON *run_stage_give_up(struct run_stage *stage, const char *why)
{
	_cleanup_free_ struct report *copy = xcalloc(1, sizeof(*copy));
	cJSON *tree = NULL;

	lock(stage);
	if (stage->report && !stage->given_up) {
		stage->given_up = true;
		/* The head alone: results are the other thread's until they are done. */
		memcpy(copy, stage->report, offsetof(struct report, results));
		copy->end = time(NULL);
		copy->n_results = stage->report->n_results;
		for (size_t i = 0; i < copy->n_results; i++) {
			if (stage->done[i])
				take_done(copy, i, &stage->report->results[i]);
			else
				take_undone(copy, i, stage, why);
		}
		findings_sort(&copy->findings);
		tree = report_to_tree(copy);
		free(copy->findings.items); /* what they point to is the other thread's */
	}
	unlock(stage);
	return tree;
}
