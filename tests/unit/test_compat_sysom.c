/* SPDX-License-Identifier: Apache-2.0 */
/* The original exporter's names, made of files and histograms that are written here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "export/families.h"
#include "support/folder.h"

#define MS 1000000ULL

static char *dir;
static struct host host;
static struct reading reading;
static struct exposition e;
static struct pod_cgroup item = {
	.cgroup_id = 7,
	.cgroup = "/pod1/c1",
	.name.container_id = "c1",
	.ns = "shop",
	.pod = "web-0",
	.container = "app",
};
static struct pods pods = {.items = &item, .n = 1};

static int setup(void **state)
{
	(void)state;
	dir = folder_new();
	folder_put(dir, "proc/none", "");
	folder_put(dir, "cgroup/none", "");
	host = (struct host)HOST_INIT;
	reading = (struct reading){.host = &host, .pods = &pods};
	exposition_init(&e, 1000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	reading_end(&reading);
	exposition_done(&e);
	host_close(&host);
	return folder_teardown((void **)&dir);
}

/* Once all files are there. */
static void begin(void)
{
	_cleanup_free_ char *proc = xasprintf("%s/proc", dir),
			    *cgroup = xasprintf("%s/cgroup", dir);

	assert_int_equal(root_open(&host.proc, proc, NULL), 0);
	assert_int_equal(cgroupfs_open(&host.cgroups, cgroup, NULL), 0);
	reading_begin(&reading);
	reading.live_cgroups = 3;
	reading.dying_cgroups = 2;
}

/* What a family is, from its type to the next family. */
static char *family(const char *name)
{
	_cleanup_free_ char *type = xasprintf("# TYPE %s ", name);
	const char *at = e.text.data ? strstr(e.text.data, type) : NULL, *end;

	if (!at)
		return xstrdup("(none)");
	at += strlen("# TYPE ");
	end = strstr(at, "# HELP ");
	return end ? xstrndup(at, (size_t)(end - at)) : xstrdup(at);
}

static void assert_family(const char *name, const char *expected)
{
	_cleanup_free_ char *found = family(name);

	assert_string_equal(found, expected);
}

/* --- the node --------------------------------------------------------------------------------------------------------- */

static void the_nodes_memory(void **state)
{
	_cleanup_free_ char *meminfo = NULL;

	(void)state;
	folder_put(dir, "proc/meminfo",
		   "MemTotal: 1000 kB\nMemFree: 200 kB\nMemAvailable: 400 kB\n"
		   "Buffers: 10 kB\nCached: 100 kB\nAnonPages: 300 kB\nShmem: 30 kB\n"
		   "Mlocked: 5 kB\nSlab: 50 kB\nSReclaimable: 20 kB\n"
		   "SUnreclaim: 30 kB\nKernelStack: 4 kB\nPageTables: 6 kB\n"
		   "VmallocUsed: 40 kB\n");
	folder_put(dir, "proc/vmstat",
		   "pgfault 11\npgscan_direct 12\nthp_split_page 13\nother 14\n");
	folder_put(dir, "proc/buddyinfo",
		   "Node 0, zone    DMA32      1      0      2 \n"
		   "Node 0, zone   Normal     10     20      0 \n");
	begin();
	export_sysom(&reading, &e);
	meminfo = family("sysom_proc_meminfo");
	*strstr(meminfo, "sysom_proc_meminfo{type=\"MemAvailable\"}") = '\0';
	assert_string_equal(meminfo, "sysom_proc_meminfo gauge\n"
				     "sysom_proc_meminfo{type=\"user_anon\"} 300\n"
				     "sysom_proc_meminfo{type=\"user_filecache\"} 70\n"
				     "sysom_proc_meminfo{type=\"user_buffers\"} 10\n"
				     "sysom_proc_meminfo{type=\"user_mlock\"} 5\n"
				     "sysom_proc_meminfo{type=\"user_shmem\"} 30\n"
				     "sysom_proc_meminfo{type=\"user_used\"} 410\n"
				     "sysom_proc_meminfo{type=\"kernel_used\"} 390\n"
				     "sysom_proc_meminfo{type=\"alloc_page\"} 290\n"
				     "sysom_proc_meminfo{type=\"total\"} 1000\n"
				     "sysom_proc_meminfo{type=\"MemFree\"} 200\n");
	assert_family("sysom_proc_vmstat", "sysom_proc_vmstat counter\n"
					   "sysom_proc_vmstat{type=\"pgscan_direct\"} 12\n"
					   "sysom_proc_vmstat{type=\"pgfault\"} 11\n"
					   "sysom_proc_vmstat{type=\"thp_split_page\"} 13\n");
	assert_family("sysom_proc_buddyinfo", "sysom_proc_buddyinfo gauge\n"
					      "sysom_proc_buddyinfo{type=\"buddyinfo0\"} 11\n"
					      "sysom_proc_buddyinfo{type=\"buddyinfo1\"} 20\n"
					      "sysom_proc_buddyinfo{type=\"buddyinfo2\"} 2\n");
	assert_family("sysom_cgroups", "sysom_cgroups gauge\nsysom_cgroups{type=\"memory\"} 5\n");
}

