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
#include "support/bpf_seen.h"

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

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static const struct monitor_probes neither = {.ready = never, .alive = never};
static struct monitor_probes probes = {.ready = never};

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

static void start_with(struct monitor *monitor, const struct monitor_args *args)
{
	const struct identity_opts identity = {.cri_socket = ""};
	struct err err = {0};

	memset(monitor, 0, sizeof(*monitor));
	if (monitor_open(monitor, args, &host, &identity, &probes, &err) < 0)
		fail_msg("%s", err.msg);
}

static void start(struct monitor *monitor, const char *address, uint64_t max_series)
{
	const struct monitor_args args = {.address = address, .max_series = max_series};

	start_with(monitor, &args);
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

/* A file of /proc; the caller frees it. */
static char *proc_text(const char *file)
{
	struct buf text = BUF_INIT(ROOT_FILE_MAX);

	assert_int_equal(root_read(&host.proc, file, &text, NULL), 0);
	return buf_take(&text);
}

static void assert_between(const char *what, int64_t value, int64_t low, int64_t high)
{
	if (value < low || value > high)
		fail_msg("%s: %lld is not in %lld to %lld", what, (long long)value, (long long)low,
			 (long long)high);
}

/* Of all series that begin with this. */
static int64_t sum_of(const char *text, const char *prefix)
{
	_cleanup_free_ char *line = xasprintf("\n%s", prefix);
	int64_t sum = 0;

	for (const char *at = text; (at = strstr(at, line)); at++)
		sum += strtoll(strchr(at, '}') + 1, NULL, 10);
	return sum;
}

/* The kernel's own text before and after the scrape has what is between. */
static void compare_vmstat(const char *text, const char *before, const char *after)
{
	static const char *const keys[] = {"pgfault", "pgmajfault", "pgscan_kswapd", "oom_kill",
					   "compact_stall"};

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		_cleanup_free_ char *series = xasprintf("sysom_proc_vmstat{type=\"%s\"}", keys[i]);

		assert_between(keys[i], value_of(text, series), value_of(before, keys[i]),
			       value_of(after, keys[i]));
	}
}

static int by_value(const void *pa, const void *pb)
{
	const int64_t *a = pa, *b = pb;

	return *a < *b ? -1 : *a > *b;
}

/* The load moves every 5 s; a scrape between two looks has one of the two. */
static void compare_loadavg(const char *text, const char *before, const char *after)
{
	static const char *const types[] = {"load1", "load5", "load15"};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		_cleanup_free_ char *series =
			xasprintf("sysom_proc_loadavg{type=\"%s\"}", types[i]);
		char *ends[] = {(char *)before, (char *)after};
		int64_t seen[2];

		for (int k = 0; k < 2; k++) {
			for (size_t skip = 0; skip < i; skip++)
				ends[k] = strchr(ends[k], ' ') + 1;
			seen[k] = strtoll(ends[k], &ends[k], 10) * 100;
			seen[k] += strtoll(ends[k] + 1, NULL, 10);
		}
		qsort(seen, 2, sizeof(*seen), by_value);
		assert_between(types[i], value_of(text, series), seen[0], seen[1]);
	}
	assert_true(value_of(text, "sysom_proc_loadavg{type=\"plit\"}") > 1);
}

/* Free blocks make the free memory, but for the pages that CPUs keep and what moves meanwhile. */
static void compare_buddyinfo(const char *text, const char *buddyinfo)
{
	int64_t pages = 0, page_kib = sysconf(_SC_PAGESIZE) / 1024, n = 0, columns = 0;
	int64_t free_kib = value_of(text, "sysom_proc_meminfo{type=\"MemFree\"}");

	for (const char *at = text; (at = strstr(at, "\nsysom_proc_buddyinfo{")); at++)
		pages += strtoll(strchr(at, '}') + 1, NULL, 10) << n++;
	for (const char *at = strstr(buddyinfo, "zone ") + 5; *at && *at != '\n'; at++)
		columns += *at == ' ' && at[1] >= '0' && at[1] <= '9';
	assert_int_equal(n, columns);
	assert_between("free KiB by order", pages * page_kib, free_kib * 9 / 10 - 65536,
		       free_kib * 11 / 10 + 65536);
}

