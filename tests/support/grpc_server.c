/* SPDX-License-Identifier: Apache-2.0 */
#include "support/grpc_server.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"

enum {
	SCRIPT_MAX = 256,
	REQUEST_MAX = 1 << 20,
	REPLY_MAX = 80 << 20,
	FRAME_HEAD = 9,
	FRAME_DATA = 0,
	FRAME_HEADERS = 1,
	FRAME_RST_STREAM = 3,
	FRAME_SETTINGS = 4,
	FLAG_ACK = 1,
	FLAG_END_STREAM = 1,
	FLAG_END_HEADERS = 4,
	FRAME_PAYLOAD_MAX = 16384, /* what a client must take without asking for more */
};

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

struct reply {
	struct buf bytes;
	bool hang_up;
	bool greet; /* with settings before the request is there, as real servers do */
};

struct grpc_server {
	char *folder, *socket;
	int fd;
	pthread_t thread;
	pthread_mutex_t lock; /* for all below */
	bool ending;
	struct reply script[SCRIPT_MAX];
	size_t replies;
	struct buf requests[SCRIPT_MAX];
	size_t asked;
};

static bool is_ending(struct grpc_server *s)
{
	bool ending;

	pthread_mutex_lock(&s->lock);
	ending = s->ending;
	pthread_mutex_unlock(&s->lock);
	return ending;
}

/* True when fd is ready; false once the server ends. */
static bool wait_for(struct grpc_server *s, int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	while (!is_ending(s)) {
		if (poll(&p, 1, 20) > 0)
			return true;
	}
	return false;
}

/* Appends the DATA of the frames that are whole in in; true when one of them ends the request. */
static bool take_frames(const struct buf *in, size_t *at, struct buf *body)
{
	bool last = false;

	while (!last && in->len - *at >= FRAME_HEAD) {
		const uint8_t *p = (const uint8_t *)in->data + *at;
		size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

		if (in->len - *at < FRAME_HEAD + n)
			break;
		if (p[3] == FRAME_DATA && buf_append(body, p + FRAME_HEAD, n) < 0)
			abort();
		last = (p[3] == FRAME_DATA || p[3] == FRAME_HEADERS) && p[4] & FLAG_END_STREAM;
		*at += FRAME_HEAD + n;
	}
	return last;
}

/* Reads one request whole; false at the end of the connection. */
static bool read_request(struct grpc_server *s, int fd, struct buf *body)
{
	_cleanup_buf_ struct buf in = BUF_INIT(REQUEST_MAX);
	size_t at = strlen(PREFACE);
	char part[4096];

	while (wait_for(s, fd, POLLIN)) {
		ssize_t n = recv(fd, part, sizeof(part), 0);

		if (n <= 0 || buf_append(&in, part, (size_t)n) < 0)
			return false;
		if (in.len >= at && take_frames(&in, &at, body))
			return true;
	}
	return false;
}

static void send_all(struct grpc_server *s, int fd, const struct buf *bytes)
{
	size_t sent = 0;

	while (sent < bytes->len && wait_for(s, fd, POLLOUT)) {
		ssize_t n = send(fd, bytes->data + sent, bytes->len - sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n <= 0)
			return;
		sent += (size_t)n;
	}
}

static void frame(struct buf *out, uint8_t type, uint8_t flags, const void *payload, size_t n)
{
	const uint8_t head[FRAME_HEAD] = {
		(uint8_t)(n >> 16),
		(uint8_t)(n >> 8),
		(uint8_t)n,
		type,
		flags,
		0,
		0,
		0,
		type == FRAME_SETTINGS ? 0 : 1,
	};

	if (buf_append(out, head, sizeof(head)) < 0 || buf_append(out, payload, n) < 0)
		abort();
}

void h2_settings(struct buf *out)
{
	frame(out, FRAME_SETTINGS, 0, "", 0);
	/* Until its own are acknowledged, the client takes 64 KiB only. */
	frame(out, FRAME_SETTINGS, FLAG_ACK, "", 0);
}

static void send_settings(struct grpc_server *s, int fd)
{
	_cleanup_buf_ struct buf out = BUF_INIT(FRAME_PAYLOAD_MAX);

	h2_settings(&out);
	send_all(s, fd, &out);
}

static void serve(struct grpc_server *s, int fd)
{
	struct buf body = BUF_INIT(REQUEST_MAX);
	const struct reply *reply = NULL;
	char part[4096];

	pthread_mutex_lock(&s->lock);
	if (s->asked < s->replies)
		reply = &s->script[s->asked];
	pthread_mutex_unlock(&s->lock);
	if (reply && reply->greet)
		send_settings(s, fd);
	if (!read_request(s, fd, &body)) {
		buf_done(&body);
		return;
	}
	pthread_mutex_lock(&s->lock);
	if (s->asked == SCRIPT_MAX)
		abort();
	s->requests[s->asked++] = body;
	pthread_mutex_unlock(&s->lock);
	if (reply)
		send_all(s, fd, &reply->bytes);
	while ((!reply || !reply->hang_up) && wait_for(s, fd, POLLIN)) {
		if (recv(fd, part, sizeof(part), 0) <= 0)
			break;
	}
}

/* One connection after the other: the client makes no two at once. */
static void *serve_all(void *arg)
{
	struct grpc_server *s = arg;

	while (wait_for(s, s->fd, POLLIN)) {
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		serve(s, fd);
		close(fd);
	}
	return NULL;
}

