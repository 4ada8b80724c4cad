/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kube/file.h"
#include "kube/timing.h"

enum {
	TOKEN_MAX = 64 << 10,  /* bytes; a ServiceAccount's is about 1 KiB */
	KEEPALIVE_IDLE_S = 30, /* a half-open connection of a quiet watch is found in 60 s */
	KEEPALIVE_INTERVAL_S = 10,
	USER_TIMEOUT_MS = 60 * 1000, /* the same for what was sent and not acknowledged */
};

/* base with tls_server_name for a host, so that curl verifies that name, and the real address beside it. */
static int use_server_name(struct kube_conn *conn, const char *name, struct err *err)
{
	CURLU *url = curl_url();
	char *host = NULL, *port = NULL, *base = NULL;
	int r = 0;

	if (url && curl_url_set(url, CURLUPART_URL, conn->config->server, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	    curl_url_set(url, CURLUPART_HOST, name, 0) == CURLUE_OK &&
	    curl_url_get(url, CURLUPART_URL, &base, 0) == CURLUE_OK) {
		_cleanup_free_ char *to = xasprintf("::%s:%s", host, port);
		size_t n = strlen(base);

		while (n > 0 && base[n - 1] == '/')
			n--;
		conn->base = xstrndup(base, n);
		conn->host = xasprintf("Host: %s:%s", host, port);
		kube_header_add(&conn->connect_to, "%s", to);
	} else {
		r = err_say(err, EINVAL, "tls-server-name: \"%s\" is no host name", name);
	}
	curl_free(host);
	curl_free(port);
	curl_free(base);
	curl_url_cleanup(url);
	return r;
}

int kube_conn_init(struct kube_conn *conn, const struct kube_config *config, const char *user_agent,
		   struct err *err)
{
	memset(conn, 0, sizeof(*conn));
	conn->config = config;
	if (config->tls_server_name) {
		int r = use_server_name(conn, config->tls_server_name, err);

		if (r < 0)
			return r;
	} else {
		conn->base = xstrdup(config->server);
	}
	conn->user_agent = xstrdup(user_agent);
	if (config->token)
		conn->token = xasprintf("Authorization: Bearer %s", config->token);
	return 0;
}

static void token_set(struct kube_conn *conn, char *token)
{
	if (conn->token)
		explicit_bzero(conn->token, strlen(conn->token));
	free(conn->token);
	conn->token = token;
}

void kube_conn_done(struct kube_conn *conn)
{
	token_set(conn, NULL);
	curl_slist_free_all(conn->connect_to);
	free(conn->user_agent);
	free(conn->base);
	free(conn->host);
}

/* Reads the token file. A file that is away for a moment leaves the token as it was. */
static int token_read(struct kube_conn *conn, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(TOKEN_MAX);
	const char *path = conn->config->token_file;
	uint64_t now_ns = clock_mono_ns();
	int r;

	if (!path || (conn->token_read_ns &&
		      now_ns - conn->token_read_ns < kube_timing.token_ms * NSEC_PER_MSEC))
		return 0;
	r = kube_file_read(path, &text, err);
	while (text.len > 0 && strchr(" \t\r\n", text.data[text.len - 1]))
		text.data[--text.len] = '\0';
	/* A token is printable; anything else could add headers of its own. */
	for (size_t i = 0; r == 0 && i < text.len; i++)
		if (text.data[i] <= ' ' || text.data[i] > '~')
			r = err_say(err, EINVAL, "%s holds no token", path);
	if (r == 0 && text.len == 0)
		r = err_say(err, EINVAL, "%s is empty", path);
	if (r == 0) {
		token_set(conn, xasprintf("Authorization: Bearer %s", text.data));
		explicit_bzero(text.data, text.len);
		conn->token_read_ns = now_ns;
	}
	return r < 0 && !conn->token ? r : 0;
}

bool kube_conn_forget_token(struct kube_conn *conn)
{
	conn->token_read_ns = 0;
	return conn->config->token_file != NULL;
}

CURL *kube_easy_new(void)
{
	CURL *easy = curl_easy_init();

	if (!easy) {
		fputs("memdiag: out of memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	return easy;
}

void kube_header_add(struct curl_slist **headers, const char *fmt, ...)
{
	_cleanup_free_ char *line = NULL;
	struct curl_slist *list;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&line, fmt, ap) < 0)
		line = NULL;
	va_end(ap);
	if (!line)
		return;
	list = curl_slist_append(*headers, line);
	if (list)
		*headers = list;
}

static int on_socket(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	unsigned int timeout_ms = USER_TIMEOUT_MS;

	(void)arg;
	(void)purpose;
	/* Neither failure is worth a request: both only make a dead peer or a child's inheritance less visible. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	return CURL_SOCKOPT_OK;
}

static void set_blob(CURL *easy, CURLoption option, char *pem)
{
	struct curl_blob blob = {.data = pem, .len = strlen(pem), .flags = CURL_BLOB_NOCOPY};

	curl_easy_setopt(easy, option, &blob);
}

static void set_tls(CURL *easy, const struct kube_config *c)
{
	curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (c->ca_pem || c->ca_file) {
		/* The cluster's CA alone, not the system's beside it. */
		curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
		curl_easy_setopt(easy, CURLOPT_CAINFO, c->ca_pem ? NULL : c->ca_file);
	}
	if (c->ca_pem)
		set_blob(easy, CURLOPT_CAINFO_BLOB, c->ca_pem);
#if LIBCURL_VERSION_NUM >= 0x075700
	/* Else a rotated CA is not seen for 24 hours. */
	curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
#endif
	if (c->cert_pem)
		set_blob(easy, CURLOPT_SSLCERT_BLOB, c->cert_pem);
	else if (c->cert_file)
		curl_easy_setopt(easy, CURLOPT_SSLCERT, c->cert_file);
	if (c->key_pem)
		set_blob(easy, CURLOPT_SSLKEY_BLOB, c->key_pem);
	else if (c->key_file)
		curl_easy_setopt(easy, CURLOPT_SSLKEY, c->key_file);
}

int kube_conn_setup(struct kube_conn *conn, CURL *easy, const char *path,
		    struct curl_slist **headers, struct err *err)
{
	_cleanup_free_ char *url = NULL;
	int r = token_read(conn, err);

	if (r < 0)
		return err_wrap(err, "token");
	curl_easy_reset(easy);
	url = xasprintf("%s%s", conn->base, path);
	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https,http");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* not from the environment either */
	curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, conn->user_agent);
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)kube_timing.connect_ms);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_IDLE_S);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_INTERVAL_S);
	curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, on_socket);
	if (conn->connect_to)
		curl_easy_setopt(easy, CURLOPT_CONNECT_TO, conn->connect_to);
	set_tls(easy, conn->config);
	if (conn->host)
		kube_header_add(headers, "%s", conn->host);
	if (conn->token)
		kube_header_add(headers, "%s", conn->token);
	return 0;
}