/* The original exporter's names, against /proc and against our own of the same scrape. */
static void sysoms_names_are_true(void **state)
{
	const struct monitor_args args = {.address = "127.0.0.1:0", .compat_sysom = true};
	_cleanup_free_ char *vmstat = NULL, *vmstat_after = NULL, *load = NULL, *load_after = NULL,
			    *buddyinfo = NULL, *text = NULL;
	struct monitor monitor;
	double shares = 0;

	(void)state;
	start_with(&monitor, &args);
	vmstat = proc_text("vmstat");
	load = proc_text("loadavg");
	text = ask(server_port(monitor.server), GET("/metrics"));
	buddyinfo = proc_text("buddyinfo");
	load_after = proc_text("loadavg");
	vmstat_after = proc_text("vmstat");
	compare_vmstat(text, vmstat, vmstat_after);
	compare_loadavg(text, load, load_after);
	compare_buddyinfo(text, buddyinfo);
	assert_int_equal(value_of(text, "sysom_proc_meminfo{type=\"total\"}") * 1024,
			 value_of(text, "memdiag_node_memory_total_bytes"));
	assert_int_equal(value_of(text, "sysom_proc_meminfo{type=\"MemAvailable\"}") * 1024,
			 value_of(text, "memdiag_node_memory_available_bytes"));
	assert_int_equal(value_of(text, "sysom_proc_vmstat{type=\"pgscan_kswapd\"}"),
			 value_of(text, "memdiag_node_pages_scanned_kswapd_total"));
	for (const char *at = text; (at = strstr(at, "\nsysom_proc_cpu_total{")); at++)
		shares += strstr(at, "\"guest") == strchr(at, '"')
				  ? 0
				  : strtod(strchr(at, '}') + 1, NULL);
	assert_true(shares > 99.9 && shares <= 100);
	if (value_of(text, "memdiag_capture_attached{capture=\"run_queue\"}"))
		assert_int_equal(sum_of(text, "sysom_cpu_dist{"),
				 sum_of(text, "memdiag_node_run_queue_wait_seconds_count{"));
	if (value_of(text, "memdiag_capture_attached{capture=\"stalls\"}"))
		assert_int_equal(sum_of(text, "sched_moni_jitter{mod=\"noschd\",type=\"dltnum\""),
				 sum_of(text, "memdiag_node_scheduling_stall_seconds_count{cause="
					      "\"no-schedule\""));
	assert_int_equal(value_of(text, "memdiag_series_dropped"), 0);
	monitor_close(&monitor);
}

/* Only what is to be observed is attached, and a family of the others is not there. */
static void captures_can_be_left_out(void **state)
{
	const struct monitor_args args = {
		.address = "127.0.0.1:0",
		.captures_off = 1U << CAPTURE_RUN_QUEUE | 1U << CAPTURE_STALLS,
	};
	static const char *const theirs[] = {"on_switch", "on_tick", "on_clock", NULL};
	_cleanup_free_ char *text = NULL;
	struct monitor monitor;

	(void)state;
	start_with(&monitor, &args);
	text = ask(server_port(monitor.server), GET("/metrics"));
	assert_int_equal(value_of(text, "memdiag_capture_attached{capture=\"reclaim\"}"), 1);
	assert_int_equal(value_of(text, "memdiag_capture_attached{capture=\"run_queue\"}"), 0);
	assert_int_equal(value_of(text, "memdiag_capture_attached{capture=\"stalls\"}"), 0);
	assert_non_null(strstr(text, "\nmemdiag_node_direct_reclaim_seconds"));
	assert_null(strstr(text, "\nmemdiag_node_run_queue_wait_seconds_count"));
	assert_int_equal(bpf_seen(theirs), 0);
	monitor_close(&monitor);
}

static void other_requests_are_answered(void **state)
{
	static const struct {
		const char *request, *status;
	} cases[] = {
		{GET("/healthz"), "HTTP/1.1 200"},
		{GET("/readyz"), "HTTP/1.1 503"}, /* never */
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

static void a_hung_agent_asks_for_a_restart(void **state)
{
	_cleanup_free_ char *text = NULL;
	struct monitor monitor;

	(void)state;
	probes = neither;
	start(&monitor, ":0", 0);
	text = ask(server_port(monitor.server), GET("/healthz"));
	assert_non_null(strstr(text, "HTTP/1.1 503"));
	assert_non_null(strstr(text, "hangs"));
	monitor_close(&monitor);
	probes.alive = NULL;
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

		assert_int_equal(monitor_open(&monitor, &args, &host, &identity,
					      &(struct monitor_probes){0}, &err),
				 -EINVAL);
		assert_non_null(strstr(err.msg, "--metrics-address: "));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_parts_add_up),
		cmocka_unit_test(sysoms_names_are_true),
		cmocka_unit_test(captures_can_be_left_out),
		cmocka_unit_test(other_requests_are_answered),
		cmocka_unit_test(a_hung_agent_asks_for_a_restart),
		cmocka_unit_test(many_scrapers_share_a_reading),
		cmocka_unit_test(a_ceiling_cuts_and_tells),
		cmocka_unit_test(bad_addresses_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
