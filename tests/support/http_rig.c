/* SPDX-License-Identifier: Apache-2.0 */
#include "support/http_rig.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>

#include "base/log.h"
#include "base/mem.h"

struct http_rig rig;
static struct kube_timing timing_as_is;

static void on_guard(void *arg)
{
	(void)arg;
	loop_stop(rig.loop);
}

int http_rig_setup(void **state)
{
	struct err err;

	(void)state;
	tree_init();
	log_set_level(LOG_LEVEL_ERROR);
	timing_as_is = kube_timing;
	kube_timing.backoff_first_ms = 4;
	kube_timing.backoff_max_ms = 8;
	rig = (struct http_rig){.said = BUF_INIT(1 << 16), .stop_after = 1};
	rig.server = http_server_new(0);
	if (loop_new(&rig.loop, &err) < 0)
		return -1;
	rig.guard = loop_timer_new(rig.loop, on_guard, NULL);
	return 0;
}

static void forget_answer(void)
{
	free(rig.seen.body);
	free(rig.seen.error);
	free(rig.seen.reason);
	memset(&rig.seen, 0, sizeof(rig.seen));
}

int http_rig_teardown(void **state)
{
	(void)state;
	kube_watch_free(rig.watch);
	kube_client_free(rig.client);
	loop_timer_free(rig.guard);
	loop_free(rig.loop);
	kube_config_done(&rig.config);
	http_server_free(rig.server);
	forget_answer();
	buf_done(&rig.said);
	kube_timing = timing_as_is;
	return 0;
}

void http_rig_connect(void)
{
	struct err err = {0};

	rig.config.server = xasprintf("http://127.0.0.1:%d", http_server_port(rig.server));
	if (kube_client_new(rig.loop, &rig.config, "memdiag/test", &rig.client, &err) < 0)
		fail_msg("%s", err.msg);
}

void http_rig_run(uint64_t most_ms)
{
	struct err err = {0};

	loop_timer_arm(rig.guard, most_ms);
	if (loop_run(rig.loop, &err) < 0)
		fail_msg("%s", err.msg);
}

void http_rig_run_answers(unsigned int n)
{
	rig.stop_after = n;
	http_rig_run(5000);
	assert_int_equal(rig.seen.answers, n);
}

void http_rig_on_answer(void *arg, const struct kube_response *response)
{
	unsigned int answers = rig.seen.answers + 1;

	(void)arg;
	forget_answer();
	rig.seen.answers = answers;
	rig.seen.status = response->status;
	rig.seen.body = response->body ? tree_print_json(response->body, false) : NULL;
	rig.seen.error = xstrdup(response->error);
	rig.seen.reason = xstrdup(response->reason);
	rig.seen.retry_after_ms = response->retry_after_ms;
	rig.seen.retryable = kube_retryable(response);
	if (answers >= rig.stop_after)
		loop_stop(rig.loop);
}

void http_rig_get(const char *path)
{
	const struct kube_request_opts opts = {.method = "GET", .path = path};

	(void)kube_request(rig.client, &opts, http_rig_on_answer, NULL);
}

void http_rig_say(const char *what, const cJSON *object)
{
	(void)buf_printf(&rig.said, "%s%s", what, tree_str_or_empty(object, "metadata.name"));
	if (rig.expected && strcmp(rig.said.data, rig.expected) == 0)
		loop_stop(rig.loop);
}

static void on_begin(void *arg)
{
	(void)arg;
	http_rig_say("[", NULL);
}

static void on_end(void *arg)
{
	(void)arg;
	http_rig_say("]", NULL);
}

static void on_upsert(void *arg, const cJSON *object)
{
	(void)arg;
	http_rig_say("+", object);
}

static void on_remove(void *arg, const cJSON *object)
{
	(void)arg;
	http_rig_say("-", object);
}

const struct kube_watch_fns http_rig_watch_fns = {
	.list_begin = on_begin,
	.upsert = on_upsert,
	.remove = on_remove,
	.list_end = on_end,
};

void http_rig_watch(void)
{
	const struct kube_watch_opts opts = {.path = "/api/v1/x", .fns = http_rig_watch_fns};

	rig.watch = kube_watch_new(rig.client, &opts);
}

void http_rig_run_until(const char *all)
{
	rig.expected = all;
	if (!rig.said.data || strcmp(rig.said.data, all) != 0)
		http_rig_run(5000);
	rig.expected = NULL;
	assert_string_equal(rig.said.data ? rig.said.data : "", all);
}

void http_rig_run_asked(size_t n)
{
	for (int i = 0; i < 500 && http_requests(rig.server) < n; i++)
		http_rig_run(10);
	assert_true(http_requests(rig.server) >= n);
}

void http_rig_asked(size_t i, const char *part)
{
	const char *request = http_request(rig.server, i);

	if (!request || !strstr(request, part))
		fail_msg("request %zu lacks \"%s\": %s", i, part, request ? request : "(none)");
}
