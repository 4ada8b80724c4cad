/* SPDX-License-Identifier: Apache-2.0 */
#include "node/worker.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "run/run.h"

struct worker {
	const struct host *host;
	pthread_t thread;
	int fd;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* Under lock. */
	struct spec *spec; /* the job; NULL: none */
	char run_id[64];
	bool running;
	bool stop;
	cJSON *result;
};

static cJSON *execute(struct worker *worker, const struct spec *spec)
{
	const struct run_opts opts = {.host = worker->host, .run_id = worker->run_id};
	struct report *report = run_execute(spec, &opts);
	cJSON *tree = report_to_tree(report);

	report_free(report);
	return tree;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	const uint64_t one = 1;

	(void)pthread_mutex_lock(&worker->lock);
	while (!worker->stop) {
		struct spec *spec = take_ptr(worker->spec);
		cJSON *tree;

		if (!spec) {
			(void)pthread_cond_wait(&worker->wake, &worker->lock);
			continue;
		}
		(void)pthread_mutex_unlock(&worker->lock);
		tree = execute(worker, spec);
		spec_free(spec);
		(void)pthread_mutex_lock(&worker->lock);
		worker->result = tree;
		worker->running = false;
		/* An eventfd's counter cannot overflow by ones. */
		if (write(worker->fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
			worker->stop = true;
	}
	(void)pthread_mutex_unlock(&worker->lock);
	return NULL;
}

int worker_new(const struct host *host, struct worker **ret, struct err *err)
{
	struct worker *worker = xcalloc(1, sizeof(*worker));
	int r;

	worker->host = host;
	worker->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker->fd < 0) {
		r = err_set(err, errno, "eventfd");
		free(worker);
		return r;
	}
	(void)pthread_mutex_init(&worker->lock, NULL);
	(void)pthread_cond_init(&worker->wake, NULL);
	r = pthread_create(&worker->thread, NULL, worker_main, worker);
	if (r != 0) {
		(void)close(worker->fd);
		free(worker);
		return err_set(err, r, "cannot start the worker thread");
	}
	*ret = worker;
	return 0;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	(void)pthread_mutex_lock(&worker->lock);
	worker->stop = true;
	(void)pthread_cond_signal(&worker->wake);
	(void)pthread_mutex_unlock(&worker->lock);
	(void)pthread_join(worker->thread, NULL);
	(void)pthread_cond_destroy(&worker->wake);
	(void)pthread_mutex_destroy(&worker->lock);
	(void)close(worker->fd);
	spec_free(worker->spec);
	cJSON_Delete(worker->result);
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
