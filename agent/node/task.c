/* SPDX-License-Identifier: Apache-2.0 */
#include "node/task.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/num.h"
#include "node/pod_events.h"
#include "node/publish.h"

#define REPORTS_PATH  "/apis/memdiag.io/v1alpha1/memorydiagnosisreports/"
#define FIELD_MANAGER "memdiag-agent"

static void task_advance(void *arg);

/* Nothing more will be done for this run id: the task stays as a memory of that. */
static void finish(struct task *task)
{
	task->step = TASK_DONE;
	loop_timer_disarm(task->timer);
	spec_free(task->spec);
	task->spec = NULL;
	cJSON_Delete(task->previous);
	task->previous = NULL;
	cJSON_Delete(task->report);
	task->report = NULL;
}

static bool past_deadline(const struct task *task)
{
	return task->deadline > 0 && time(NULL) > task->deadline;
}

/* Tries the step again later, unless the run's deadline has passed. */
static void retry(struct task *task, const char *what, const struct kube_response *response)
{
	uint64_t delay_ms = kube_backoff_ms(task->tries++, response->retry_after_ms);

	if (past_deadline(task)) {
		log_warn("%s run %s: %s failed until the run's deadline: %s", task->name,
			 task->run_id, what, response->error);
		finish(task);
		return;
	}
	if (task->tries == 1)
		log_warn("%s run %s: %s: %s; trying again", task->name, task->run_id, what,
			 response->error);
	loop_timer_arm(task->timer, delay_ms);
}

static void next(struct task *task, enum task_step step)
{
	task->step = step;
	task->tries = 0;
	loop_timer_arm(task->timer, 0);
}

static void on_labels(void *arg, const struct kube_response *response)
{
	struct task *task = arg;

	task->request = NULL;
	if (response->status == 200) {
		if (spec_targets_node(task->spec, node_name(task->node),
				      tree_get(response->body, "metadata.labels")))
			next(task, TASK_LOOKUP);
		else
			finish(task);
	} else if (kube_retryable(response)) {
		retry(task, "reading this node's labels", response);
	} else {
		log_error("%s run %s: cannot read node %s: %s; not run here", task->name,
			  task->run_id, node_name(task->node), response->error);
		finish(task);
	}
}

/* True when the report is this very diagnosis's: what had its name before may have left one that is not collected yet. */
static bool owned(const struct task *task, const cJSON *report)
{
	const cJSON *owners = tree_get(report, "metadata.ownerReferences");

	return strcmp(tree_str_or_empty(cJSON_GetArrayItem(owners, 0), "uid"), task->uid) == 0;
}

/* True when the report is of this run: then it was written before a restart of ours. */
static bool already_reported(const struct task *task, const cJSON *report)
{
	return strcmp(tree_str_or_empty(report, "run.id"), task->run_id) == 0 &&
	       owned(task, report);
}

/* The run has ended and what it replaces is known. */
static void ready_to_publish(struct task *task)
{
	publish_prepare(task->report, task->name, task->uid, task->previous, task->history_limit);
	next(task, TASK_PUBLISH);
}

static void on_lookup(void *arg, const struct kube_response *response)
{
	struct task *task = arg;

	task->request = NULL;
	if (response->status == 200 && already_reported(task, response->body)) {
		log_info("%s run %s: reported already", task->name, task->run_id);
		finish(task);
	} else if (response->status == 200 || response->status == 404) {
		if (response->status == 200 && owned(task, response->body))
			task->previous = cJSON_Duplicate(response->body, true);
		task->looked_up = true;
		if (task->report)
			ready_to_publish(task);
		else
			next(task, TASK_WAITING);
	} else if (kube_retryable(response)) {
		retry(task, "reading this node's last report", response);
	} else {
		log_error("%s run %s: cannot read report %s.%s: %s; not run here", task->name,
			  task->run_id, task->name, node_name(task->node), response->error);
		finish(task);
	}
}

static void on_published(void *arg, const struct kube_response *response)
{
	struct task *task = arg;

	task->request = NULL;
	if (response->status >= 200 && response->status < 300) {
		log_info("%s run %s: reported, verdict %s", task->name, task->run_id,
			 tree_str_or_empty(task->report, "verdict"));
		pod_events_emit(node_events(task->node), task->report, task->previous);
		finish(task);
	} else if (kube_retryable(response)) {
		retry(task, "writing the report", response);
	} else {
		/* CRDs are upgraded before agents: a report they do not know is refused for good. */
		log_error(
			"%s run %s: the API server refuses the report (HTTP %ld): %s; are the CRDs "
			"as new as this agent?",
			task->name, task->run_id, response->status, response->error);
		finish(task);
	}
}

