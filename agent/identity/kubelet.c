/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/kubelet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "identity/kubelet_internal.h"
#include "kube/answer.h"
#include "kube/conn.h"

enum {
	EXCERPT_MAX = 160, /* bytes of a refusal's body */
};

uint32_t kubelet_timeout_ms = KUBELET_TIMEOUT_MS;

static bool is_loopback(const char *host)
{
	struct in_addr v4;

	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	/* libcurl itself takes localhost for loopback, whatever the resolver says. */
	return strcmp(host, "[::1]") == 0 || strcasecmp(host, "localhost") == 0;
}

/* *ret_plain: http, which goes to loopback only. */
static int check_url(const char *text, bool *ret_plain, struct err *err)
{
	CURLU *url = curl_url();
	char *scheme = NULL, *host = NULL;
	int r = 0;

	if (!url || curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		r = err_say(err, EINVAL, "it is no URL");
	else if (strcmp(scheme, "https") == 0)
		*ret_plain = false;
	else if (strcmp(scheme, "http") != 0)
		r = err_say(err, EINVAL, "it must begin with https:// (or http:// on loopback)");
	else if (!is_loopback(host))
		r = err_say(err, EINVAL, "http is for loopback only; use https");
	else
		*ret_plain = true;
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(url);
	return r;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	return kube_body_add(arg, data, size * n) ? size * n : 0;
}

static int transfer_errno(CURLcode result)
{
	switch (result) {
	case CURLE_OPERATION_TIMEDOUT:
		return ETIMEDOUT;
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
		return ECONNREFUSED;
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ISSUER_ERROR:
		return EKEYREJECTED;
	default:
		return EPROTO;
	}
}

/* What the kubelet said instead of pods: 401 and 403 come with a line that names user and verb. */
static int refuse(long status, const struct kube_body *body, struct err *err)
{
	const char *text = body->buf.data ? body->buf.data : "";
	_cleanup_free_ char *plain = text_plain(text, strcspn(text, "\r\n"));

	text_shorten_end(plain, EXCERPT_MAX);
	if (status >= 300 && status < 400)
		return err_say(err, EPROTO, "HTTP %ld: redirects are not followed", status);
	return err_say(err, status == 401 || status == 403 ? EACCES : EPROTO, "HTTP %ld%s%s",
		       status, *plain ? ": " : "", plain);
}

static int judge(const struct kube_body *body, long status, cJSON **ret, struct err *err)
{
	_cleanup_tree_ cJSON *tree = NULL;
	const cJSON *items;
	struct err broken;

	if (body->over)
		return err_say(err, EFBIG, "the reply has more than %zu bytes", body->buf.max);
	if (status != 200)
		return refuse(status, body, err);
	if (tree_parse_json(body->buf.data ? body->buf.data : "", body->buf.len, &tree, &broken) <
	    0)
		return err_say(err, EPROTO, "no PodList but %zu bytes that are no JSON: %s",
			       body->buf.len, broken.msg);
	items = tree_member(tree, "items");
	if (strcmp(tree_str_or_empty(tree, "kind"), "PodList") != 0 ||
	    (items && !cJSON_IsArray(items) && !cJSON_IsNull(items)))
		return err_say(err, EPROTO, "the reply is no PodList");
	*ret = take_ptr(tree);
	return 0;
}

static int transfer(struct kube_conn *conn, CURL *easy, cJSON **ret, struct err *err)
{
	struct kube_body body = {.buf = BUF_INIT(KUBELET_MAX_REPLY)};
	char curl_error[CURL_ERROR_SIZE] = "";
	struct curl_slist *headers = NULL;
	long status = 0;
	int r = kube_conn_setup(conn, easy, "/pods", &headers, err);

	if (r == 0) {
		CURLcode result;

		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)kubelet_timeout_ms);
		curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
		curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, curl_error);
		curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
		curl_easy_setopt(easy, CURLOPT_WRITEDATA, &body);
		result = curl_easy_perform(easy);
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		if (result == CURLE_OK || body.over)
			r = judge(&body, status, ret, err);
		else
			r = err_say(err, transfer_errno(result), "%s",
				    *curl_error ? curl_error : curl_easy_strerror(result));
	}
	curl_slist_free_all(headers);
	buf_done(&body.buf);
	return r;
}

char *kubelet_server(const char *url)
{
	const char *host, *port;
	_cleanup_free_ char *server = NULL, *address = NULL;
	struct in6_addr v6;
	size_t n = strlen(url);

	while (n > 0 && url[n - 1] == '/')
		n--;
	server = xstrndup(url, n);
	host = strstr(server, "://");
	host = host ? host + 3 : server;
	port = strrchr(host, ':');
	address = port ? xstrndup(host, (size_t)(port - host)) : NULL;
	if (!address || inet_pton(AF_INET6, address, &v6) != 1)
		return take_ptr(server);
	return xasprintf("%.*s[%s]%s", (int)(host - server), server, address, port);
}

int kubelet_read_pods(const struct kubelet_opts *opts, cJSON **ret, struct err *err)
{
	_cleanup_free_ char *url = kubelet_server(opts->url);
	struct kube_config config = {
		.server = url,
		.ca_file = (char *)(uintptr_t)opts->ca_file,
		.tls_server_name = (char *)(uintptr_t)opts->server_name,
	};
	struct kube_conn conn = {0};
	CURL *easy = kube_easy_new();
	bool plain = false;
	int r = check_url(url, &plain, err);

	/* Anyone on the node can listen on a free port of loopback and would be given the token. */
	if (!plain)
		config.token_file = (char *)(uintptr_t)opts->token_file;
	if (r == 0)
		r = kube_conn_init(&conn, &config, "memdiag", err);
	if (r == 0)
		r = transfer(&conn, easy, ret, err);
	kube_conn_done(&conn);
	curl_easy_cleanup(easy);
	if (r < 0)
		(void)err_wrap(err, "kubelet %s", opts->url);
	return r;
}
