/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests wait in one queue for one connection, which is kept alive. One that waited a second gets a connection of its own
 * (up to LANES_MAX, closed after use): a stuck request must not hold all others up. What is urgent waits for nothing: no number
 * of stuck requests costs a Lease its renewal.
 */
#include "kube/client.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/answer.h"
#include "kube/conn.h"
#include "kube/timing.h"

enum {
	LANES_MAX = 4,
	LANES_URGENT = 2, /* more, for what is urgent */
	QUEUE_MAX = 1024, /* requests; beyond they fail at once */
	DEFAULT_MAX_RESPONSE = 8 << 20,
	DEFAULT_TIMEOUT_MS = 30 * 1000,
	PAUSE_MAX_MS = 30 * 1000,
};

struct kube_request {
	struct kube_client *client;
	struct kube_request *next; /* in the queue or among those in flight */
	CURL *easy;		   /* NULL: waiting */
	struct curl_slist *headers;
	struct kube_body answer;
	char curl_error[CURL_ERROR_SIZE];
	char *method, *path, *accept, *content_type, *body;
	uint64_t timeout_ms, queued_ns;
	bool retried; /* once, with a fresh token */
	bool urgent;
	kube_response_fn done;
	void *arg;
};

struct kube_client {
	struct loop *loop;
	struct kube_conn conn;
	struct kube_request *queue, **queue_end, *flying;
	unsigned int queued, in_flight;
	struct loop_timer *pump;
	uint64_t paused_until_ns; /* the API server asked for it */
	CURL *spare;		  /* the last request's handle */
	struct kube_client_stats stats;
};

struct kube_conn *kube_client_conn(struct kube_client *client)
{
	return &client->conn;
}

struct loop *kube_client_loop(struct kube_client *client)
{
	return client->loop;
}

struct kube_client_stats kube_client_stats(const struct kube_client *client)
{
	return client->stats;
}

static void pump(void *arg);

int kube_client_new(struct loop *loop, const struct kube_config *config, const char *user_agent,
		    struct kube_client **ret, struct err *err)
{
	struct kube_client *client;
	int r;

	if (strncasecmp(user_agent, "curl/", 5) == 0)
		return err_say(err, EINVAL, "the User-Agent must not begin with curl/");
	client = xcalloc(1, sizeof(*client));
	r = kube_conn_init(&client->conn, config, user_agent, err);
	if (r < 0) {
		kube_conn_done(&client->conn);
		free(client);
		return r;
	}
	client->loop = loop;
	client->queue_end = &client->queue;
	client->pump = loop_timer_new(loop, pump, client);
	*ret = client;
	return 0;
}

void kube_client_free(struct kube_client *client)
{
	if (!client)
		return;
	while (client->flying)
		kube_request_cancel(client->flying);
	while (client->queue)
		kube_request_cancel(client->queue);
	loop_timer_free(client->pump);
	if (client->spare)
		curl_easy_cleanup(client->spare);
	kube_conn_done(&client->conn);
	free(client);
}

/* --- one request --------------------------------------------------------------------------------------------------- */

static void request_free(struct kube_request *request)
{
	curl_slist_free_all(request->headers);
	buf_done(&request->answer.buf);
	free(request->method);
	free(request->path);
	free(request->accept);
	free(request->content_type);
	free(request->body);
	free(request);
}

static void unlink_from(struct kube_request **list, const struct kube_request *request)
{
	for (; *list; list = &(*list)->next) {
		if (*list == request) {
			*list = request->next;
			return;
		}
	}
}

/* Takes it out of its list and gives its handle back. */
static void request_detach(struct kube_request *request)
{
	struct kube_client *client = request->client;

	if (!request->easy) {
		unlink_from(&client->queue, request);
		client->queued--;
		client->queue_end = &client->queue;
		while (*client->queue_end)
			client->queue_end = &(*client->queue_end)->next;
		return;
	}
	unlink_from(&client->flying, request);
	client->in_flight--;
	curl_easy_reset(request->easy);
	if (client->spare)
		curl_easy_cleanup(request->easy);
	else
		client->spare = request->easy;
	request->easy = NULL;
	if (client->queue)
		loop_timer_arm(client->pump, 0);
}

void kube_request_cancel(struct kube_request *request)
{
	if (!request)
		return;
	if (request->easy)
		loop_transfer_cancel(request->client->loop, request->easy);
	request_detach(request);
	request_free(request);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct kube_request *request = arg;

	return kube_body_add(&request->answer, data, size * n) ? size * n : 0;
}

static void set_method(struct kube_request *request)
{
	CURL *easy = request->easy;
	size_t n = request->body ? strlen(request->body) : 0;

	if (request->body || strcmp(request->method, "POST") == 0) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body ? request->body : "");
	}
	curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void on_done(void *arg, CURL *easy, CURLcode result);

/* Sends it over request->easy. */
static int request_send(struct kube_request *request, struct err *err)
{
	struct kube_client *client = request->client;
	CURL *easy = request->easy;
	int r;

	curl_slist_free_all(request->headers);
	request->headers = NULL;
	buf_clear(&request->answer.buf);
	request->answer.over = false;
	request->curl_error[0] = '\0';
	r = kube_conn_setup(&client->conn, easy, request->path, &request->headers, err);
	if (r < 0)
		return r;
	kube_header_add(&request->headers, "Accept: %s", request->accept);
	if (request->content_type)
		kube_header_add(&request->headers, "Content-Type: %s", request->content_type);
	kube_header_add(&request->headers, "Expect:"); /* it would cost a round trip */
	set_method(request);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, request->curl_error);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
	if (client->in_flight > 1)
		curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	client->stats.requests++;
	if (loop_transfer_start(client->loop, easy, on_done, request) < 0)
		return err_say(err, EIO, "libcurl refuses the request");
	return 0;
}

