/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "identity/kubelet.h"
#include "identity/kubelet_internal.h"
#include "support/http.h"

/* A call that takes this long hangs: no time limit here is above it. */
#define HANGS_NS (30 * NSEC_PER_SEC)

#define POD_LIST                                                       \
	"{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{}," \
	"\"items\":[{\"metadata\":{\"name\":\"web-0\"}}]}"

static struct http_server *server;
static char *url;
static struct kubelet_opts opts;
static struct err err;
static cJSON *pods;

static int setup(void **state)
{
	(void)state;
	server = http_server_new(0);
	url = xasprintf("http://127.0.0.1:%d", http_server_port(server));
	opts = (struct kubelet_opts){.url = url};
	err = (struct err){0};
	kubelet_timeout_ms = 10000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	http_server_free(server);
	cJSON_Delete(pods);
	pods = NULL;
	free(url);
	kubelet_timeout_ms = KUBELET_TIMEOUT_MS;
	return 0;
}

static void assert_says(const char *text)
{
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" is not in \"%s\"", text, err.msg);
}

/* One call that must fail: nothing comes back, and the text begins with who it was. */
static void refused(int result, const char *says)
{
	int r = kubelet_read_pods(&opts, &pods, &err);

	if (r != result)
		fail_msg("%d instead of %d: %s", r, result, r < 0 ? err.msg : "");
	assert_null(pods);
	assert_int_equal(err.code, -result);
	assert_memory_equal(err.msg, "kubelet ", 8);
	assert_says(opts.url);
	assert_says(says);
}

static void test_list(void **state)
{
	const cJSON *items;

	(void)state;
	http_say_json(server, "200 OK", POD_LIST);
	assert_int_equal(kubelet_read_pods(&opts, &pods, &err), 0);
	items = tree_get(pods, "items");
	assert_int_equal(cJSON_GetArraySize(items), 1);
	assert_string_equal(tree_str(cJSON_GetArrayItem(items, 0), "metadata.name"), "web-0");
	assert_memory_equal(http_request(server, 0), "GET /pods HTTP/1.1\r\n", 20);
	assert_null(strstr(http_request(server, 0), "Authorization"));
}

/* As Go writes an empty list. */
static void test_no_pods(void **state)
{
	_cleanup_free_ char *slashes = xasprintf("%s///", url);

	(void)state;
	opts.url = slashes;
	http_say_json(server, "200 OK",
		      "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"items\":null}");
	assert_int_equal(kubelet_read_pods(&opts, &pods, &err), 0);
	assert_memory_equal(http_request(server, 0), "GET /pods HTTP/1.1\r\n", 20);
}