struct grpc_server *grpc_server_new(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct grpc_server *s = xcalloc(1, sizeof(*s));

	s->folder = xstrdup("/tmp/memdiag-grpc-XXXXXX");
	if (!mkdtemp(s->folder))
		abort();
	s->socket = xasprintf("%s/socket", s->folder);
	memcpy(address.sun_path, s->socket, strlen(s->socket) + 1);
	s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(s->fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(s->fd, 8) < 0)
		abort();
	pthread_mutex_init(&s->lock, NULL);
	if (pthread_create(&s->thread, NULL, serve_all, s) != 0)
		abort();
	return s;
}

const char *grpc_server_socket(const struct grpc_server *s)
{
	return s->socket;
}

void grpc_server_free(struct grpc_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	for (size_t i = 0; i < s->replies; i++)
		buf_done(&s->script[i].bytes);
	for (size_t i = 0; i < s->asked; i++)
		buf_done(&s->requests[i]);
	close(s->fd);
	(void)unlink(s->socket);
	(void)rmdir(s->folder);
	pthread_mutex_destroy(&s->lock);
	free(s->socket);
	free(s->folder);
	free(s);
}

/* HPACK: a length in 7 bits, and the bytes as they are. */
static void hpack_string(struct buf *out, const char *text)
{
	size_t n = strlen(text), rest = n;
	uint8_t byte = n < 127 ? (uint8_t)n : 127;

	if (buf_append(out, &byte, 1) < 0)
		abort();
	if (byte == 127) {
		for (rest -= 127; rest > 127; rest >>= 7) {
			byte = (uint8_t)(rest | 0x80);
			if (buf_append(out, &byte, 1) < 0)
				abort();
		}
		byte = (uint8_t)rest;
		if (buf_append(out, &byte, 1) < 0)
			abort();
	}
	if (buf_append(out, text, n) < 0)
		abort();
}

/* A literal that is not indexed. name NULL: ":status", number 8 of the static table. */
static void hpack_header(struct buf *out, const char *name, const char *value)
{
	uint8_t byte = name ? 0 : 8;

	if (!value)
		return;
	if (buf_append(out, &byte, 1) < 0)
		abort();
	if (name)
		hpack_string(out, name);
	hpack_string(out, value);
}

void h2_headers(struct buf *out, bool last, const char *http, const char *status, const char *text)
{
	_cleanup_buf_ struct buf block = BUF_INIT(FRAME_PAYLOAD_MAX);

	hpack_header(&block, NULL, http);
	hpack_header(&block, "content-type", http ? "application/grpc" : NULL);
	hpack_header(&block, "grpc-status", status);
	hpack_header(&block, "grpc-message", text);
	frame(out, FRAME_HEADERS, FLAG_END_HEADERS | (last ? FLAG_END_STREAM : 0), block.data,
	      block.len);
}

void h2_data(struct buf *out, bool last, const void *data, size_t n)
{
	const char *p = data;

	for (; n > FRAME_PAYLOAD_MAX; n -= FRAME_PAYLOAD_MAX, p += FRAME_PAYLOAD_MAX)
		frame(out, FRAME_DATA, 0, p, FRAME_PAYLOAD_MAX);
	frame(out, FRAME_DATA, last ? FLAG_END_STREAM : 0, p, n);
}

static void add(struct grpc_server *s, const void *bytes, size_t n, bool hang_up, bool greet)
{
	struct reply *reply;

	pthread_mutex_lock(&s->lock);
	if (s->replies == SCRIPT_MAX)
		abort();
	reply = &s->script[s->replies++];
	*reply = (struct reply){.bytes = BUF_INIT(REPLY_MAX), .hang_up = hang_up, .greet = greet};
	if (buf_append(&reply->bytes, bytes, n) < 0)
		abort();
	pthread_mutex_unlock(&s->lock);
}

void grpc_say_bytes(struct grpc_server *s, const void *bytes, size_t n, bool hang_up)
{
	add(s, bytes, n, hang_up, false);
}

void grpc_say(struct grpc_server *s, const void *message, size_t n, const char *status,
	      const char *text)
{
	const uint8_t prefix[] = {
		0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n,
	};
	_cleanup_buf_ struct buf out = BUF_INIT(REPLY_MAX);

	h2_headers(&out, false, "200", NULL, NULL);
	h2_data(&out, false, prefix, sizeof(prefix));
	h2_data(&out, !status, message, n);
	if (status)
		h2_headers(&out, true, NULL, status, text);
	add(s, out.data, out.len, false, true);
}

void grpc_say_refusal(struct grpc_server *s, const char *http, const char *status, const char *text)
{
	_cleanup_buf_ struct buf out = BUF_INIT(REPLY_MAX);

	h2_headers(&out, true, http, status, text);
	add(s, out.data, out.len, false, true);
}

void grpc_say_reset(struct grpc_server *s)
{
	static const uint8_t no_error[4];
	_cleanup_buf_ struct buf out = BUF_INIT(REPLY_MAX);

	frame(&out, FRAME_RST_STREAM, 0, no_error, sizeof(no_error));
	add(s, out.data, out.len, false, true);
}

size_t grpc_requests(struct grpc_server *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->asked;
	pthread_mutex_unlock(&s->lock);
	return n;
}

const struct buf *grpc_request(struct grpc_server *s, size_t i)
{
	const struct buf *request;

	pthread_mutex_lock(&s->lock);
	request = i < s->asked ? &s->requests[i] : NULL;
	pthread_mutex_unlock(&s->lock);
	return request;
}
