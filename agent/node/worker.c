/* SPDX-License-Identifier: Apache-2.0 */
#include "node/worker.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread_wait.h"
#include "identity/history.h"
#include "identity/pods.h"
#include "run/run.h"

struct worker {
	struct worker_opts opts;
	pthread_t thread;
	int fd;
	int stop_fd; /* readable once the worker is to end: a window does not last on */
	struct run_stage stage;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* Under lock. */
	struct spec *spec; /* the job; NULL: none */
	char run_id[64];
	bool running;
	bool refresh;
	bool stop;
	cJSON *result;
	/* The thread's own: what was last said about names. */
	char *runtime_problem, *kubelet_problem;
	pid_t tid;		     /* written before the first job */
	uint64_t began_ns, limit_ms; /* of what is being done; began 0: nothing */
};

/* Under lock. */
static void begin(struct worker *worker, uint64_t limit_ms)
{
	worker->began_ns = clock_mono_ns();
	worker->limit_ms = limit_ms;
}

static uint64_t run_limit_ms(const struct worker *worker, const struct spec *spec)
{
	/* A scan's CPU time takes ten times as long where others have the CPU, or a quota is small. */
	return spec->window_ms + 10 * spec->cpu_budget_ms + worker->opts.hang_ms;
}

static void save_history(struct worker *worker)
{
	struct err err = {0};

	if (worker->opts.history_file && worker->opts.identity.history &&
	    history_save(worker->opts.identity.history, worker->opts.history_file, &err) < 0)
		log_warn("names of pods that are gone are not kept: %s", err.msg);
}

/* Once, not at each of thousands of runs; and once more when it is over. */
static void say_change(char **said, const char *problem, const char *what, const char *over)
{
	if (*said && problem && strcmp(*said, problem) == 0)
		return;
	if (problem)
		log_warn("%s: %s", what, problem);
	else if (*said)
		log_info("%s", over);
	free(*said);
	*said = problem ? xstrdup(problem) : NULL;
}

static void refresh(struct worker *worker)
{
	const struct pods_opts opts = {worker->opts.host, worker->opts.identity.cri_socket,
				       worker->opts.identity.kubelet,
				       worker->opts.identity.history};
	struct pods *pods = NULL;

	if (pods_read(&opts, &pods, NULL) < 0)
		return;
	log_debug("%zu cgroups of pods and units", pods->n);
	say_change(&worker->runtime_problem, pods->runtime_problem, "names of pods are missing",
		   "the container runtime answers again");
	say_change(&worker->kubelet_problem, pods->kubelet_problem,
		   "names of volumes and pods' limits are missing", "the kubelet answers again");
	pods_free(pods);
	save_history(worker);
}

/* A window may last for minutes, and a pod may come and go within it: its name is asked for meanwhile, by this thread. */
static void on_waiting(void *arg)
{
	struct worker *worker = arg;
	bool asked;

	(void)pthread_mutex_lock(&worker->lock);
	asked = worker->refresh;
	worker->refresh = false;
	(void)pthread_mutex_unlock(&worker->lock);
	if (asked)
		refresh(worker);
}

static cJSON *execute(struct worker *worker, const struct spec *spec)
{
	const struct run_opts opts = {.host = worker->opts.host,
				      .identity = worker->opts.identity,
				      .run_id = worker->run_id,
				      .captures = worker->opts.captures,
				      .stage = &worker->stage,
				      .stop_fd = worker->stop_fd,
				      .waiting = on_waiting,
				      .arg = worker};
	struct report *report = run_execute(spec, &opts);
	cJSON *tree = report_to_tree(report);

	report_free(report);
	save_history(worker);
	return tree;
}