static void the_nodes_cpus(void **state)
{
	(void)state;
	folder_put(dir, "proc/loadavg", "1.75 0.05 12.00 4/128 22224\n");
	folder_put(dir, "proc/schedstat", "version 15\ncpu0 0 0 0 0 0 0 500 600 7\n");
	folder_put(dir, "proc/stat", "cpu  50 10 30 100 5 0 3 2 40 0\ncpu0 1 2 3\n");
	begin();
	export_sysom(&reading, &e);
	assert_family("sysom_proc_loadavg", "sysom_proc_loadavg gauge\n"
					    "sysom_proc_loadavg{type=\"load1\"} 175\n"
					    "sysom_proc_loadavg{type=\"load5\"} 5\n"
					    "sysom_proc_loadavg{type=\"load15\"} 1200\n"
					    "sysom_proc_loadavg{type=\"runq\"} 3\n"
					    "sysom_proc_loadavg{type=\"plit\"} 128\n");
	assert_family("sysom_proc_schedstat",
		      "sysom_proc_schedstat counter\n"
		      "sysom_proc_schedstat{cpu=\"cpu0\",type=\"delay\"} 600\n"
		      "sysom_proc_schedstat{cpu=\"cpu0\",type=\"pcount\"} 7\n");
	/* Of 200 ticks since boot; a guest's are the user's. */
	assert_family("sysom_proc_cpu_total", "sysom_proc_cpu_total gauge\n"
					      "sysom_proc_cpu_total{mode=\"user\"} 25.000\n"
					      "sysom_proc_cpu_total{mode=\"nice\"} 5.000\n"
					      "sysom_proc_cpu_total{mode=\"sys\"} 15.000\n"
					      "sysom_proc_cpu_total{mode=\"idle\"} 50.000\n"
					      "sysom_proc_cpu_total{mode=\"iowait\"} 2.500\n"
					      "sysom_proc_cpu_total{mode=\"hardirq\"} 0.000\n"
					      "sysom_proc_cpu_total{mode=\"softirq\"} 1.500\n"
					      "sysom_proc_cpu_total{mode=\"steal\"} 1.000\n"
					      "sysom_proc_cpu_total{mode=\"guest\"} 20.000\n"
					      "sysom_proc_cpu_total{mode=\"guestnice\"} 0.000\n");
}

/* A share is of the time since the scrape before; what went back counts as nothing. */
static void shares_are_since_the_scrape_before(void **state)
{
	_cleanup_free_ char *found = NULL;

	(void)state;
	folder_put(dir, "proc/stat", "cpu  50 10 30 100 5 0 3 2 40 0\n");
	begin();
	export_sysom(&reading, &e);
	folder_put(dir, "proc/stat", "cpu  51 10 30 102 4 0 3 2 40 0\n");
	exposition_done(&e);
	exposition_init(&e, 1000);
	export_sysom(&reading, &e);
	found = family("sysom_proc_cpu_total");
	assert_non_null(strstr(found, "{mode=\"user\"} 33.333\n"));
	assert_non_null(strstr(found, "{mode=\"idle\"} 66.666\n"));
	assert_non_null(strstr(found, "{mode=\"iowait\"} 0.000\n"));
	/* No time went by. */
	exposition_done(&e);
	exposition_init(&e, 1000);
	export_sysom(&reading, &e);
	assert_family("sysom_proc_cpu_total", "(none)");
}

