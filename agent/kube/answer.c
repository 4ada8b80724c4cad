/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/answer.h"

#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/text.h"
#include "kube/timing.h"

enum {
	ERROR_MAX = 1024,  /* bytes: a validation message names each bad field */
	EXCERPT_MAX = 160, /* bytes of a body that is no Status */
};

bool kube_body_add(struct kube_body *body, const void *data, size_t n)
{
	if (!body->over && buf_append(&body->buf, data, n) < 0)
		body->over = true;
	return !body->over;
}

void kube_answer_fail(struct kube_answer *answer, const char *fmt, ...)
{
	char text[ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	free(answer->error);
	answer->error = text_plain(text, strlen(text));
	text_shorten_end(answer->error, ERROR_MAX);
	answer->response.status = 0;
	answer->response.error = answer->error;
	answer->response.reason = "";
}

static bool is_html(const char *type, const char *text)
{
	text += strspn(text, " \t\r\n");
	return (type && strncasecmp(type, "text/html", 9) == 0) ||
	       strncasecmp(text, "<!doctype", 9) == 0 || strncasecmp(text, "<html", 5) == 0;
}

/*
 * A 2xx: JSON, or plain text as /healthz has it. Nothing is no answer: libcurl reports a connection that ends between status
 * line and body as a success, and an empty list is not what the server meant to say.
 */
static void read_success(struct kube_answer *a, const char *type, const char *text, size_t len)
{
	long status = a->response.status;
	struct err err = {0};

	if (len == 0) {
		if (status != 204)
			kube_answer_fail(a, "HTTP %ld without a body", status);
		return;
	}
	if (is_html(type, text)) {
		kube_answer_fail(
			a, "HTTP %ld with an HTML page instead of JSON: this is not the API server",
			status);
		return;
	}
	if (type && strncasecmp(type, "text/plain", 10) == 0)
		return;
	if (tree_parse_json(text, len, &a->tree, &err) < 0) {
		kube_answer_fail(a, "HTTP %ld with a broken body of %zu bytes: %s", status, len,
				 err.msg);
		return;
	}
	a->response.body = a->tree;
}

/* Anything else: a metav1.Status, or whatever a machine on the way has to say. */
static void read_failure(struct kube_answer *a, const char *type, const char *text, size_t len)
{
	_cleanup_free_ char *plain = NULL;
	const char *message = NULL;

	if (len > 0 && tree_parse_json(text, len, &a->tree, NULL) == 0) {
		a->response.body = a->tree;
		a->response.reason = tree_str_or_empty(a->tree, "reason");
		message = tree_str(a->tree, "message");
	}
	if (message && *message) {
		a->error = text_plain(message, strlen(message));
		text_shorten_end(a->error, ERROR_MAX);
	} else if (len == 0) {
		a->error = xasprintf("HTTP %ld without a body", a->response.status);
	} else if (is_html(type, text)) {
		a->error = xasprintf("HTTP %ld with an HTML page: not from the API server",
				     a->response.status);
	} else {
		plain = text_plain(text, strcspn(text, "\r\n"));
		text_shorten_end(plain, EXCERPT_MAX);
		a->error = xasprintf("HTTP %ld: %s", a->response.status, plain);
	}
	a->response.error = a->error;
}

void kube_answer_make(struct kube_answer *answer, long status, const char *type,
		      const struct kube_body *body)
{
	const char *text = body->buf.data ? body->buf.data : "";

	memset(answer, 0, sizeof(*answer));
	answer->response = (struct kube_response){.status = status, .error = "", .reason = ""};
	if (body->over) {
		kube_answer_fail(answer, "HTTP %ld with a body of more than %zu bytes", status,
				 body->buf.max);
		answer->response.too_large = true;
	} else if (status >= 200 && status < 300) {
		read_success(answer, type, text, body->buf.len);
	} else {
		read_failure(answer, type, text, body->buf.len);
	}
}

void kube_answer_read(struct kube_answer *answer, CURL *easy, CURLcode result,
		      const char *curl_error, const struct kube_body *body)
{
	curl_off_t retry_after = 0;
	const char *type = NULL;
	long status = 0;

	if (result != CURLE_OK && !body->over) {
		memset(answer, 0, sizeof(*answer));
		kube_answer_fail(answer, "%s",
				 *curl_error ? curl_error : curl_easy_strerror(result));
		return;
	}
	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
	curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &retry_after);
	kube_answer_make(answer, status, type, body);
	if (retry_after > 0) {
		uint64_t ms = (uint64_t)retry_after * 1000, max = kube_timing.retry_after_max_ms;

		answer->response.retry_after_ms =
			ms / 1000 == (uint64_t)retry_after && ms < max ? ms : max;
	}
}

void kube_answer_done(struct kube_answer *answer)
{
	cJSON_Delete(answer->tree);
	free(answer->error);
	memset(answer, 0, sizeof(*answer));
}
