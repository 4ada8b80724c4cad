/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node.h"

#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "kube/watch.h"
#include "node/births.h"
#include "node/task.h"
#include "node/worker.h"

/* One late look is not enough: an agent that was frozen, or a machine that was, wakes up late and goes on. */
enum { HANG_LOOK_MS = 5000, HANG_LOOKS = 2 };

struct node {
	struct loop *loop;
	struct kube_client *client;
	const struct host *host;
	struct worker *worker;
	struct births *births;
	struct kube_watch *watch;
	struct agent_counters *counters; /* NULL: nobody asks */
	struct loop_timer *counting, *hang_timer;
	unsigned int overdue; /* looks in a row that found the worker late */
	struct kube_events *events;
	struct map tasks;    /* of diagnoses by name */
	bool listing;	     /* what comes was there before we asked */
	char running[64];    /* the diagnosis whose run the worker has; "": none */
	char running_id[64]; /* its run id */
};

struct loop *node_loop(struct node *node)
{
	return node->loop;
}

struct kube_client *node_client(struct node *node)
{
	return node->client;
}

struct kube_events *node_events(struct node *node)
{
	return node->events;
}

const char *node_name(const struct node *node)
{
	return node->host->node_name;
}

/* --- the worker -------------------------------------------------------------------------------------------------- */

static void pick_waiting(void *arg, const char *name, void *value)
{
	struct task **picked = arg, *task = value;

	(void)name;
	if (!*picked && task->step == TASK_WAITING)
		*picked = task;
}

void node_task_ready(struct node *node)
{
	struct task *task = NULL;

	if (node->running[0] || !worker_idle(node->worker))
		return;
	map_each(&node->tasks, pick_waiting, &task);
	if (!task)
		return;
	memcpy(node->running, task->name, sizeof(node->running));
	memcpy(node->running_id, task->run_id, sizeof(node->running_id));
	log_info("%s run %s: running", task->name, task->run_id);
	worker_start(node->worker, task_take_spec(task), task->run_id);
}

/* --- what is counted ---------------------------------------------------------------------------------------------- */

enum { COUNT_MS = 5000 }; /* how old what is exported may be */

static void on_counting(void *arg)
{
	struct node *node = arg;
	struct kube_client_stats client = kube_client_stats(node->client);
	struct kube_watch_stats watch = kube_watch_stats(node->watch);

	counter_set(&node->counters->api_requests, client.requests);
	counter_set(&node->counters->api_failures, client.failures);
	counter_set(&node->counters->api_throttled, client.throttled);
	counter_set(&node->counters->watch_restarts, watch.watches > 0 ? watch.watches - 1 : 0);
	loop_timer_arm(node->counting, COUNT_MS);
}

static void count_run(struct node *node, const cJSON *report)
{
	if (!node->counters)
		return;
	if (strcmp(tree_str_or_empty(report, "verdict"), "Error") == 0)
		counter_add(&node->counters->runs_failed, 1);
	else
		counter_add(&node->counters->runs_complete, 1);
	counter_set(&node->counters->last_run_seconds, (uint64_t)time(NULL));
}

/* The report of the run at hand. */
static void take_report(struct node *node, cJSON *report)
{
	struct task *task = map_get(&node->tasks, node->running);

	/* The diagnosis may be gone or ask for another run by now: then nobody wants this report. */
	if (task && task->step == TASK_RUNNING && strcmp(task->run_id, node->running_id) == 0) {
		task_finished(task, report);
	} else {
		log_info("%s run %s: no longer wanted", node->running, node->running_id);
		cJSON_Delete(report);
	}
}

/* --- a worker that hangs, or has a result --------------------------------------------------------------------------- */

static void count_hang(struct node *node, uint64_t seconds)
{
	if (node->counters)
		counter_set(&node->counters->hung_seconds, seconds);
}

static void hang_is_over(struct node *node)
{
	if (node->overdue >= HANG_LOOKS)
		log_info("the thread that runs diagnoses has come back");
	node->overdue = 0;
	count_hang(node, 0);
}

static void on_worker(void *arg, int fd)
{
	struct node *node = arg;
	cJSON *report = worker_take(node->worker);

	(void)fd;
	if (!report)
		return;
	/* One that has been given up is counted already. */
	if (node->overdue < HANG_LOOKS)
		count_run(node, report);
	hang_is_over(node);
	take_report(node, report);
	node->running[0] = '\0';
	node_task_ready(node);
}