static void what_cannot_be_read_is_left_out(void **state)
{
	static const char *const names[] = {
		"sysom_proc_meminfo", "sysom_proc_vmstat",    "sysom_proc_buddyinfo",
		"sysom_proc_loadavg", "sysom_proc_schedstat", "sysom_proc_cpu_total",
		"sysom_cpu_dist",     "sched_moni_jitter",    "sysom_container_memory_stat"};
	static const char *const loads[] = {"",
					    "1.75\n",
					    "1.75 1.8 1.80 4/128 1\n",
					    "-1.75 1.83 1.80 4/128 1\n",
					    "1.75 1.83 1.80 4\n",
					    "1.75 1.83 1.80 4/x 1\n"};

	(void)state;
	folder_put(dir, "proc/stat", "cpu0 1 2 3\n");
	begin();
	export_sysom(&reading, &e);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_family(names[i], "(none)");
	for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
		folder_put(dir, "proc/loadavg", loads[i]);
		export_sysom(&reading, &e);
		assert_family("sysom_proc_loadavg", "(none)");
	}
	folder_put(dir, "proc/stat", "cpu  1 2 x\n");
	export_sysom(&reading, &e);
	assert_family("sysom_proc_cpu_total", "(none)");
}

/* --- histograms ------------------------------------------------------------------------------------------------------- */

static struct latency_snapshot *waits_of(uint64_t cgroup, uint32_t cause, const uint64_t *ns,
					 size_t n)
{
	struct latency_snapshot *s = xcalloc(1, sizeof(*s));

	s->rows = xcalloc(1, sizeof(*s->rows));
	s->rows[0].cgroup_id = cgroup;
	s->rows[0].cause = cause;
	s->n = 1;
	for (size_t i = 0; i < n; i++)
		hist_record(&s->rows[0].hist, ns[i]);
	return s;
}

/* Each class alone, whatever the classes around it have; edges belong to the class below. */
static void waits_by_class(void **state)
{
	static const uint64_t ns[] = {100,     MS,	 2 * MS,   5 * MS,    10 * MS,
				      99 * MS, 100 * MS, 800 * MS, 1000 * MS, 90000 * MS};

	(void)state;
	begin();
	reading.run_queue = xcalloc(1, sizeof(*reading.run_queue));
	reading.run_queue->waits = waits_of(7, RUNQUEUE_THROTTLED, ns, ARRAY_SIZE(ns));
	export_sysom(&reading, &e);
	assert_family("sysom_cpu_dist", "sysom_cpu_dist counter\n"
					"sysom_cpu_dist{type=\"ms1\"} 2\n"
					"sysom_cpu_dist{type=\"ms10\"} 3\n"
					"sysom_cpu_dist{type=\"ms100\"} 2\n"
					"sysom_cpu_dist{type=\"s1\"} 2\n"
					"sysom_cpu_dist{type=\"so\"} 1\n");
#define WAIT                                                                               \
	"sysom_container_cpuacct_wait_latency{namespace=\"shop\",pod=\"web-0\",container=" \
	"\"app\",type=\"wait_lat_"
	assert_family("sysom_container_cpuacct_wait_latency",
		      "sysom_container_cpuacct_wait_latency counter\n" WAIT "0to1ms\"} 2\n" WAIT
		      "1to5ms\"} 2\n" WAIT "5to10ms\"} 1\n" WAIT "10to100ms\"} 2\n" WAIT
		      "100to500ms\"} 0\n" WAIT "500to1000ms\"} 2\n" WAIT "1000ms\"} 1\n" WAIT
		      "total\"} 10\n");
}

