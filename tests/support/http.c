/* SPDX-License-Identifier: Apache-2.0 */
#include "support/http.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/mem.h"

enum {
	CONNECTIONS_MAX = 256,
	SCRIPT_MAX = 256,
	REQUESTS_MAX = 2048,
	REQUEST_BYTES_MAX = 1 << 20,
};

struct reply {
	char *text;
	enum http_then then;
};

struct connection {
	struct http_server *server;
	int fd;
	pthread_t thread;
};

struct http_server {
	int fd, port;
	size_t piece;
	pthread_t thread;
	pthread_mutex_t lock; /* for all below */
	bool ending;
	struct reply script[SCRIPT_MAX];
	size_t replies, next;
	char *requests[REQUESTS_MAX];
	size_t asked;
	struct connection connections[CONNECTIONS_MAX];
	size_t connected;
};

/* True when fd is readable; false once the server ends. */
static bool wait_readable(struct http_server *s, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	for (;;) {
		bool ending;

		pthread_mutex_lock(&s->lock);
		ending = s->ending;
		pthread_mutex_unlock(&s->lock);
		if (ending)
			return false;
		if (poll(&p, 1, 20) > 0)
			return true;
	}
}

/* Reads one request whole; false at the end of the connection. */
static bool read_request(struct connection *c, struct buf *out)
{
	char part[4096];
	size_t want = 0;

	for (;;) {
		char *end = out->data ? strstr(out->data, "\r\n\r\n") : NULL;
		ssize_t n;

		if (end && want == 0) {
			char *length = strcasestr(out->data, "\r\nContent-Length:");

			want = (size_t)(end + 4 - out->data);
			if (length && length < end)
				want += strtoul(length + 17, NULL, 10);
		}
		if (want > 0 && out->len >= want)
			return true;
		if (!wait_readable(c->server, c->fd))
			return false;
		n = recv(c->fd, part, sizeof(part), 0);
		if (n <= 0 || buf_append(out, part, (size_t)n) < 0)
			return false;
	}
}

static bool send_all(const struct connection *c, const char *text)
{
	size_t left = strlen(text), piece = c->server->piece ? c->server->piece : left;

	while (left > 0) {
		ssize_t n = send(c->fd, text, left < piece ? left : piece, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		text += n;
		left -= (size_t)n;
	}
	return true;
}

/* Records the request and picks its reply; false: there is none. */
static bool take_reply(struct http_server *s, char *request, struct reply *ret)
{
	bool found;

	pthread_mutex_lock(&s->lock);
	if (s->asked < REQUESTS_MAX)
		s->requests[s->asked++] = request;
	else
		free(request);
	found = s->next < s->replies;
	if (found)
		*ret = s->script[s->next++];
	pthread_mutex_unlock(&s->lock);
	return found;
}

static void *serve(void *arg)
{
	struct connection *c = arg;
	struct reply reply;

	for (;;) {
		_cleanup_buf_ struct buf request = BUF_INIT(REQUEST_BYTES_MAX);

		if (!read_request(c, &request))
			break;
		if (!take_reply(c->server, buf_take(&request), &reply))
			reply = (struct reply){.text = NULL, .then = HTTP_HANG};
		if (reply.text && !send_all(c, reply.text))
			break;
		if (reply.then == HTTP_CLOSE)
			break;
		while (reply.then == HTTP_HANG && wait_readable(c->server, c->fd)) {
			char part[256];

			if (recv(c->fd, part, sizeof(part), 0) <= 0)
				break;
		}
		if (reply.then == HTTP_HANG)
			break;
	}
	shutdown(c->fd, SHUT_RDWR);
	return NULL;
}

static void *serve_all(void *arg)
{
	struct http_server *s = arg;
	int yes = 1;

	while (wait_readable(s, s->fd)) {
		struct connection *c;
		int fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		pthread_mutex_lock(&s->lock);
		if (s->connected == CONNECTIONS_MAX)
			abort();
		c = &s->connections[s->connected++];
		pthread_mutex_unlock(&s->lock);
		*c = (struct connection){.server = s, .fd = fd};
		if (pthread_create(&c->thread, NULL, serve, c) != 0)
			abort();
	}
	return NULL;
}

struct http_server *http_server_new(int port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct http_server *s = xcalloc(1, sizeof(*s));
	socklen_t len = sizeof(address);
	int yes = 1;

	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(s->fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    listen(s->fd, 64) < 0 || getsockname(s->fd, (struct sockaddr *)&address, &len) < 0)
		abort();
	s->port = ntohs(address.sin_port);
	pthread_mutex_init(&s->lock, NULL);
	if (pthread_create(&s->thread, NULL, serve_all, s) != 0)
		abort();
	return s;
}

int http_server_port(const struct http_server *s)
{
	return s->port;
}

void http_server_free(struct http_server *s)
{
	pthread_mutex_lock(&s->lock);
	s->ending = true;
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->thread, NULL);
	for (size_t i = 0; i < s->connected; i++) {
		pthread_join(s->connections[i].thread, NULL);
		close(s->connections[i].fd);
	}
	for (size_t i = 0; i < s->replies; i++)
		free(s->script[i].text);
	for (size_t i = 0; i < s->asked; i++)
		free(s->requests[i]);
	close(s->fd);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

void http_set_piece(struct http_server *s, size_t n)
{
	s->piece = n;
}

static void add(struct http_server *s, enum http_then then, char *text)
{
	pthread_mutex_lock(&s->lock);
	if (s->replies == SCRIPT_MAX)
		abort();
	s->script[s->replies++] = (struct reply){.text = text, .then = then};
	pthread_mutex_unlock(&s->lock);
}

void http_say(struct http_server *s, enum http_then then, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		abort();
	va_end(ap);
	add(s, then, text);
}

void http_say_json(struct http_server *s, const char *head, const char *body)
{
	http_say(s, HTTP_KEEP,
		 "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
		 head, strlen(body), body);
}

void http_say_stream(struct http_server *s, enum http_then then, const char *body)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
				   "Transfer-Encoding: chunked\r\n\r\n";

	if (*body)
		http_say(s, then, "%s%zx\r\n%s\r\n%s", head, strlen(body), body,
			 then == HTTP_KEEP ? "0\r\n\r\n" : "");
	else
		http_say(s, then, "%s%s", head, then == HTTP_KEEP ? "0\r\n\r\n" : "");
}

size_t http_requests(struct http_server *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->asked;
	pthread_mutex_unlock(&s->lock);
	return n;
}

const char *http_request(struct http_server *s, size_t i)
{
	const char *request;

	pthread_mutex_lock(&s->lock);
	request = i < s->asked ? s->requests[i] : NULL;
	pthread_mutex_unlock(&s->lock);
	return request;
}

size_t http_connections(struct http_server *s)
{
	size_t n;

	pthread_mutex_lock(&s->lock);
	n = s->connected;
	pthread_mutex_unlock(&s->lock);
	return n;
}
