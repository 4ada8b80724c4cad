/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hollow agents: the agent's real code for watching, running through a run's steps and publishing (agent/node, agent/kube), many
 * in one process, each with its own token, connections and name. Only what touches the host is replaced: the worker answers with
 * a report that was made before, and nobody looks for new pods.
 *
 *	hollow SERVER CA_FILE TEMPLATE NODES
 *
 * TEMPLATE: a MemoryDiagnosisReport as JSON. NODES: a file with "NAME TOKEN" lines. Ends on SIGTERM.
 *
 * Linked without agent/node/worker.o and births.o, and with --wrap=loop_watch_fd, --wrap=loop_unwatch_fd: see the Makefile.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "kube/client.h"
#include "kube/loop.h"
#include "node/births.h"
#include "node/node.h"
#include "node/worker.h"

enum {
	FAKE_FD = 1 << 20, /* workers' descriptors: none that poll() would ever see */
	RUN_MS = 150,	   /* how long a quick check takes */
	START_MS = 20, /* between two nodes: 500 in 10 s, as when agents are rolled out quickly */
};

static struct loop *loop;
static cJSON *template;

int __real_loop_watch_fd(struct loop *l, int fd, void (*fn)(void *arg, int fd), void *arg);
int __wrap_loop_watch_fd(struct loop *l, int fd, void (*fn)(void *arg, int fd), void *arg);
void __real_loop_unwatch_fd(struct loop *l, int fd);
void __wrap_loop_unwatch_fd(struct loop *l, int fd);

/* --- the worker ------------------------------------------------------------------------------------------------------- */

struct worker {
	const char *node;
	int fd;
	void (*fn)(void *arg, int fd); /* whom to tell, as given to loop_watch_fd() */
	void *arg;
	struct loop_timer *timer;
	char run_id[64], diagnosis[64];
	bool running;
	cJSON *result;
};

static struct worker **workers;
static int n_workers;

int __wrap_loop_watch_fd(struct loop *l, int fd, void (*fn)(void *arg, int fd), void *arg)
{
	if (fd < FAKE_FD)
		return __real_loop_watch_fd(l, fd, fn, arg);
	workers[fd - FAKE_FD]->fn = fn;
	workers[fd - FAKE_FD]->arg = arg;
	return 0;
}

void __wrap_loop_unwatch_fd(struct loop *l, int fd)
{
	if (fd < FAKE_FD)
		__real_loop_unwatch_fd(l, fd);
}

static void replace_str(cJSON *object, const char *name, const char *value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(object, name);
	tree_add_str(object, name, value);
}

static void on_done(void *arg)
{
	struct worker *worker = arg;
	_cleanup_free_ char *name = xasprintf("%s.%s", worker->diagnosis, worker->node);
	cJSON *report = cJSON_Duplicate(template, true);

	replace_str(cJSON_GetObjectItemCaseSensitive(report, "metadata"), "name", name);
	replace_str(report, "diagnosis", worker->diagnosis);
	replace_str(report, "nodeName", worker->node);
	replace_str(cJSON_GetObjectItemCaseSensitive(report, "run"), "id", worker->run_id);
	worker->result = report;
	worker->running = false;
	worker->fn(worker->arg, worker->fd);
}

int worker_new(const struct worker_opts *opts, struct worker **ret, struct err *err)
{
	struct worker *worker = xcalloc(1, sizeof(*worker));

	(void)err;
	worker->node = opts->host->node_name;
	worker->fd = FAKE_FD + n_workers;
	worker->timer = loop_timer_new(loop, on_done, worker);
	workers = xreallocarray(workers, (size_t)n_workers + 1, sizeof(struct worker *));
	workers[n_workers++] = worker;
	*ret = worker;
	return 0;
}

void worker_free(struct worker *worker)
{
	if (!worker)
		return;
	loop_timer_free(worker->timer);
	cJSON_Delete(worker->result);
	free(worker);
}

int worker_fd(const struct worker *worker)
{
	return worker->fd;
}

bool worker_idle(const struct worker *worker)
{
	return !worker->running && !worker->result;
}

