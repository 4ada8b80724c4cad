/* SPDX-License-Identifier: Apache-2.0 */
#include "run/run.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "checks/check.h"

/* One check on its way through a run. */
struct runner {
	const struct check *check; /* NULL: skipped already */
	struct check_result *result;
	void *self;
};

static void end_with(struct check_result *result, enum check_state state, const char *reason,
		     const char *message)
{
	result->state = state;
	result->reason = reason;
	(void)snprintf(result->message, sizeof(result->message), "%s", message);
}

/* Finds the check and what it needs; what can't be run is Skipped with the reason. */
static void prepare(struct runner *runner, const struct check_env *env)
{
	const struct check *check = check_find(runner->result->type);
	struct err err = {0};
	int r;

	if (!check) {
		(void)err_say(&err, EOPNOTSUPP, "this version of memdiag has no %s check",
			      check_type_names[runner->result->type]);
		end_with(runner->result, CHECK_SKIPPED, "NotImplemented", err.msg);
		return;
	}
	r = check_probe(check, env->host, &err);
	if (r < 0) {
		end_with(runner->result, CHECK_SKIPPED,
			 r == -EPERM ? "MissingPrivilege" : "NotSupported", err.msg);
		return;
	}
	if (check->start) {
		r = check->start(env, &runner->self, &err);
		if (r < 0) {
			bool lacks = r == -EOPNOTSUPP; /* only trying could tell */

			end_with(runner->result, lacks ? CHECK_SKIPPED : CHECK_FAILED,
				 lacks ? "NotSupported" : "StartFailed", err.msg);
			return;
		}
	}
	runner->check = check;
}

/*
 * Waits for the end of the window, a second at a time so that progress is told and others get their turn, or until stop_fd says
 * to end. Returns for how long it lasted.
 */
static uint64_t wait_window(const struct spec *spec, const struct run_opts *opts)
{
	uint64_t begin_ns = clock_mono_ns(), length_ns = spec->window_ms * NSEC_PER_MSEC, now_ns;
	struct pollfd stop = {.fd = opts->stop_fd, .events = POLLIN};

	while ((now_ns = clock_mono_ns()) < begin_ns + length_ns) {
		uint64_t left_ns = begin_ns + length_ns - now_ns;
		uint64_t step_ns = left_ns < NSEC_PER_SEC ? left_ns : NSEC_PER_SEC;
		struct timespec ts = clock_timespec(step_ns);

		if (opts->progress)
			opts->progress(opts->arg, "events",
				       (unsigned int)((now_ns - begin_ns) * 1000 / length_ns));
		if (ppoll(&stop, 1, &ts, NULL) > 0)
			break;
		if (opts->waiting)
			opts->waiting(opts->arg);
	}
	return clock_mono_ns() - begin_ns;
}

static void collect(struct runner *runner, const struct check_env *env)
{
	uint64_t start_ns = clock_mono_ns(), start_cpu_ns = clock_thread_cpu_ns();
	struct err err = {0};
	int r = runner->check->finish(env, runner->self, runner->result, &err);

	if (runner->check->stop)
		runner->check->stop(runner->self);
	if (r == -ENODATA) /* nothing here is meant: an answer, not a failure */
		end_with(runner->result, CHECK_COMPLETE, "NoMatchingPods", err.msg);
	else if (r < 0)
		end_with(runner->result, CHECK_FAILED, "ScanFailed", err.msg);
	runner->result->duration_ms = (clock_mono_ns() - start_ns) / NSEC_PER_MSEC;
	runner->result->cpu_ms = (clock_thread_cpu_ns() - start_cpu_ns) / NSEC_PER_MSEC;
	runner->check = NULL;
}

/* Finds out what can be run, and starts what captures. Returns whether there is a window to wait for. */
static bool prepare_all(struct runner *runners, size_t n, const struct check_env *env,
			struct run_stage *stage)
{
	bool captures = false;

	for (size_t i = 0; i < n; i++) {
		run_stage_at(stage, i);
		prepare(&runners[i], env);
		if (!runners[i].check)
			run_stage_done(stage, i);
		captures |= runners[i].check && runners[i].check->captures;
	}
	run_stage_at(stage, n);
	return captures;
}

/* Collects the checks that capture, or those that scan. */
static void collect_all(struct runner *runners, size_t n, bool captures,
			const struct check_env *env, struct run_stage *stage)
{
	for (size_t i = 0; i < n; i++) {
		if (!runners[i].check || runners[i].check->captures != captures)
			continue;
		run_stage_at(stage, i);
		collect(&runners[i], env);
		run_stage_done(stage, i);
	}
}

/* The checks that are to be run: those listed, or with an empty list all that this version has. */
static size_t select_checks(const struct spec *spec, struct report *report, struct runner *runners)
{
	size_t n = 0;

	for (int type = 0; type < CHECK_TYPES; type++) {
		if (!spec->checks[type] ||
		    (!spec->explicit_checks && !check_find((enum check_type)type)))
			continue;
		report->results[n].type = (enum check_type)type;
		runners[n].result = &report->results[n];
		n++;
	}
	return n;
}

struct report *run_execute(const struct spec *spec, const struct run_opts *opts)
{
	struct report *report = xcalloc(1, sizeof(*report));
	struct runner runners[CHECK_TYPES] = {{0}};
	const struct sources_opts sources_opts = {
		.host = opts->host,
		.spec = spec,
		.identity = opts->identity,
		.top = spec->top,
		.cpu_budget_ns = spec->cpu_budget_ms * NSEC_PER_MSEC,
		.progress = opts->progress,
		.arg = opts->arg,
	};
	struct sources sources;
	struct captures *own = opts->captures ? NULL : captures_new(opts->host);
	struct check_env env = {.spec = spec,
				.host = opts->host,
				.sources = &sources,
				.captures = own ? own : opts->captures};

	(void)snprintf(report->diagnosis, sizeof(report->diagnosis), "%s", spec->name);
	(void)snprintf(report->node_name, sizeof(report->node_name), "%s", opts->host->node_name);
	(void)snprintf(report->run_id, sizeof(report->run_id), "%s",
		       opts->run_id ? opts->run_id : "");
	(void)snprintf(report->kernel, sizeof(report->kernel), "%s", opts->host->kernel);
	report->cgroup_mode = cgroup_mode_name(opts->host->cgroups.mode);
	report->start = time(NULL);
	sources_init(&sources, &sources_opts);
	report->n_results = select_checks(spec, report, runners);
	run_stage_begin(opts->stage, report);
	if (prepare_all(runners, report->n_results, &env, opts->stage))
		env.window_ns = wait_window(spec, opts);
	collect_all(runners, report->n_results, true, &env, opts->stage);
	captures_free(own);
	env.captures = opts->captures;
	collect_all(runners, report->n_results, false, &env, opts->stage);
	run_stage_end(opts->stage);
	if (sources.pods && sources.pods->runtime)
		(void)snprintf(report->runtime, sizeof(report->runtime), "%s",
			       sources.pods->runtime);
	sources_done(&sources);
	for (size_t i = 0; i < report->n_results; i++)
		findings_move(&report->findings, &report->results[i].findings);
	findings_sort(&report->findings);
	report->end = time(NULL);
	/* A scan's tables may be tens of MiB; an agent that idles afterwards should not keep them. */
	(void)malloc_trim(0);
	return report;
}
