/* SPDX-License-Identifier: Apache-2.0 */
/* CRI calls against a server that does what a script tells it: every way in which a runtime can fail to answer. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "identity/cri_internal.h"
#include "support/cri_recorded.h"
#include "support/grpc_server.h"

/* A call that takes this long hangs: no time limit here is above it. */
#define HANGS_NS (30 * NSEC_PER_SEC)

static struct grpc_server *server;
static struct err err;

static int setup(void **state)
{
	(void)state;
	server = grpc_server_new();
	err = (struct err){0};
	cri_timeout_ms = 10000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	grpc_server_free(server);
	cri_timeout_ms = CRI_TIMEOUT_MS;
	return 0;
}

/* Asks for mounts, which is one call; its result when it is not 0, and none is made up then. */
static int ask(void)
{
	struct cri_mount *mounts = NULL;
	size_t n = 12345;
	int r = cri_mounts(grpc_server_socket(server), "abc", &mounts, &n, &err);

	if (r < 0) {
		assert_null(mounts);
		assert_int_equal(n, 12345);
		assert_int_equal(err.code, -r);
		assert_memory_equal(err.msg, "runtime.v1.RuntimeService/ContainerStatus: ", 43);
	}
	cri_mounts_free(mounts, n);
	return r;
}

static void assert_says(const char *text)
{
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
}

static void test_read(void **state)
{
	struct cri_snapshot *s = NULL;

	(void)state;
	grpc_say(server, recorded_version, sizeof(recorded_version), "0", NULL);
	grpc_say(server, recorded_containers, sizeof(recorded_containers), "0", "");
	grpc_say(server, recorded_sandboxes, sizeof(recorded_sandboxes), "0", NULL);
	assert_int_equal(cri_read(grpc_server_socket(server), &s, &err), 0);
	assert_string_equal(s->runtime, "containerd 1.6.20~ds1");
	assert_string_equal(s->socket, grpc_server_socket(server));
	assert_int_equal(s->n_containers, 2);
	assert_int_equal(s->n_sandboxes, 1);
	assert_string_equal(s->containers[0].sandbox_id, s->sandboxes[0].id);
	cri_snapshot_free(s);
	/* An empty request is a prefix. */
	assert_int_equal(grpc_requests(server), 3);
	assert_int_equal(grpc_request(server, 0)->len, 5);
	assert_memory_equal(grpc_request(server, 0)->data, "\0\0\0\0\0", 5);
}

static void test_mounts(void **state)
{
	struct cri_mount *mounts;
	size_t n;

	(void)state;
	grpc_say(server, recorded_status, sizeof(recorded_status), "0", NULL);
	assert_int_equal(cri_mounts(grpc_server_socket(server), "abc", &mounts, &n, &err), 0);
	assert_int_equal(n, 2);
	cri_mounts_free(mounts, n);
	assert_int_equal(grpc_request(server, 0)->len, 10);
	assert_memory_equal(grpc_request(server, 0)->data, "\0\0\0\0\5\x0a\3abc", 10);
}

static void test_part_fails(void **state)
{
	struct cri_snapshot *s = NULL;

	(void)state;
	grpc_say(server, recorded_version, sizeof(recorded_version), "0", NULL);
	grpc_say(server, recorded_containers, sizeof(recorded_containers), "0", NULL);
	grpc_say(server, recorded_sandboxes, sizeof(recorded_sandboxes) - 1, "0", NULL);
	assert_int_equal(cri_read(grpc_server_socket(server), &s, &err), -EPROTO);
	assert_null(s);
	assert_says("/ListPodSandbox: ListPodSandboxResponse of ");
}

static void test_statuses(void **state)
{
	static const struct {
		const char *status;
		int result;
		const char *says;
	} rows[] = {
		{"5", -ENOENT, "NOT_FOUND (5): no such thing"},
		{"4", -ETIMEDOUT, "DEADLINE_EXCEEDED (4)"},
		{"7", -EACCES, "PERMISSION_DENIED (7)"},
		{"16", -EACCES, "UNAUTHENTICATED (16)"},
		{"8", -EFBIG, "RESOURCE_EXHAUSTED (8)"},
		{"12", -ENOSYS, "UNIMPLEMENTED (12)"},
		{"14", -ECONNREFUSED, "UNAVAILABLE (14)"},
		{"2", -EPROTO, "UNKNOWN (2)"},
		{"13", -EPROTO, "INTERNAL (13)"},
		{"42", -EPROTO, "UNKNOWN (42)"},
		{"zero", -EPROTO, "UNKNOWN (2)"},
		{"", -EPROTO, "UNKNOWN (2)"},
	};

	(void)state;
	/* In the headers, and after a message that must not count then. */
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		grpc_say_refusal(server, "200", rows[i].status, "no%20such thing");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		grpc_say(server, recorded_status, sizeof(recorded_status), rows[i].status,
			 "no such%20thing");
	for (size_t i = 0; i < 2 * ARRAY_SIZE(rows); i++) {
		assert_int_equal(ask(), rows[i % ARRAY_SIZE(rows)].result);
		assert_says(rows[i % ARRAY_SIZE(rows)].says);
	}
	assert_int_equal(grpc_requests(server), 2 * ARRAY_SIZE(rows));
}