/* A job was run and its result waits. Called and returns with the lock held. */
static void run_job(struct worker *worker, struct spec *spec)
{
	const uint64_t one = 1;
	cJSON *tree;

	begin(worker, run_limit_ms(worker, spec));
	(void)pthread_mutex_unlock(&worker->lock);
	tree = execute(worker, spec);
	spec_free(spec);
	(void)pthread_mutex_lock(&worker->lock);
	worker->result = tree;
	worker->running = false;
	worker->began_ns = 0;
	/* An eventfd's counter cannot overflow by ones. */
	if (write(worker->fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		worker->stop = true;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	(void)pthread_mutex_lock(&worker->lock);
	worker->tid = (pid_t)syscall(SYS_gettid);
	while (!worker->stop) {
		struct spec *spec = take_ptr(worker->spec);

		if (spec) {
			run_job(worker, spec);
		} else if (worker->refresh) {
			worker->refresh = false;
			begin(worker, worker->opts.hang_ms);
			(void)pthread_mutex_unlock(&worker->lock);
			refresh(worker);
			(void)pthread_mutex_lock(&worker->lock);
			worker->began_ns = 0;
		} else {
			(void)pthread_cond_wait(&worker->wake, &worker->lock);
		}
	}
	(void)pthread_mutex_unlock(&worker->lock);
	return NULL;
}

void worker_refresh(struct worker *worker)
{
	(void)pthread_mutex_lock(&worker->lock);
	worker->refresh = true;
	(void)pthread_cond_signal(&worker->wake);
	(void)pthread_mutex_unlock(&worker->lock);
}

static void close_fds(const struct worker *worker)
{
	if (worker->fd >= 0)
		(void)close(worker->fd);
	if (worker->stop_fd >= 0)
		(void)close(worker->stop_fd);
}

int worker_new(const struct worker_opts *opts, struct worker **ret, struct err *err)
{
	struct worker *worker = xcalloc(1, sizeof(*worker));
	int r;

	worker->opts = *opts;
	worker->stage = (struct run_stage)RUN_STAGE_INIT;
	worker->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	worker->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->fd < 0 || worker->stop_fd < 0) {
		r = err_set(err, errno, "eventfd");
		close_fds(worker);
		free(worker);
		return r;
	}
	(void)pthread_mutex_init(&worker->lock, NULL);
	(void)pthread_cond_init(&worker->wake, NULL);
	r = pthread_create(&worker->thread, NULL, worker_main, worker);
	if (r != 0) {
		close_fds(worker);
		free(worker);
		return err_set(err, r, "cannot start the worker thread");
	}
	*ret = worker;
	return 0;
}

static void join(struct worker *worker)
{
	const struct timespec until =
		clock_timespec(clock_mono_ns() + WORKER_END_MS * NSEC_PER_MSEC);
	char what[THREAD_WAIT_MAX];

	if (pthread_clockjoin_np(worker->thread, NULL, CLOCK_MONOTONIC, &until) == 0)
		return;
	log_error("ended without the thread that runs diagnoses, which does not: %s",
		  thread_wait_describe(worker->tid, what));
	_exit(EXIT_FAILURE);
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	(void)pthread_mutex_lock(&worker->lock);
	worker->stop = true;
	(void)pthread_cond_signal(&worker->wake);
	(void)pthread_mutex_unlock(&worker->lock);
	/* Without it we wait the window out: 10 minutes at most. */
	(void)eventfd_write(worker->stop_fd, 1);
	join(worker);
	(void)pthread_cond_destroy(&worker->wake);
	(void)pthread_mutex_destroy(&worker->lock);
	close_fds(worker);
	spec_free(worker->spec);
	cJSON_Delete(worker->result);
	free(worker->runtime_problem);
	free(worker->kubelet_problem);
	free(worker);
}

int worker_fd(const struct worker *worker)
{
	return worker->fd;
}

bool worker_idle(const struct worker *worker)
{
	struct worker *w = (struct worker *)worker;
	bool idle;

	(void)pthread_mutex_lock(&w->lock);
	idle = !w->running && !w->result;
	(void)pthread_mutex_unlock(&w->lock);
	return idle;
}

void worker_start(struct worker *worker, struct spec *spec, const char *run_id)
{
	(void)pthread_mutex_lock(&worker->lock);
	worker->spec = spec;
	worker->running = true;
	(void)snprintf(worker->run_id, sizeof(worker->run_id), "%s", run_id);
	(void)pthread_cond_signal(&worker->wake);
	(void)pthread_mutex_unlock(&worker->lock);
}

/* For how many seconds the job at hand has been going on when that is too long; else 0. */
static uint64_t late_seconds(struct worker *worker)
{
	uint64_t now_ns = clock_mono_ns(), seconds = 0;

	(void)pthread_mutex_lock(&worker->lock);
	if (worker->began_ns > 0 && now_ns >= worker->began_ns + worker->limit_ms * NSEC_PER_MSEC)
		seconds = (now_ns - worker->began_ns) / NSEC_PER_SEC;
	(void)pthread_mutex_unlock(&worker->lock);
	return seconds;
}

bool worker_late(struct worker *worker)
{
	return late_seconds(worker) > 0;
}

bool worker_hangs(struct worker *worker, struct worker_hang *ret)
{
	char what[THREAD_WAIT_MAX];

	memset(ret, 0, sizeof(*ret));
	ret->seconds = late_seconds(worker);
	if (ret->seconds == 0)
		return false;
	(void)snprintf(ret->what, sizeof(ret->what), "not back after %" PRIu64 " s: %s",
		       ret->seconds, thread_wait_describe(worker->tid, what));
	ret->report = run_stage_give_up(&worker->stage, ret->what);
	return true;
}

cJSON *worker_take(struct worker *worker)
{
	uint64_t count;
	cJSON *result;

	/* Nothing to read is fine: the result is what counts. */
	if (read(worker->fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return NULL;
	(void)pthread_mutex_lock(&worker->lock);
	result = take_ptr(worker->result);
	(void)pthread_mutex_unlock(&worker->lock);
	return result;
}
