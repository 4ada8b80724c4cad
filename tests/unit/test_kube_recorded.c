/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a real API server sent (tests/fixtures/watch), split and cut at every byte, from status line to last chunk, through
 * libcurl and everything above it. The server runs in the client's own loop, so that what comes first has been read before
 * the rest is sent.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "support/http_rig.h"

enum { VERSION_MAX = 32 };

static struct replay {
	int listening, fd;
	struct loop_timer *rest;
	char *stream;	    /* what the server recorded */
	size_t size, split; /* where the answer being sent is split */
	bool cut;	    /* hangs up there instead of sending the rest */
	bool sending;	    /* the second part */
	bool expires;	    /* each stream makes the client list again */
	unsigned int lists;
	char asked[VERSION_MAX]; /* the version the watch must ask for */
	unsigned int watches, upserts, removals;
} replay;

/* --- the truth, found in the recording by other means than the client's ---------------------------------------------- */

/* Events that the first n bytes hold whole, and the last one's version. */
static unsigned int events_in(size_t n, char version[VERSION_MAX])
{
	static const char mark[] = "\"resourceVersion\":\"";
	const char *at = replay.stream;
	unsigned int events = 0;

	while ((at = strstr(at, "{\"type\":\""))) {
		const char *end = strchr(at, '\n'), *value = strstr(at, mark);

		if (!end || end >= replay.stream + n)
			break;
		if (value && value < end)
			(void)snprintf(version, VERSION_MAX, "%.*s",
				       (int)strcspn(value + strlen(mark), "\""),
				       value + strlen(mark));
		events++;
		at = end;
	}
	return events;
}

/* --- the server ------------------------------------------------------------------------------------------------------ */

static void hang_up(void)
{
	if (replay.fd < 0)
		return;
	if (replay.sending) { /* the client has seen enough */
		loop_timer_disarm(replay.rest);
		replay.sending = false;
		replay.split++;
	}
	loop_unwatch_fd(rig.loop, replay.fd);
	close(replay.fd);
	replay.fd = -1;
}

static void send_part(size_t from, size_t to)
{
	if (to > from)
		assert_int_equal(send(replay.fd, replay.stream + from, to - from, MSG_NOSIGNAL),
				 to - from);
}

static void send_rest(void *arg)
{
	(void)arg;
	send_part(replay.split, replay.size);
	replay.split++;
	replay.sending = false;
}

static void answer_watch(const char *request)
{
	_cleanup_free_ char *want = xasprintf("&resourceVersion=%s ", replay.asked);

	if (!strstr(request, want))
		fail_msg("split at %zu: no \"%s\" in %s", replay.split, want, request);
	replay.watches++;
	if (replay.split > replay.size) {
		loop_stop(rig.loop);
		return;
	}
	(void)events_in(replay.cut ? replay.split : replay.size, replay.asked);
	send_part(0, replay.split);
	if (replay.cut)
		hang_up();
	if (replay.cut || replay.split == replay.size)
		replay.split++;
	else
		replay.sending = true;
	if (replay.sending)
		loop_timer_arm(replay.rest, 1);
}

static void on_request(void *arg, int fd)
{
	char request[4096];
	ssize_t n = recv(fd, request, sizeof(request) - 1, 0);

	(void)arg;
	if (n <= 0) {
		hang_up();
		return;
	}
	request[n] = '\0'; /* small, and sent whole */
	if (strstr(request, "watch=true")) {
		answer_watch(request);
		return;
	}
	if (replay.lists++ > 0 && !replay.expires)
		fail_msg("split at %zu: another list", replay.split);
	assert_true(dprintf(fd, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
			    strlen(LIST("5", "", "")), LIST("5", "", "")) > 0);
}