static void tell_hang(struct node *node, const struct worker_hang *hang)
{
	if (node->overdue == HANG_LOOKS)
		log_error("the thread that runs diagnoses hangs: %s; until it comes back, or this "
			  "agent is restarted, it runs no others",
			  hang->what);
	count_hang(node, hang->seconds);
	/* The run is over; the thread is not: nothing else is handed to it. */
	if (hang->report) {
		count_run(node, hang->report);
		take_report(node, hang->report);
	}
}

static void on_hang_timer(void *arg)
{
	struct node *node = arg;
	struct worker_hang hang;

	if (!worker_late(node->worker))
		hang_is_over(node);
	else if (++node->overdue >= HANG_LOOKS && worker_hangs(node->worker, &hang))
		tell_hang(node, &hang);
	loop_timer_arm(node->hang_timer, HANG_LOOK_MS);
}

/* --- the watch --------------------------------------------------------------------------------------------------- */

static void mark_unseen(void *arg, const char *name, void *value)
{
	(void)arg;
	(void)name;
	((struct task *)value)->seen = false;
}

static void on_list_begin(void *arg)
{
	struct node *node = arg;

	node->listing = true;
	map_each(&node->tasks, mark_unseen, NULL);
}

static void on_upsert(void *arg, const cJSON *object)
{
	struct node *node = arg;
	const char *name = tree_str_or_empty(object, "metadata.name");
	struct task *task = map_get(&node->tasks, name);

	if (!task || !task_matches(task, object)) {
		map_remove(&node->tasks, name);
		task = task_new(node, object, node->listing);
		if (task)
			map_set(&node->tasks, name, task);
	}
	if (task)
		task->seen = true;
}

static void on_remove(void *arg, const cJSON *object)
{
	struct node *node = arg;

	map_remove(&node->tasks, tree_str_or_empty(object, "metadata.name"));
}

static int is_unseen(void *value)
{
	return !((struct task *)value)->seen;
}

static void on_list_end(void *arg)
{
	struct node *node = arg;

	node->listing = false;
	map_sweep(&node->tasks, is_unseen);
	if (node->counters)
		counter_add(&node->counters->lists_read, 1);
}

static void on_births(void *arg)
{
	worker_refresh(((struct node *)arg)->worker);
}

int node_new(struct loop *loop, struct kube_client *client, const struct worker_opts *worker_opts,
	     struct node **ret, struct err *err)
{
	struct node *node = xcalloc(1, sizeof(*node));
	const struct kube_watch_opts opts = {
		.path = "/apis/memdiag.io/v1alpha1/memorydiagnoses",
		.fns = {on_list_begin, on_upsert, on_remove, on_list_end},
		.arg = node,
	};
	int r;

	node->loop = loop;
	node->client = client;
	node->host = worker_opts->host;
	node->tasks = (struct map)MAP_INIT(task_free);
	node->events = kube_events_new(client, "memdiag.io/agent", node->host->node_name);
	r = worker_new(worker_opts, &node->worker, err);
	if (r == 0)
		r = loop_watch_fd(loop, worker_fd(node->worker), on_worker, node);
	if (r == 0)
		r = births_new(loop, &node->host->cgroups, on_births, node, &node->births, err);
	if (r < 0) {
		node_free(node);
		return r;
	}
	node->watch = kube_watch_new(client, &opts);
	node->hang_timer = loop_timer_new(loop, on_hang_timer, node);
	loop_timer_arm(node->hang_timer, HANG_LOOK_MS);
	node->counters = worker_opts->counters;
	if (node->counters) {
		node->counting = loop_timer_new(loop, on_counting, node);
		loop_timer_arm(node->counting, 0);
	}
	*ret = node;
	return 0;
}

void node_free(struct node *node)
{
	if (!node)
		return;
	loop_timer_free(node->counting);
	loop_timer_free(node->hang_timer);
	kube_watch_free(node->watch);
	births_free(node->births);
	map_done(&node->tasks);
	if (node->worker)
		loop_unwatch_fd(node->loop, worker_fd(node->worker));
	worker_free(node->worker);
	kube_events_free(node->events);
	free(node);
}
