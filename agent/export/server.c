/* SPDX-License-Identifier: Apache-2.0 */
#include "export/server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/mem.h"
#include "base/num.h"
#include "export/exposition.h"

enum {
	MAX_CONNECTIONS = 32,
	TIMEOUT_SECONDS = 10,
	CONNECTION_MEMORY = 16384, /* bytes of headers and the like of each connection */
};

#define OPENMETRICS_TYPE "application/openmetrics-text"

struct server {
	struct server_opts opts;
	struct MHD_Daemon *daemon;
	int fd;
};

/* What a connection waits for, or is served. */
struct exchange {
	struct server *server;
	struct MHD_Connection *connection;
	struct published *published;
};

static enum MHD_Result respond_text(struct MHD_Connection *connection, unsigned int status,
				    const char *text)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result r;

	if (!response)
		return MHD_NO;
	(void)MHD_add_response_header(response, "Content-Type", "text/plain; charset=utf-8");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, "Allow", "GET, HEAD");
	r = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return r;
}

static bool wants_openmetrics(struct MHD_Connection *connection)
{
	const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");

	return accept && strstr(accept, OPENMETRICS_TYPE);
}

static enum MHD_Result respond_metrics(struct exchange *exchange)
{
	const struct published *published = exchange->published;
	struct MHD_Response *response;
	const char *type = "text/plain; version=0.0.4; charset=utf-8";
	enum MHD_Result r;

	if (wants_openmetrics(exchange->connection)) {
		_cleanup_buf_ struct buf text = BUF_INIT(published->len + 16);
		size_t len;

		if (exposition_openmetrics(published->text, published->len, &text) < 0)
			return MHD_NO;
		len = text.len;
		type = OPENMETRICS_TYPE "; version=1.0.0; charset=utf-8";
		response = MHD_create_response_from_buffer(len, buf_take(&text),
							   MHD_RESPMEM_MUST_FREE);
	} else {
		/* Held until the exchange is over. */
		response = MHD_create_response_from_buffer(published->len, published->text,
							   MHD_RESPMEM_PERSISTENT);
	}
	if (!response)
		return MHD_NO;
	(void)MHD_add_response_header(response, "Content-Type", type);
	r = MHD_queue_response(exchange->connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return r;
}

/* A new text is there: the connection's handler is called again. */
static void on_published(void *arg)
{
	struct exchange *exchange = arg;

	MHD_resume_connection(exchange->connection);
}

static enum MHD_Result serve_metrics(struct exchange *exchange)
{
	int r;

	if (exchange->published)
		return respond_metrics(exchange);
	/* Suspended first: the collector may be done before we return. */
	MHD_suspend_connection(exchange->connection);
	r = collector_get(exchange->server->opts.collector, on_published, exchange,
			  &exchange->published);
	if (r == 0)
		return MHD_YES;
	MHD_resume_connection(exchange->connection);
	return r < 0 ? respond_text(exchange->connection, MHD_HTTP_SERVICE_UNAVAILABLE,
				    "shutting down\n")
		     : respond_metrics(exchange);
}

/* well: one of the server's options. */
static enum MHD_Result respond_probe(struct exchange *exchange, bool (*well)(void *arg),
				     const char *if_not)
{
	if (well && !well(exchange->server->opts.arg))
		return respond_text(exchange->connection, MHD_HTTP_SERVICE_UNAVAILABLE, if_not);
	return respond_text(exchange->connection, MHD_HTTP_OK, "ok\n");
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *connection, const char *url,
			      const char *method, const char *version, const char *data,
			      size_t *data_size, void **state)
{
	struct server *server = arg;
	struct exchange *exchange = *state;

	(void)version;
	(void)data;
	if (!exchange) { /* the headers are in; a body, if any, comes with later calls */
		exchange = xcalloc(1, sizeof(*exchange));
		exchange->server = server;
		exchange->connection = connection;
		*state = exchange;
		return MHD_YES;
	}
	if (*data_size > 0) { /* nobody asked for it */
		*data_size = 0;
		return MHD_YES;
	}
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return respond_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
	if (strcmp(url, "/metrics") == 0)
		return serve_metrics(exchange);
	if (strcmp(url, "/healthz") == 0)
		return respond_probe(exchange, server->opts.alive,
				     "the thread that runs diagnoses hangs, see the log\n");
	if (strcmp(url, "/readyz") == 0)
		return respond_probe(exchange, server->opts.ready,
				     "the API server's list of diagnoses has not been read yet\n");
	return respond_text(connection, MHD_HTTP_NOT_FOUND, "try /metrics\n");
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **state,
			 enum MHD_RequestTerminationCode code)
{
	struct server *server = arg;
	struct exchange *exchange = *state;