static void on_connection(void *arg, int fd)
{
	int yes = 1;

	(void)arg;
	hang_up(); /* one at a time */
	replay.fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(replay.fd >= 0);
	setsockopt(replay.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	assert_int_equal(loop_watch_fd(rig.loop, replay.fd, on_request, NULL), 0);
}

static int listen_on_loopback(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(address);

	replay.listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(replay.listening, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(replay.listening, 8), 0);
	assert_int_equal(getsockname(replay.listening, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(loop_watch_fd(rig.loop, replay.listening, on_connection, NULL), 0);
	return ntohs(address.sin_port);
}

static void load(const char *name)
{
	_cleanup_free_ char *file = xstrdup(__FILE__), *path = NULL;
	char *slash = strrchr(file, '/');
	FILE *f;

	if (slash)
		*slash = '\0';
	path = xasprintf("%s/../fixtures/watch/%s", slash ? file : ".", name);
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s", path);
	replay.stream = xcalloc(1, 65536);
	replay.size = fread(replay.stream, 1, 65535, f);
	(void)fclose(f);
	assert_int_equal(strlen(replay.stream), replay.size);
}

static void count_upsert(void *arg, const cJSON *object)
{
	(void)arg;
	(void)object;
	replay.upserts++;
}

static void count_removal(void *arg, const cJSON *object)
{
	(void)arg;
	(void)object;
	replay.removals++;
}

static void begin(const char *name)
{
	const struct kube_watch_opts opts = {
		.path = "/api/v1/x",
		.metadata_only = true,
		.fns = {.upsert = count_upsert, .remove = count_removal},
	};
	struct err err = {0};

	kube_timing.backoff_first_ms = kube_timing.backoff_max_ms = 1;
	replay = (struct replay){.fd = -1, .asked = "5"};
	replay.rest = loop_timer_new(rig.loop, send_rest, NULL);
	load(name);
	rig.config.server = xasprintf("http://127.0.0.1:%d", listen_on_loopback());
	if (kube_client_new(rig.loop, &rig.config, "memdiag/test", &rig.client, &err) < 0)
		fail_msg("%s", err.msg);
	rig.watch = kube_watch_new(rig.client, &opts);
}

static void end(void)
{
	kube_watch_free(rig.watch);
	rig.watch = NULL;
	hang_up();
	loop_unwatch_fd(rig.loop, replay.listening);
	close(replay.listening);
	loop_timer_free(replay.rest);
	free(replay.stream);
}

static void test_split_everywhere(void **state)
{
	struct kube_watch_stats stats;

	(void)state;
	begin("metadata.http");
	http_rig_run(120000);
	stats = kube_watch_stats(rig.watch);
	assert_int_equal(replay.split, replay.size + 1);
	assert_int_equal(stats.errors, 0);
	assert_int_equal(stats.lists, 1);
	assert_int_equal(stats.watches, replay.watches);
	/* Two added, one changed, one removed, each time. */
	assert_int_equal(replay.upserts, 3 * (replay.size + 1));
	assert_int_equal(replay.removals, replay.size + 1);
	end();
}

/* The connection ends after each byte in turn: what came whole counts once, and the next watch goes on from there. */
static void test_cut_everywhere(void **state)
{
	unsigned int upserts = 0, removals = 0;
	char unused[VERSION_MAX];

	(void)state;
	begin("metadata.http");
	replay.cut = true;
	http_rig_run(120000);
	assert_int_equal(replay.split, replay.size + 1);
	for (size_t split = 0; split <= replay.size; split++) {
		unsigned int events = events_in(split, unused);

		upserts += events < 3 ? events : 3;
		removals += events > 3;
	}
	assert_true(removals > 0);
	assert_int_equal(replay.upserts, upserts);
	assert_int_equal(replay.removals, removals);
	assert_int_equal(kube_watch_stats(rig.watch).lists, 1);
	assert_true(kube_watch_stats(rig.watch).errors >= replay.size - 4);
	end();
}

/* An in-stream ERROR 410, split: one new list each time, and never a watch from the same version before it. */
static void test_expired_split_everywhere(void **state)
{
	(void)state;
	begin("expired.http");
	replay.expires = true;
	http_rig_run(120000);
	assert_int_equal(replay.split, replay.size + 1);
	assert_int_equal(replay.lists, replay.watches);
	assert_int_equal(kube_watch_stats(rig.watch).errors, 0);
	end();
}

/* The answer to a request, cut at every byte: a success is never made of a part. */
static void test_cut_answers(void **state)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
				     "Content-Length: 22\r\n\r\n{\"items\":[{\"a\":\"b\"}]}\n";

	(void)state;
	http_rig_connect();
	for (size_t n = 0; n < sizeof(answer); n++) {
		http_say(rig.server, HTTP_CLOSE, "%.*s", (int)n, answer);
		http_rig_get("/x");
		http_rig_run_answers(rig.seen.answers + 1);
		if ((rig.seen.status == 200) != (n == sizeof(answer) - 1))
			fail_msg("%zu bytes: HTTP %ld, %s", n, rig.seen.status, rig.seen.error);
		assert_true(n == sizeof(answer) - 1 || rig.seen.retryable);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		http_rig_test(test_split_everywhere),
		http_rig_test(test_cut_everywhere),
		http_rig_test(test_expired_split_everywhere),
		http_rig_test(test_cut_answers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