/* The end of a request: counts, detaches and tells. The client may be gone afterwards. */
static void request_finish(struct kube_request *request, struct kube_answer *answer)
{
	struct kube_client *client = request->client;
	const struct kube_response *response = &answer->response;

	if (response->status < 200 || response->status >= 300)
		client->stats.failures++;
	request_detach(request);
	request->done(request->arg, response);
	kube_answer_done(answer);
	request_free(request);
}

/* Later ones never shorten it. */
static void pause_all(struct kube_client *client, uint64_t retry_after_ms)
{
	uint64_t ms = retry_after_ms ? retry_after_ms : kube_timing.pause_ms, until_ns;

	ms = ms > PAUSE_MAX_MS ? PAUSE_MAX_MS : ms;
	until_ns = clock_mono_ns() + (ms + kube_random_below(ms / 4 + 1)) * NSEC_PER_MSEC;
	if (until_ns > client->paused_until_ns)
		client->paused_until_ns = until_ns;
}

static void on_done(void *arg, CURL *easy, CURLcode result)
{
	struct kube_request *request = arg;
	struct kube_client *client = request->client;
	struct kube_answer answer;
	struct err err = {0};

	kube_answer_read(&answer, easy, result, request->curl_error, &request->answer);
	if (answer.response.status == 429) {
		client->stats.throttled++;
		pause_all(client, answer.response.retry_after_ms);
	}
	if (answer.response.status == 401 && !request->retried &&
	    kube_conn_forget_token(&client->conn)) {
		request->retried = true;
		kube_answer_done(&answer);
		if (request_send(request, &err) == 0)
			return;
		kube_answer_fail(&answer, "%s", err.msg);
	}
	request_finish(request, &answer);
}

/* --- the queue ------------------------------------------------------------------------------------------------------ */

/* Milliseconds until the head of the queue may start. */
static uint64_t head_wait_ms(const struct kube_client *client)
{
	uint64_t now_ns = clock_mono_ns(), waited_ms;

	if (client->queue->urgent)
		return 0;
	if (client->paused_until_ns > now_ns)
		return (client->paused_until_ns - now_ns) / NSEC_PER_MSEC + 1;
	if (client->in_flight == 0)
		return 0;
	waited_ms = (now_ns - client->queue->queued_ns) / NSEC_PER_MSEC;
	return waited_ms >= kube_timing.queue_ms ? 0 : kube_timing.queue_ms - waited_ms;
}

/* Fails the newest request that waits. */
static void refuse_last(struct kube_client *client)
{
	struct kube_request *last = client->queue;
	struct kube_answer answer = {0};

	while (last->next)
		last = last->next;
	kube_answer_fail(&answer, "more than %d requests wait for the API server", QUEUE_MAX);
	loop_timer_arm(client->pump, 0);
	request_finish(last, &answer);
}

static void pump(void *arg)
{
	struct kube_client *client = arg;
	struct kube_request *request;
	struct kube_answer answer = {0};
	struct err err = {0};

	if (client->queued > QUEUE_MAX) {
		refuse_last(client);
		return;
	}
	while ((request = client->queue) &&
	       client->in_flight < LANES_MAX + (request->urgent ? LANES_URGENT : 0)) {
		uint64_t wait_ms = head_wait_ms(client);

		if (wait_ms > 0) {
			loop_timer_arm(client->pump, wait_ms);
			return;
		}
		request->easy = client->spare ? take_ptr(client->spare) : kube_easy_new();
		client->queue = request->next;
		if (!client->queue)
			client->queue_end = &client->queue;
		client->queued--;
		request->next = client->flying;
		client->flying = request;
		client->in_flight++;
		if (request_send(request, &err) < 0) {
			/* Detaching arms this timer for the rest: done may free the client. */
			kube_answer_fail(&answer, "%s", err.msg);
			request_finish(request, &answer);
			return;
		}
	}
}

/* At the end of the queue, or behind those in front that are urgent, too. */
static void enqueue(struct kube_client *client, struct kube_request *request)
{
	struct kube_request **at = client->queue_end;

	if (request->urgent) {
		at = &client->queue;
		while (*at && (*at)->urgent)
			at = &(*at)->next;
	}
	request->next = *at;
	*at = request;
	if (!request->next)
		client->queue_end = &request->next;
	client->queued++;
}

struct kube_request *kube_request(struct kube_client *client, const struct kube_request_opts *opts,
				  kube_response_fn done, void *arg)
{
	struct kube_request *request = xcalloc(1, sizeof(*request));

	request->client = client;
	request->answer.buf.max = opts->max_response ? opts->max_response : DEFAULT_MAX_RESPONSE;
	request->method = xstrdup(opts->method);
	request->path = xstrdup(opts->path);
	request->accept = xstrdup(opts->accept ? opts->accept : "application/json");
	request->content_type = opts->content_type ? xstrdup(opts->content_type) : NULL;
	request->body = opts->body ? xstrdup(opts->body) : NULL;
	request->timeout_ms = opts->timeout_ms ? opts->timeout_ms : DEFAULT_TIMEOUT_MS;
	request->queued_ns = clock_mono_ns();
	request->urgent = opts->urgent;
	request->done = done;
	request->arg = arg;
	enqueue(client, request);
	loop_timer_arm(client->pump, 0);
	return request;
}
