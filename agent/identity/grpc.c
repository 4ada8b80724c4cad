/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/grpc.h"

#include <errno.h>
#include <string.h>

#include <curl/curl.h>

#include "base/mem.h"
#include "base/text.h"
#include "identity/grpc_frame.h"
#include "kube/conn.h"

enum {
	HEADERS_MAX = 256, /* lines, of any reply: containerd sends 5 */
	/*
	 * libcurl 7.88 reads up to 32 KiB of HTTP/2 at once; when they hold more DATA than this buffer, it forgets the rest until a
	 * timer of a second wakes it up: one list of 40 containers in eight, with the default of 16 KiB.
	 */
	CURL_BUFFER = 256 << 10,
};

/* What one try brought. */
struct transfer {
	const struct grpc_call *call;
	struct buf body; /* with prefix */
	struct grpc_status status;
	size_t n_headers;
	bool whole;
	int refused;	   /* why the body was given up: -errno; 0 */
	struct err reason; /* with refused */
	long connect_errno;
	char curl_error[CURL_ERROR_SIZE];
};

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;
	int r;

	if (buf_append(&t->body, data, size * n) < 0)
		r = err_say(&t->reason, EFBIG, "the reply has more than %zu bytes",
			    t->call->max_reply);
	else
		r = grpc_frame_check(t->body.data, t->body.len, t->call->max_reply, &t->reason);
	t->whole = r == 0;
	t->refused = r < 0 ? r : 0;
	return r < 0 ? 0 : size * n;
}

/* Headers, then trailers: a refusal without a body has its status in the headers. */
static size_t on_header(char *data, size_t size, size_t n, void *arg)
{
	struct transfer *t = arg;

	grpc_status_line(&t->status, data, size * n);
	if (++t->n_headers <= HEADERS_MAX)
		return size * n;
	t->refused = err_say(&t->reason, EPROTO, "the reply has no end of headers");
	return 0;
}

static void set_options(CURL *easy, const struct grpc_call *call, struct transfer *t,
			struct curl_slist **headers)
{
	_cleanup_free_ char *url = xasprintf("http://localhost/%s", call->method);

	curl_easy_setopt(easy, CURLOPT_URL, url);
	curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, call->socket);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http");
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	/* libcurl 7.88 fails with CURLE_HTTP2 when it reuses such a connection. */
	curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(easy, CURLOPT_PROXY, "");
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_USERAGENT, "memdiag");
	curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)CURL_BUFFER);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->curl_error);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(easy, CURLOPT_POST, 1L);
	kube_header_add(headers, "content-type: application/grpc");
	kube_header_add(headers, "te: trailers");
	kube_header_add(headers, "expect:");
	/* So that the server gives up as well. At most 8 digits, says the specification. */
	kube_header_add(headers, "grpc-timeout: %um", call->timeout_ms % 100000000);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, *headers);
}

static CURLcode transfer_run(const struct grpc_call *call, struct transfer *t)
{
	_cleanup_buf_ struct buf request = BUF_INIT(GRPC_PREFIX + call->request_len);
	uint8_t prefix[GRPC_PREFIX];
	struct curl_slist *headers = NULL;
	CURL *easy = kube_easy_new();
	CURLcode result = CURLE_OUT_OF_MEMORY;

	grpc_prefix_write(prefix, (uint32_t)call->request_len);
	set_options(easy, call, t, &headers);
	if (buf_append(&request, prefix, sizeof(prefix)) == 0 &&
	    buf_append(&request, call->request, call->request_len) == 0) {
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request.data);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, (long)request.len);
		result = curl_easy_perform(easy);
		curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &t->connect_errno);
	}
	curl_slist_free_all(headers);
	curl_easy_cleanup(easy);
	return result;
}

static int status_errno(int code)
{
	switch (code) {
	case GRPC_DEADLINE_EXCEEDED:
		return ETIMEDOUT;
	case GRPC_NOT_FOUND:
		return ENOENT;
	case GRPC_PERMISSION_DENIED:
	case GRPC_UNAUTHENTICATED:
		return EACCES;
	case GRPC_RESOURCE_EXHAUSTED:
		return EFBIG;
	case GRPC_UNIMPLEMENTED:
		return ENOSYS;
	case GRPC_UNAVAILABLE:
		return ECONNREFUSED;
	default:
		return EPROTO;
	}
}

/* The status decides when there is one: the transfer itself may end oddly after it (error 92 after a refusal). */
static int transfer_judge(const struct transfer *t, CURLcode result, struct err *err)
{
	_cleanup_free_ char *message = NULL;
	int code = t->status.code;

	if (t->refused < 0)
		return err_say(err, -t->refused, "%s", t->reason.msg);
	if (code != GRPC_STATUS_NONE && code != GRPC_OK) {
		message = text_plain(t->status.message, strlen(t->status.message));
		return err_say(err, status_errno(code), "%s (%d)%s%s", grpc_code_name(code), code,
			       *message ? ": " : "", message);
	}
	if (result == CURLE_OPERATION_TIMEDOUT)
		return err_say(err, ETIMEDOUT, "no answer within %u ms", t->call->timeout_ms);
	if (result == CURLE_COULDNT_CONNECT && t->connect_errno == EACCES)
		return err_set(err, EACCES, "cannot connect to %s", t->call->socket);
	if (result == CURLE_COULDNT_CONNECT)
		return err_say(err, ECONNREFUSED, "nobody listens on %s", t->call->socket);
	if (result != CURLE_OK)
		return err_say(err, EPROTO, "%s",
			       *t->curl_error ? t->curl_error : curl_easy_strerror(result));
	if (code == GRPC_STATUS_NONE)
		return err_say(err, EPROTO, "the reply has no grpc-status");
	if (!t->whole)
		return err_say(err, EPROTO, "the reply ends after %zu bytes", t->body.len);
	return 0;
}

/* One try. *ret_reset: the server reset the stream without a status. */
static int try_once(const struct grpc_call *call, bool *ret_reset, struct buf *ret, struct err *err)
{
	struct transfer t = {
		.call = call,
		.body = BUF_INIT(GRPC_PREFIX + call->max_reply),
		.status.code = GRPC_STATUS_NONE,
	};
	CURLcode result = transfer_run(call, &t);
	int r = transfer_judge(&t, result, err);

	*ret_reset = result == CURLE_HTTP2_STREAM && t.status.code == GRPC_STATUS_NONE;
	if (r < 0) {
		buf_done(&t.body);
		return r;
	}
	buf_consume(&t.body, GRPC_PREFIX);
	*ret = t.body;
	return 0;
}

int grpc_unary(const struct grpc_call *call, struct buf *ret, struct err *err)
{
	bool reset;
	int r = try_once(call, &reset, ret, err);

	/* grpc-go may reset the stream before its refusal of an unknown method is read; twice in a row it is one. */
	if (reset)
		r = try_once(call, &reset, ret, err);
	if (reset)
		r = err_say(err, ENOSYS, "the server reset the call: it does not know the method");
	if (r < 0)
		(void)err_wrap(err, "%s", call->method);
	return r;
}