static void get(struct task *task, const char *path, kube_response_fn done)
{
	const struct kube_request_opts opts = {.method = "GET", .path = path};

	task->request = kube_request(node_client(task->node), &opts, done, task);
}

static void publish(struct task *task)
{
	_cleanup_free_ char *path =
		xasprintf(REPORTS_PATH "%s.%s", task->name, node_name(task->node));

	task->request = kube_apply(node_client(task->node), path, FIELD_MANAGER, task->report,
				   on_published, task);
}

/* Does what the task's step asks for. */
static void task_advance(void *arg)
{
	struct task *task = arg;
	_cleanup_free_ char *path = NULL;

	switch (task->step) {
	case TASK_SPREAD:
		next(task, !task->report && task->spec->node_selector ? TASK_LABELS : TASK_LOOKUP);
		break;
	case TASK_LABELS:
		path = xasprintf("/api/v1/nodes/%s", node_name(task->node));
		get(task, path, on_labels);
		break;
	case TASK_LOOKUP:
		path = xasprintf(REPORTS_PATH "%s.%s", task->name, node_name(task->node));
		get(task, path, on_lookup);
		break;
	case TASK_WAITING:
		node_task_ready(task->node);
		break;
	case TASK_PUBLISH:
		publish(task);
		break;
	case TASK_RUNNING:
	case TASK_DONE:
		break;
	}
}

/* Each node has its own slot, the same in every run. */
static void wait_for_slot(struct task *task)
{
	const char *name = node_name(task->node);
	uint64_t spread_ms = 0;

	if (task->spread_seconds > 0)
		spread_ms = num_hash(name, strlen(name)) % ((uint64_t)task->spread_seconds * 1000);
	next(task, TASK_SPREAD);
	loop_timer_arm(task->timer, spread_ms);
}

struct task *task_new(struct node *node, const cJSON *diagnosis, bool may_have_reported)
{
	_cleanup_faults_ struct faults faults = {0};
	_cleanup_spec_ struct spec *spec = NULL;
	const cJSON *run = tree_get(diagnosis, "status.run");
	struct task *task;

	if (strcmp(tree_str_or_empty(run, "state"), "Running") != 0)
		return NULL;
	/* The controller opens no run for what can't be decoded: a controller of another version may. */
	if (spec_decode(diagnosis, SPEC_FROM_API, &spec, &faults) < 0) {
		log_warn("%s: not run here: %s", tree_str_or_empty(diagnosis, "metadata.name"),
			 faults.lines[0]);
		return NULL;
	}
	if (spec->node_name && strcmp(spec->node_name, node_name(node)) != 0)
		return NULL;
	/* Agents may not read pods: the controller says where target.pod runs. */
	if (spec->pod_name && strcmp(tree_str_or_empty(run, "nodeName"), node_name(node)) != 0)
		return NULL;
	task = xcalloc(1, sizeof(*task));
	task->node = node;
	(void)snprintf(task->name, sizeof(task->name), "%s", spec->name);
	(void)snprintf(task->uid, sizeof(task->uid), "%s", spec->uid);
	(void)snprintf(task->run_id, sizeof(task->run_id), "%s", tree_str_or_empty(run, "id"));
	(void)clock_parse_rfc3339(tree_str_or_empty(run, "deadline"), &task->deadline);
	task->spread_seconds = tree_int_or(run, "spreadSeconds", 0);
	task->history_limit = spec->history_limit;
	task->timer = loop_timer_new(node_loop(node), task_advance, task);
	task->spec = take_ptr(spec);
	if (may_have_reported || task->spec->node_selector)
		wait_for_slot(task);
	else
		next(task, TASK_WAITING);
	return task;
}

void task_free(void *arg)
{
	struct task *task = arg;

	if (!task)
		return;
	kube_request_cancel(task->request);
	loop_timer_free(task->timer);
	spec_free(task->spec);
	cJSON_Delete(task->previous);
	cJSON_Delete(task->report);
	free(task);
}

bool task_matches(const struct task *task, const cJSON *diagnosis)
{
	return strcmp(task->run_id, tree_str_or_empty(diagnosis, "status.run.id")) == 0 &&
	       strcmp(task->uid, tree_str_or_empty(diagnosis, "metadata.uid")) == 0;
}

struct spec *task_take_spec(struct task *task)
{
	task->step = TASK_RUNNING;
	return take_ptr(task->spec);
}

void task_finished(struct task *task, cJSON *report)
{
	task->report = report;
	if (task->looked_up)
		ready_to_publish(task);
	else
		wait_for_slot(task);
}
