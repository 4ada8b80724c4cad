/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoint of metrics on the running kernel: whole, within its ceilings, and gone when it is closed. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#include "base/mem.h"
#include "base/num.h"
#include "cmd/monitor.h"

static struct host host = HOST_INIT;

static int setup(void **state)
{
	const struct host_paths paths = {"/proc", "/sys/fs/cgroup"};

	(void)state;
	return host_open(&host, &paths, "n", NULL);
}

static int teardown(void **state)
{
	(void)state;
	host_close(&host);
	return 0;
}

static bool never_ready(void *arg)
{
	(void)arg;
	return false;
}

/* Sends request to the port and returns all that is answered; the caller frees it. */
static char *ask(unsigned int port, const char *request)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)port),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct buf answer = BUF_INIT((size_t)64 << 20);
	char chunk[65536];
	ssize_t n;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		assert_int_equal(buf_append(&answer, chunk, (size_t)n), 0);
	(void)close(fd);
	return buf_take(&answer);
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static void start(struct monitor *monitor, const char *address, uint64_t max_series)
{
	const struct monitor_args args = {.address = address, .max_series = max_series};
	const struct identity_opts identity = {.cri_socket = ""};
	struct err err = {0};

	memset(monitor, 0, sizeof(*monitor));
	if (monitor_open(monitor, &args, &host, &identity, never_ready, NULL, &err) < 0)
		fail_msg("%s", err.msg);
}

static int64_t value_of(const char *text, const char *series)
{
	_cleanup_free_ char *line = xasprintf("\n%s ", series);
	const char *at = strstr(text, line);

	if (!at)
		fail_msg("no %s in\n%s", series, text);
	return strtoll(at + strlen(line), NULL, 10);
}

/* The parts of the node's memory add up to its total, in the metrics as in the report. */
static void the_parts_add_up(void **state)
{
	struct monitor monitor;
	_cleanup_free_ char *text = NULL;
	int64_t sum = 0;

	(void)state;
	start(&monitor, "127.0.0.1:0", 0);
	text = ask(server_port(monitor.server), GET("/metrics"));
	assert_non_null(strstr(text, "HTTP/1.1 200"));
	assert_non_null(strstr(text, "text/plain; version=0.0.4"));
	for (const char *at = text; (at = strstr(at, "\nmemdiag_node_memory_bytes{")); at++)
		sum += strtoll(strchr(at, '}') + 1, NULL, 10);
	assert_true(sum > 0);
	assert_int_equal(sum, value_of(text, "memdiag_node_memory_total_bytes"));
	assert_int_equal(value_of(text, "memdiag_series_dropped"), 0);
	assert_true(value_of(text, "memdiag_node_memory_cgroups{state=\"live\"}") >= 1);
	monitor_close(&monitor);
}

static void other_requests_are_answered(void **state)
{
	static const struct {
		const char *request, *status;
	} cases[] = {
		{GET("/healthz"), "HTTP/1.1 200"},
		{GET("/readyz"), "HTTP/1.1 503"}, /* never_ready */
		{GET("/"), "HTTP/1.1 404"},
		{"DELETE /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		 "HTTP/1.1 405"},
		{"POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: "
		 "3\r\n\r\nabc",
		 "HTTP/1.1 405"},
		{"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		 "Accept: application/openmetrics-text;version=1.0.0\r\n\r\n",
		 "HTTP/1.1 200"},
		{"rubbish\r\n\r\n", ""},
	};
	struct monitor monitor;

	(void)state;
	start(&monitor, "[::1]:0", 0);
	monitor_close(&monitor);
	start(&monitor, ":0", 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *text = ask(server_port(monitor.server), cases[i].request);

		assert_memory_equal(text, cases[i].status, strlen(cases[i].status));
		if (strstr(cases[i].request, "openmetrics"))
			assert_string_equal(text + strlen(text) - 6, "# EOF\n");
	}
	monitor_close(&monitor);
}

static void *scrape(void *arg)
{
	char *text = ask(*(unsigned int *)arg, GET("/metrics"));
	bool whole = strstr(text, "\nmemdiag_series_dropped 0\n");

	free(text);
	return whole ? arg : NULL;
}

/* Many at once are served by one reading, or two where one was under way. */
static void many_scrapers_share_a_reading(void **state)
{
	enum { SCRAPERS = 24 };
	pthread_t threads[SCRAPERS];
	struct monitor monitor;
	unsigned int port;

	(void)state;
	start(&monitor, "127.0.0.1:0", 0);
	port = server_port(monitor.server);
	for (int i = 0; i < SCRAPERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, scrape, &port), 0);
	for (int i = 0; i < SCRAPERS; i++) {
		void *whole;

		assert_int_equal(pthread_join(threads[i], &whole), 0);
		assert_non_null(whole);
	}
	monitor_close(&monitor);
}

static void a_ceiling_cuts_and_tells(void **state)
{
	struct monitor monitor;
	_cleanup_free_ char *text = NULL;

	(void)state;
	start(&monitor, "127.0.0.1:0", 20);
	text = ask(server_port(monitor.server), GET("/metrics"));
	assert_true(value_of(text, "memdiag_series_dropped") > 0);
	/* What tells how the agent is comes before what may be cut. */
	assert_true(value_of(text, "memdiag_agent_resident_memory_bytes") > 0);
	monitor_close(&monitor);
}

static void bad_addresses_are_refused(void **state)
{
	static const char *const bad[] = {
		"",	     "9760",	  "127.0.0.1",	 "127.0.0.1:65536",
		"nowhere:1", "[::1:9760", "127.0.0.1:-1"};
	const struct identity_opts identity = {.cri_socket = ""};

	(void)state;
	for (size_t i = 1; i < ARRAY_SIZE(bad); i++) {
		const struct monitor_args args = {.address = bad[i]};
		struct monitor monitor = {0};
		struct err err = {0};

		assert_int_equal(monitor_open(&monitor, &args, &host, &identity, NULL, NULL, &err),
				 -EINVAL);
		assert_non_null(strstr(err.msg, "--metrics-address: "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_parts_add_up),
		cmocka_unit_test(other_requests_are_answered),
		cmocka_unit_test(many_scrapers_share_a_reading),
		cmocka_unit_test(a_ceiling_cuts_and_tells),
		cmocka_unit_test(bad_addresses_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