static void test_foreign_text(void **state)
{
	_cleanup_free_ char *text = xmalloc(2001);

	(void)state;
	memset(text, 'x', 2000);
	memcpy(text, "%0aevil%1b[31m", 14);
	text[2000] = '\0';
	grpc_say_refusal(server, "200", "2", text);
	assert_int_equal(ask(), -EPROTO);
	assert_says("UNKNOWN (2): \\x0aevil\\x1b[31mxxx");
}

static void test_no_status(void **state)
{
	(void)state;
	/* With a whole message; with nothing; with another protocol's error. */
	grpc_say(server, recorded_status, sizeof(recorded_status), NULL, NULL);
	grpc_say_refusal(server, "200", NULL, NULL);
	grpc_say_refusal(server, "404", NULL, NULL);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(ask(), -EPROTO);
		assert_says("no grpc-status");
	}
}

static void test_no_message(void **state)
{
	static const char half[] = "\0\0\0\0\x09half";
	_cleanup_buf_ struct buf out = BUF_INIT(4096);

	(void)state;
	grpc_say_refusal(server, "200", "0", NULL);
	h2_settings(&out);
	h2_headers(&out, false, "200", NULL, NULL);
	h2_data(&out, false, half, sizeof(half) - 1);
	h2_headers(&out, true, NULL, "0", NULL);
	grpc_say_bytes(server, out.data, out.len, false);
	assert_int_equal(ask(), -EPROTO);
	assert_says("ends after 0 bytes");
	assert_int_equal(ask(), -EPROTO);
	assert_says("ends after 9 bytes");
}

static void test_reset(void **state)
{
	(void)state;
	/* Once is an accident. */
	grpc_say_reset(server);
	grpc_say(server, recorded_status, sizeof(recorded_status), "0", NULL);
	assert_int_equal(ask(), 0);
	assert_int_equal(grpc_requests(server), 2);
	/* Twice is an unknown method. */
	grpc_say_reset(server);
	grpc_say_reset(server);
	assert_int_equal(ask(), -ENOSYS);
	assert_int_equal(grpc_requests(server), 4);
	/* The second try's own failure counts. */
	grpc_say_reset(server);
	grpc_say_refusal(server, "200", "5", NULL);
	assert_int_equal(ask(), -ENOENT);
}

static void test_long_reply(void **state)
{
	/* 64 MiB, says its prefix; what follows need not be waited for. */
	static const char prefix[] = {0, 4, 0, 0, 0, 'x'};
	_cleanup_buf_ struct buf out = BUF_INIT(4096);

	(void)state;
	h2_settings(&out);
	h2_headers(&out, false, "200", NULL, NULL);
	h2_data(&out, false, prefix, sizeof(prefix));
	grpc_say_bytes(server, out.data, out.len, false);
	assert_int_equal(ask(), -EFBIG);
	assert_says("67108864 bytes");
}

/* The largest that is taken, and one byte more; 32 MiB after a prefix that announced 1 KiB. */
static void test_size_limit(void **state)
{
	static const char liar[] = {0, 0, 0, 4, 0};
	size_t n = CRI_MAX_REPLY;
	_cleanup_free_ uint8_t *message = xcalloc(2 * n, 1);
	_cleanup_buf_ struct buf out = BUF_INIT(3 * n);

	(void)state;
	/* Field 5, n - 5 bytes: no field of ContainerStatusResponse. */
	message[0] = 5 << 3 | 2;
	for (int i = 0; i < 4; i++)
		message[1 + i] = (uint8_t)((n - 5) >> (7 * i)) | (i < 3 ? 0x80 : 0);
	grpc_say(server, message, n, "0", NULL);
	grpc_say(server, message, n + 1, "0", NULL);
	h2_settings(&out);
	h2_headers(&out, false, "200", NULL, NULL);
	h2_data(&out, false, liar, sizeof(liar));
	h2_data(&out, false, message, 2 * n);
	grpc_say_bytes(server, out.data, out.len, false);
	assert_int_equal(ask(), 0);
	assert_int_equal(ask(), -EFBIG);
	assert_int_equal(ask(), -EPROTO);
	assert_says("more than one message");
}

/*
 * Replies that come in one read of 32 KiB. Without CURL_BUFFER most are left lying for 0.2 s (and containerd's for 1.2 s); a busy
 * machine may make a few late.
 */