static void stalls_by_class(void **state)
{
	static const uint64_t ns[] = {12 * MS, 100 * MS, 101 * MS, 700 * MS, 2000 * MS};

	(void)state;
	begin();
	reading.stalls = xcalloc(1, sizeof(*reading.stalls));
	reading.stalls->waits = waits_of(7, STALLS_NO_SCHED, ns, ARRAY_SIZE(ns));
	export_sysom(&reading, &e);
	assert_family("sched_moni_jitter", "sched_moni_jitter counter\n"
					   "sched_moni_jitter{mod=\"noschd\",type=\"dlttm\"} 2913\n"
					   "sched_moni_jitter{mod=\"noschd\",type=\"dltnum\"} 5\n"
					   "sched_moni_jitter{mod=\"noschd\",type=\"gt100ms\"} 1\n"
					   "sched_moni_jitter{mod=\"noschd\",type=\"gt500ms\"} 1\n"
					   "sched_moni_jitter{mod=\"noschd\",type=\"gt1s\"} 1\n"
					   "sched_moni_jitter{mod=\"irqoff\",type=\"dlttm\"} 0\n"
					   "sched_moni_jitter{mod=\"irqoff\",type=\"dltnum\"} 0\n"
					   "sched_moni_jitter{mod=\"irqoff\",type=\"gt100ms\"} 0\n"
					   "sched_moni_jitter{mod=\"irqoff\",type=\"gt500ms\"} 0\n"
					   "sched_moni_jitter{mod=\"irqoff\",type=\"gt1s\"} 0\n");
}

/* --- containers ------------------------------------------------------------------------------------------------------- */

#define APP(name, type) \
	name "{namespace=\"shop\",pod=\"web-0\",container=\"app\",type=\"" type "\"} "

/* What both versions of the fixture say. */
static void assert_container(void)
{
	assert_family(
		"sysom_container_memory_stat",
		"sysom_container_memory_stat gauge\n" APP("sysom_container_memory_stat", "cache") "100\n" APP("sysom_container_memory_stat", "rss") "200\n" APP(
			"sysom_container_memory_stat",
			"shmem") "10\n" APP("sysom_container_memory_stat",
					    "inactive_anon") "1\n" APP("sysom_container_memory_"
								       "stat",
								       "active_anon") "2\n" APP("sy"
												"so"
												"m_"
												"co"
												"nt"
												"ai"
												"ne"
												"r_"
												"me"
												"mo"
												"ry"
												"_s"
												"ta"
												"t",
												"in"
												"ac"
												"ti"
												"ve"
												"_f"
												"il"
												"e") "3\n" APP("sysom_container_memory_stat",
													       "active_file") "4\n" APP("sysom_container_memory_stat",
																	"usage") "400\n" APP("sysom_container_memory_stat",
																			     "limit") "500\n");
	assert_family("sysom_container_memory_failcnt",
		      "sysom_container_memory_failcnt counter\n" APP(
			      "sysom_container_memory_failcnt", "fail_cnt") "42\n");
	assert_family("sysom_container_memory_oomcnt",
		      "sysom_container_memory_oomcnt counter\n" APP("sysom_container_memory_oomcnt",
								    "oom_kill") "3\n");
	assert_family(
		"sysom_container_cpu_stat",
		"sysom_container_cpu_stat counter\n" APP(
			"sysom_container_cpu_stat",
			"nr_periods") "20\n" APP("sysom_container_cpu_stat",
						 "nr_throttled") "19\n" APP("sysom_container_cpu_"
									    "stat",
									    "throttled_time") "1654"
											      "000"
											      "\n");
	assert_family(
		"sysom_container_cpu_cfsquota",
		"sysom_container_cpu_cfsquota gauge\n" APP(
			"sysom_container_cpu_cfsquota",
			"quota_us") "25050\n" APP("sysom_container_cpu_cfsquota",
						  "period_us") "100000\n" APP("sysom_container_cpu_"
									      "cfsquota",
									      "quota_ratio") "25."
											     "050"
											     "\n");
}