	(void)connection;
	(void)code;
	if (!exchange)
		return;
	collector_put(server->opts.collector, exchange->published);
	free(exchange);
	*state = NULL;
}

/* "127.0.0.1:9760", "[::1]:9760" or ":9760". */
static int parse_address(const char *text, struct sockaddr_in6 *ret, struct err *err)
{
	const char *colon = strrchr(text, ':');
	_cleanup_free_ char *host = colon ? xstrndup(text, (size_t)(colon - text)) : NULL;
	uint64_t port;

	memset(ret, 0, sizeof(*ret));
	ret->sin6_family = AF_INET6;
	if (!colon || num_u64(colon + 1, 0, 65535, &port) < 0)
		return err_say(err, EINVAL,
			       "\"%s\": an address and a port of 0 to 65535, such as "
			       "127.0.0.1:9760, [::1]:9760 or :9760",
			       text);
	ret->sin6_port = htons((uint16_t)port);
	if (!*host)
		return 0; /* every address, IPv4 too */
	if (host[0] == '[' && host[strlen(host) - 1] == ']') {
		host[strlen(host) - 1] = '\0';
		if (inet_pton(AF_INET6, host + 1, &ret->sin6_addr) == 1)
			return 0;
	} else {
		_cleanup_free_ char *mapped = xasprintf("::ffff:%s", host);

		if (inet_pton(AF_INET6, mapped, &ret->sin6_addr) == 1)
			return 0;
	}
	return err_say(err, EINVAL, "\"%s\": not a numeric address", text);
}

static int listen_on(const struct sockaddr_in6 *address, int *ret)
{
	const int off = 0, on = 1;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
	    listen(fd, MAX_CONNECTIONS) < 0) {
		int r = -errno;

		(void)close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

int server_new(const struct server_opts *opts, struct server **ret, struct err *err)
{
	struct server *server;
	struct sockaddr_in6 address;
	int fd = -1, r = parse_address(opts->address, &address, err);

	if (r < 0)
		return r;
	r = listen_on(&address, &fd);
	if (r < 0)
		return err_set(err, -r, "cannot serve metrics on %s", opts->address);
	server = xcalloc(1, sizeof(*server));
	server->opts = *opts;
	server->fd = fd;
	server->daemon =
		MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL,
				 NULL, handle, server, MHD_OPTION_LISTEN_SOCKET, fd,
				 MHD_OPTION_CONNECTION_LIMIT, (unsigned int)MAX_CONNECTIONS,
				 MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)TIMEOUT_SECONDS,
				 MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
				 MHD_OPTION_NOTIFY_COMPLETED, on_completed, server, MHD_OPTION_END);
	if (!server->daemon) {
		(void)close(fd);
		free(server);
		return err_say(err, ENOMEM, "cannot start the server of metrics");
	}
	*ret = server;
	return 0;
}

void server_free(struct server *server)
{
	if (!server)
		return;
	MHD_stop_daemon(server->daemon); /* closes the socket */
	free(server);
}

unsigned int server_port(const struct server *server)
{
	struct sockaddr_in6 address;
	socklen_t len = sizeof(address);

	if (getsockname(server->fd, (struct sockaddr *)&address, &len) < 0)
		return 0;
	return ntohs(address.sin6_port);
}