void worker_start(struct worker *worker, struct spec *spec, const char *run_id)
{
	(void)snprintf(worker->diagnosis, sizeof(worker->diagnosis), "%s", spec->name);
	(void)snprintf(worker->run_id, sizeof(worker->run_id), "%s", run_id);
	worker->running = true;
	spec_free(spec);
	loop_timer_arm(worker->timer, RUN_MS);
}

void worker_refresh(struct worker *worker)
{
	(void)worker;
}

cJSON *worker_take(struct worker *worker)
{
	return take_ptr(worker->result);
}

int births_new(struct loop *l, const struct cgroupfs *cg, void (*fn)(void *arg), void *arg,
	       struct births **ret, struct err *err)
{
	(void)l;
	(void)cg;
	(void)fn;
	(void)arg;
	(void)err;
	*ret = NULL;
	return 0;
}

void births_free(struct births *births)
{
	(void)births;
}

/* --- many nodes ------------------------------------------------------------------------------------------------------- */

/* One node, from when it is to start on. They live as long as the process. */
struct hollow {
	struct kube_config config;
	struct host host;
	struct loop_timer *timer;
};

static void start_node(void *arg)
{
	struct hollow *hollow = arg;
	struct worker_opts opts = {.host = &hollow->host};
	struct kube_client *client;
	struct node *node;
	struct err err = {0};

	if (kube_client_new(loop, &hollow->config, "memdiag-agent/hollow", &client, &err) < 0 ||
	    node_new(loop, client, &opts, &node, &err) < 0)
		log_error("%s: %s", hollow->host.node_name, err.msg);
}

static void plan_node(const char *server, const char *ca, const char *name, const char *token,
		      int n)
{
	struct hollow *hollow = xcalloc(1, sizeof(*hollow));

	hollow->config.server = xstrdup(server);
	hollow->config.ca_file = xstrdup(ca);
	hollow->config.token = xstrdup(token);
	(void)snprintf(hollow->host.node_name, sizeof(hollow->host.node_name), "%s", name);
	hollow->timer = loop_timer_new(loop, start_node, hollow);
	loop_timer_arm(hollow->timer, (uint64_t)n * START_MS);
}

static int plan_all(const char *server, const char *ca, const char *path, struct err *err)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	int n = 0;

	if (!f)
		return err_set(err, errno, "%s", path);
	while (getline(&line, &size, f) > 0) {
		char *rest = line, *name = strsep(&rest, " "), *token = strsep(&rest, "\n");

		if (!token)
			return err_say(err, EINVAL, "%s: not NAME TOKEN", path);
		plan_node(server, ca, name, token, n++);
	}
	free(line);
	(void)fclose(f);
	return 0;
}

static void on_signal(void *arg, int fd)
{
	(void)arg;
	(void)fd;
	loop_stop(loop);
}

static int watch_signals(struct err *err)
{
	sigset_t set;
	int fd;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return err_set(err, errno, "signalfd");
	return loop_watch_fd(loop, fd, on_signal, NULL);
}

static int load_template(const char *path, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT((size_t)1 << 20);
	struct root root = ROOT_INIT;
	int r = root_open(&root, "/", err);

	if (r == 0)
		r = root_read(&root, path + 1, &text, err);
	root_close(&root);
	if (r < 0)
		return r;
	template = cJSON_ParseWithLength(text.data, text.len);
	return template ? 0 : err_say(err, EINVAL, "%s: no JSON", path);
}

int main(int argc, char **argv)
{
	struct err err = {0};

	if (argc != 5 || argv[3][0] != '/') {
		(void)fprintf(stderr, "usage: hollow SERVER CA_FILE /TEMPLATE NODES\n");
		return 2;
	}
	log_set_level(LOG_LEVEL_WARN);
	if (load_template(argv[3], &err) < 0 || loop_new(&loop, &err) < 0 ||
	    watch_signals(&err) < 0 || plan_all(argv[1], argv[2], argv[4], &err) < 0 ||
	    loop_run(loop, &err) < 0) {
		(void)fprintf(stderr, "hollow: %s\n", err.msg);
		return 1;
	}
	return 0;
}