static void put_v1(void)
{
	folder_put(dir, "cgroup/memory/memory.stat", "");
	folder_put(dir, "cgroup/memory/pod1/c1/memory.stat",
		   "total_cache 100\ntotal_rss 200\ntotal_shmem 10\ntotal_inactive_anon 1\n"
		   "total_active_anon 2\ntotal_inactive_file 3\ntotal_active_file 4\n");
	folder_put(dir, "cgroup/memory/pod1/c1/memory.usage_in_bytes", "400\n");
	folder_put(dir, "cgroup/memory/pod1/c1/memory.limit_in_bytes", "500\n");
	folder_put(dir, "cgroup/memory/pod1/c1/memory.failcnt", "42\n");
	folder_put(dir, "cgroup/memory/pod1/c1/memory.oom_control",
		   "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
	folder_put(dir, "cgroup/cpu/pod1/c1/cpu.stat",
		   "nr_periods 20\nnr_throttled 19\nthrottled_time 1654000\n");
	folder_put(dir, "cgroup/cpu/pod1/c1/cpu.cfs_quota_us", "25050\n");
	folder_put(dir, "cgroup/cpu/pod1/c1/cpu.cfs_period_us", "100000\n");
}

static void containers_on_v1(void **state)
{
	(void)state;
	put_v1();
	begin();
	export_sysom(&reading, &e);
	assert_container();
}

static void containers_on_v2(void **state)
{
	(void)state;
	folder_put(dir, "cgroup/cgroup.controllers", "cpu memory\n");
	folder_put(dir, "cgroup/pod1/c1/memory.stat",
		   "anon 200\nfile 100\nshmem 10\ninactive_anon 1\nactive_anon 2\ninactive_file 3\n"
		   "active_file 4\n");
	folder_put(dir, "cgroup/pod1/c1/memory.current", "400\n");
	folder_put(dir, "cgroup/pod1/c1/memory.max", "500\n");
	folder_put(dir, "cgroup/pod1/c1/memory.events",
		   "low 0\nhigh 7\nmax 42\noom 5\noom_kill 3\n");
	folder_put(dir, "cgroup/pod1/c1/cpu.stat",
		   "usage_usec 5\nuser_usec 2\nsystem_usec 3\n"
		   "nr_periods 20\nnr_throttled 19\n"
		   "throttled_usec 1654\n");
	folder_put(dir, "cgroup/pod1/c1/cpu.max", "25050 100000\n");
	begin();
	export_sysom(&reading, &e);
	assert_container();
}

/* No limit, no quota, a kernel before 4.13, no cpu controller: nothing is made up. */
static void containers_without(void **state)
{
	_cleanup_free_ char *found = NULL;

	(void)state;
	put_v1();
	folder_put(dir, "cgroup/memory/pod1/c1/memory.limit_in_bytes", "9223372036854771712\n");
	folder_put(dir, "cgroup/memory/pod1/c1/memory.oom_control",
		   "oom_kill_disable 0\nunder_oom 0\n");
	folder_put(dir, "cgroup/cpu/pod1/c1/cpu.cfs_quota_us", "-1\n");
	begin();
	export_sysom(&reading, &e);
	found = family("sysom_container_memory_stat");
	assert_non_null(strstr(found, "type=\"usage\""));
	assert_null(strstr(found, "type=\"limit\""));
	assert_family("sysom_container_memory_oomcnt", "sysom_container_memory_oomcnt counter\n");
	assert_family("sysom_container_cpu_cfsquota", "sysom_container_cpu_cfsquota gauge\n");
	exposition_done(&e);
	exposition_init(&e, 1000);
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(rename("cgroup/cpu", "cgroup/other"), 0);
	export_sysom(&reading, &e);
	assert_family("sysom_container_cpu_stat", "(none)");
	assert_family("sysom_container_memory_failcnt",
		      "sysom_container_memory_failcnt counter\n" APP(
			      "sysom_container_memory_failcnt", "fail_cnt") "42\n");
	assert_int_equal(chdir("/"), 0);
}

/* All that there is counts, and what is above the ceiling is counted as left out. */
static void the_ceiling_holds(void **state)
{
	size_t all;

	(void)state;
	put_v1();
	folder_put(dir, "proc/loadavg", "1.75 0.05 12.00 4/128 22224\n");
	begin();
	export_sysom(&reading, &e);
	all = e.series;
	assert_int_equal(e.dropped, 0);
	for (size_t max = 1; max < all; max += 5) {
		exposition_done(&e);
		exposition_init(&e, max);
		export_sysom(&reading, &e);
		assert_int_equal(e.series, max);
		assert_int_equal(e.dropped, all - max);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_nodes_memory),
		TEST(the_nodes_cpus),
		TEST(shares_are_since_the_scrape_before),
		TEST(what_cannot_be_read_is_left_out),
		TEST(waits_by_class),
		TEST(stalls_by_class),
		TEST(containers_on_v1),
		TEST(containers_on_v2),
		TEST(containers_without),
		TEST(the_ceiling_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