static void test_no_stall(void **state)
{
	_cleanup_free_ uint8_t *message = xcalloc(64 << 10, 1);
	int late = 0;

	(void)state;
	for (size_t i = 0; i < 100; i++) {
		size_t n = 17000 + 120 * i;

		message[0] = 5 << 3 | 2;
		for (int k = 0; k < 3; k++)
			message[1 + k] = (uint8_t)((n - 4) >> (7 * k)) | (k < 2 ? 0x80 : 0);
		grpc_say(server, message, n, "0", NULL);
	}
	for (int i = 0; i < 100; i++) {
		uint64_t start = clock_mono_ns();

		assert_int_equal(ask(), 0);
		late += clock_mono_ns() - start > 150 * NSEC_PER_MSEC;
	}
	assert_in_range(late, 0, 25);
}

static void test_many_headers(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1 << 20);

	(void)state;
	h2_settings(&out);
	for (int i = 0; i < 1000; i++)
		h2_headers(&out, false, "103", NULL, NULL);
	grpc_say_bytes(server, out.data, out.len, false);
	assert_true(ask() < 0);
}

static void test_garbage(void **state)
{
	static const char http1[] = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
	uint8_t noise[4096];
	uint32_t x = 1;

	(void)state;
	for (size_t i = 0; i < sizeof(noise); i++) {
		x = x * 1664525 + 1013904223;
		noise[i] = (uint8_t)(x >> 24);
	}
	cri_timeout_ms = 1000;
	grpc_say_bytes(server, http1, sizeof(http1) - 1, true);
	grpc_say_bytes(server, noise, sizeof(noise), true);
	grpc_say_bytes(server, noise, sizeof(noise), false);
	for (int i = 0; i < 3; i++)
		assert_true(ask() < 0);
}

/* A good reply that breaks off after each of its bytes. */
static void test_hangs_up(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(4096);

	(void)state;
	h2_settings(&out);
	h2_headers(&out, false, "200", NULL, NULL);
	h2_data(&out, false, "\0\0\0\0\0", 5);
	h2_headers(&out, true, NULL, "0", NULL);
	assert_true(out.len < 120);
	for (size_t n = 0; n < out.len; n++) {
		grpc_server_free(server);
		server = grpc_server_new();
		grpc_say_bytes(server, out.data, n, true);
		grpc_say_bytes(server, out.data, n, true);
		if (ask() == 0)
			fail_msg("%zu of %zu bytes were enough", n, out.len);
	}
}

static void test_never_answers(void **state)
{
	uint64_t start = clock_mono_ns();
	struct cri_snapshot *s = NULL;

	(void)state;
	cri_timeout_ms = 100;
	assert_int_equal(ask(), -ETIMEDOUT);
	assert_says("no answer within 100 ms");
	assert_int_equal(cri_read(grpc_server_socket(server), &s, &err), -ETIMEDOUT);
	assert_null(s);
	assert_true(clock_mono_ns() - start < HANGS_NS);
}

/* Headers, and a first byte; then nothing. */
static void test_stops_answering(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(4096);

	(void)state;
	cri_timeout_ms = 100;
	h2_settings(&out);
	h2_headers(&out, false, "200", NULL, NULL);
	h2_data(&out, false, "", 1);
	grpc_say_bytes(server, out.data, out.len, false);
	assert_int_equal(ask(), -ETIMEDOUT);
}

/* Not there; there, but nobody accepts; no socket; a name that fits into no address. */
static void test_nobody(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s-dead", grpc_server_socket(server));
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct cri_snapshot *s = NULL;
	struct cri_mount *mounts;
	size_t n;

	(void)state;
	assert_int_equal(cri_read(path, &s, &err), -ENOENT);
	assert_says(path);
	assert_int_equal(cri_mounts(path, "abc", &mounts, &n, &err), -ECONNREFUSED);
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(cri_read(path, &s, &err), -ECONNREFUSED);
	assert_says("nobody listens");
	assert_int_equal(unlink(path), 0);
	assert_true(cri_read("/dev/null", &s, &err) < 0);
	assert_null(s);
}

/* The queue of connections is full and nobody takes one out of it. */
static void test_full_queue(void **state)
{
	_cleanup_free_ char *path = xasprintf("%s-full", grpc_server_socket(server));
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int waiting[8];
	struct cri_snapshot *s = NULL;
	uint64_t start = clock_mono_ns();

	(void)state;
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(waiting[i], (struct sockaddr *)&address, sizeof(address));
	}
	cri_timeout_ms = 100;
	assert_true(cri_read(path, &s, &err) < 0);
	assert_true(clock_mono_ns() - start < HANGS_NS);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++)
		close(waiting[i]);
	assert_int_equal(unlink(path), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_read),	  TEST(test_mounts),
		TEST(test_part_fails),	  TEST(test_statuses),
		TEST(test_foreign_text),  TEST(test_no_status),
		TEST(test_no_message),	  TEST(test_reset),
		TEST(test_long_reply),	  TEST(test_size_limit),
		TEST(test_no_stall),	  TEST(test_many_headers),
		TEST(test_garbage),	  TEST(test_hangs_up),
		TEST(test_never_answers), TEST(test_stops_answering),
		TEST(test_nobody),	  TEST(test_full_queue),
	};

	tree_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