static void test_refusals(void **state)
{
	(void)state;
	http_say(server, HTTP_KEEP,
		 "HTTP/1.1 401 Unauthorized\r\nContent-Length: 12\r\n\r\nUnauthorized");
	http_say(server, HTTP_KEEP,
		 "HTTP/1.1 403 Forbidden\r\nContent-Length: 35\r\n\r\n"
		 "Forbidden (user=x,\x1bverb=get)\nmore\n\n");
	http_say(server, HTTP_KEEP,
		 "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n");
	http_say(server, HTTP_KEEP, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
	refused(-EACCES, "HTTP 401: Unauthorized");
	refused(-EACCES, "HTTP 403: Forbidden (user=x,\\x1bverb=get)");
	refused(-EPROTO, "HTTP 500");
	refused(-EPROTO, "HTTP 404");
}

static void test_redirect(void **state)
{
	(void)state;
	http_say(server, HTTP_KEEP,
		 "HTTP/1.1 302 Found\r\nLocation: %s/elsewhere\r\nContent-Length: 0\r\n\r\n", url);
	http_say_json(server, "200 OK", POD_LIST);
	refused(-EPROTO, "HTTP 302: redirects are not followed");
	assert_int_equal(http_requests(server), 1);
}

static void test_other_bodies(void **state)
{
	static const char *const bodies[] = {
		"",
		"<!DOCTYPE html><html>login</html>",
		"{}",
		"[]",
		"{\"kind\":\"PodList\",\"items\":{}}",
		"{\"kind\":\"PodList\",\"items\":7}",
		"{\"kind\":\"NodeList\",\"items\":[]}",
		"{\"Kind\":\"PodList\",\"items\":[]}",
		POD_LIST POD_LIST,
		"{\"kind\":\"PodList\",\"items\":[\"\xff\"]}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++)
		http_say_json(server, "200 OK", bodies[i]);
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++)
		refused(-EPROTO, "PodList");
}

/* Cut at every byte: in its length, and on the way. */
static void test_truncated(void **state)
{
	(void)state;
	for (size_t n = 0; n < strlen(POD_LIST); n++) {
		_cleanup_free_ char *part = xstrndup(POD_LIST, n);

		http_server_free(server);
		free(url);
		assert_int_equal(setup(NULL), 0);
		http_say_json(server, "200 OK", part);
		http_say(server, HTTP_CLOSE, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
			 strlen(POD_LIST), part);
		refused(-EPROTO, "");
		refused(-EPROTO, "");
	}
}

static void test_too_large(void **state)
{
	size_t n = KUBELET_MAX_REPLY + 2;
	_cleanup_free_ char *body = xmalloc(n);

	(void)state;
	memset(body, ' ', n);
	body[n - 1] = '\0';
	http_say_json(server, "200 OK", body);
	refused(-EFBIG, "more than 33554432 bytes");
}

static void test_never_answers(void **state)
{
	uint64_t start = clock_mono_ns();

	(void)state;
	kubelet_timeout_ms = 100;
	http_say(server, HTTP_HANG, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{");
	refused(-ETIMEDOUT, "");
	refused(-ETIMEDOUT, "");
	assert_true(clock_mono_ns() - start < HANGS_NS);
}

static void test_nobody_listens(void **state)
{
	(void)state;
	http_server_free(server);
	refused(-ECONNREFUSED, "");
	server = http_server_new(0);
}

static void test_urls(void **state)
{
	static const struct {
		const char *url, *says;
	} rows[] = {
		{"http://192.0.2.1:10255", "http is for loopback only"},
		{"http://127.0.0.1@192.0.2.1:10255", "http is for loopback only"},
		{"http://localhost.example:10255", "http is for loopback only"},
		{"http://[::2]:10255", "http is for loopback only"},
		{"http://1270.0.0.1", "http is for loopback only"},
		{"ftp://127.0.0.1/", "https://"},
		{"file:///etc/passwd", ""},
		{"127.0.0.1:10250", "no URL"},
		{"", "no URL"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		opts.url = rows[i].url;
		refused(-EINVAL, rows[i].says);
	}
}

static void test_servers(void **state)
{
	static const struct {
		const char *url, *server;
	} rows[] = {
		{"https://192.0.2.1:10250/", "https://192.0.2.1:10250"},
		{"https://[fd00::1]:10250", "https://[fd00::1]:10250"},
		{"https://fd00::1:10250", "https://[fd00::1]:10250"},
		{"https://fd00:1:2:3:4:5:6:7:10250//", "https://[fd00:1:2:3:4:5:6:7]:10250"},
		{"https://node-1:10250", "https://node-1:10250"},
		{"https://a:b@node-1:10250", "https://a:b@node-1:10250"},
		{"https://node-1", "https://node-1"},
		{"fd00::1:10250", "[fd00::1]:10250"},
		{"", ""},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *found = kubelet_server(rows[i].url);

		assert_string_equal(found, rows[i].server);
	}
}

/* --- TLS: openssl(1) serves ------------------------------------------------------------------------------------------- */

static struct {
	char folder[32];
	char *ca, *other_ca, *token;
	pid_t pid;
	int to, from; /* the server's standard input and output */
	char *url;
} tls = {.folder = "/tmp/memdiag-kubelet-XXXXXX"};

static void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *fmt, ...)
{
	char *line;
	va_list ap;

	va_start(ap, fmt);
	assert_true(vasprintf(&line, fmt, ap) > 0);
	va_end(ap);
	if (system(line) != 0)
		fail_msg("%s", line);
	free(line);
}

/* Two authorities, and the first one's certificate for 127.0.0.1 and node-1. */
static int make_certificates(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(tls.folder));
	for (int i = 0; i < 2; i++)
		shell("cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 "
		      "-nodes "
		      "-subj /CN=ca%d -days 2 -keyout ca%d.key -out ca%d.crt 2>log",
		      tls.folder, i, i, i);
	shell("cd %s && openssl req -x509 -CA ca0.crt -CAkey ca0.key -newkey ec "
	      "-pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=node-1 -days 2 "
	      "-addext subjectAltName=IP:127.0.0.1,DNS:node-1 -keyout server.key -out server.crt "
	      "2>log",
	      tls.folder);
	shell("echo secret-token > %s/token", tls.folder);
	tls.ca = xasprintf("%s/ca0.crt", tls.folder);
	tls.other_ca = xasprintf("%s/ca1.crt", tls.folder);
	tls.token = xasprintf("%s/token", tls.folder);
	return 0;
}

static int remove_certificates(void **state)
{
	(void)state;
	shell("rm -r %s", tls.folder);
	free(tls.ca);
	free(tls.other_ca);
	free(tls.token);
	return 0;
}

/* What the server prints until this text has come, or to its end. The caller frees it. */
static char *tls_read_until(const char *text)
{
	struct buf out = BUF_INIT(1 << 20);
	char part[4096];
	ssize_t n;

	while ((!out.data || !strstr(out.data, text)) &&
	       (n = read(tls.from, part, sizeof(part))) > 0)
		assert_int_equal(buf_append(&out, part, (size_t)n), 0);
	return buf_take(&out);
}

static int tls_setup(void **state)
{
	_cleanup_free_ char *text = NULL, *cert = xasprintf("%s/server.crt", tls.folder),
			    *key = xasprintf("%s/server.key", tls.folder);
	int in[2], out[2];
	const char *port;

	(void)state;
	assert_int_equal(setup(NULL), 0);
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	tls.pid = fork();
	if (tls.pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		close(in[1]);
		close(out[0]);
		execlp("openssl", "openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", cert,
		       "-key", key, NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	tls.to = in[1];
	tls.from = out[0];
	text = tls_read_until("ACCEPT 127.0.0.1:");
	port = strstr(text, "ACCEPT 127.0.0.1:");
	assert_non_null(port);
	port += strlen("ACCEPT 127.0.0.1:");
	tls.url = xasprintf("https://127.0.0.1:%.*s", (int)strspn(port, "0123456789"), port);
	opts = (struct kubelet_opts){.url = tls.url, .ca_file = tls.ca, .token_file = tls.token};
	return 0;
}

static int tls_teardown(void **state)
{
	(void)kill(tls.pid, SIGKILL);
	(void)waitpid(tls.pid, NULL, 0);
	close(tls.to);
	close(tls.from);
	free(tls.url);
	return teardown(state);
}

/* s_server sends what comes from its standard input once a client is there. */
static void tls_say(const char *body)
{
	_cleanup_free_ char *reply =
		xasprintf("HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);

	assert_int_equal(write(tls.to, reply, strlen(reply)), strlen(reply));
}

static void test_tls(void **state)
{
	_cleanup_free_ char *request = NULL;

	(void)state;
	tls_say(POD_LIST);
	if (kubelet_read_pods(&opts, &pods, &err) < 0)
		fail_msg("%s", err.msg);
	request = tls_read_until("\r\n\r\n");
	assert_non_null(strstr(request, "GET /pods HTTP/1.1\r\n"));
	assert_non_null(strstr(request, "Authorization: Bearer secret-token\r\n"));
}

static void test_server_name(void **state)
{
	_cleanup_free_ char *request = NULL;

	(void)state;
	opts.server_name = "node-1";
	tls_say(POD_LIST);
	if (kubelet_read_pods(&opts, &pods, &err) < 0)
		fail_msg("%s", err.msg);
	request = tls_read_until("\r\n\r\n");
	assert_non_null(strstr(request, "GET /pods HTTP/1.1\r\n"));
}

/* None of these may get as far as sending the token. */
static void test_certificates(void **state)
{
	_cleanup_free_ char *printed = NULL;

	(void)state;
	opts.ca_file = tls.other_ca;
	refused(-EKEYREJECTED, "certificate");
	opts.ca_file = NULL;
	refused(-EKEYREJECTED, "certificate");
	opts.ca_file = tls.token; /* no certificate in it */
	refused(-EKEYREJECTED, "");
	opts.ca_file = "/nonexistent";
	refused(-EKEYREJECTED, "");
	opts.ca_file = tls.ca;
	opts.server_name = "node-2";
	refused(-EKEYREJECTED, "node-2");
	(void)kill(tls.pid, SIGTERM);
	printed = tls_read_until("\r\n\r\n");
	assert_null(strstr(printed, "GET"));
	assert_null(strstr(printed, "secret-token"));
}

static void test_token_file(void **state)
{
	(void)state;
	opts.token_file = "/nonexistent/token";
	refused(-ENOENT, "/nonexistent/token");
	opts.token_file = "/dev/null";
	refused(-EINVAL, "/dev/null is empty");
	opts.token_file = tls.ca; /* more than one line */
	refused(-EINVAL, "holds no token");
}

#define TEST(f)	    cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST_TLS(f) cmocka_unit_test_setup_teardown(f, tls_setup, tls_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_list),
		TEST(test_no_pods),
		TEST(test_refusals),
		TEST(test_redirect),
		TEST(test_other_bodies),
		TEST(test_truncated),
		TEST(test_too_large),
		TEST(test_never_answers),
		TEST(test_nobody_listens),
		TEST(test_urls),
		TEST(test_servers),
		TEST_TLS(test_tls),
		TEST_TLS(test_server_name),
		TEST_TLS(test_certificates),
		TEST_TLS(test_token_file),
	};

	tree_init();
	return cmocka_run_group_tests(tests, make_certificates, remove_certificates);
}
