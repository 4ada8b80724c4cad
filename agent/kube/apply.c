/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "kube/client.h"

/* The UTF-8 sequence at s that YAML refuses or changes although JSON allows it: its length and code point; 0: none. */
static size_t refused_by_yaml(const unsigned char *s, unsigned int *code)
{
	if (s[0] == 0x7f) {
		*code = 0x7f;
		return 1;
	}
	if (s[0] == 0xc2 && s[1] >= 0x80 && s[1] <= 0x9f) {
		*code = s[1];
		return 2;
	}
	if (s[0] == 0xef && s[1] == 0xbf && (s[2] == 0xbe || s[2] == 0xbf)) {
		*code = 0xff00 | (s[2] == 0xbe ? 0xfe : 0xff);
		return 3;
	}
	return 0;
}

/*
 * The server parses an apply body as YAML. In JSON these characters occur within strings alone, so escaping them wherever
 * they are is enough. The caller frees the result.
 */
static char *apply_body(const cJSON *object)
{
	_cleanup_free_ char *json = tree_print_json(object, false);
	struct buf out = BUF_INIT(SIZE_MAX / 8);
	const char *plain = json;
	const char *s;

	for (s = json; *s; s++) {
		unsigned int code = 0;
		size_t n = refused_by_yaml((const unsigned char *)s, &code);

		if (n == 0)
			continue;
		(void)!buf_append(&out, plain, (size_t)(s - plain));
		(void)buf_printf(&out, "\\u%04x", code);
		plain = s + n;
		s = plain - 1;
	}
	(void)!buf_append(&out, plain, (size_t)(s - plain));
	return buf_take(&out);
}

struct kube_request *kube_apply(struct kube_client *client, const char *path, const char *manager,
				const cJSON *object, kube_response_fn done, void *arg)
{
	char *escaped = curl_easy_escape(NULL, manager, 0);
	_cleanup_free_ char *url = xasprintf("%s%cfieldManager=%s&force=true", path,
					     strchr(path, '?') ? '&' : '?', escaped ? escaped : "");
	_cleanup_free_ char *body = apply_body(object);
	const struct kube_request_opts opts = {
		.method = "PATCH",
		.path = url,
		.content_type = "application/apply-patch+yaml",
		.body = body,
	};

	curl_free(escaped);
	return kube_request(client, &opts, done, arg);
}
