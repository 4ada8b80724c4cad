/* SPDX-License-Identifier: Apache-2.0 */
/* The agent itself: what it costs, what it lost, whether it is well. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/version.h"
#include "export/families.h"

const char *const capture_names[CAPTURES] = {"reclaim", "compaction", "run_queue", "stalls"};

/* /proc/self is ours whatever the host's /proc is. */
static uint64_t resident_bytes(void)
{
	char text[128] = "";
	char *rest = text;
	FILE *f = fopen("/proc/self/statm", "re");
	uint64_t pages = 0;

	if (f && fgets(text, sizeof(text), f)) {
		(void)strsep(&rest, " ");
		if (!rest || num_u64(strsep(&rest, " "), 0, UINT64_MAX / 4096, &pages) < 0)
			pages = 0;
	}
	if (f)
		(void)fclose(f);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t process_cpu_ns(void)
{
	struct timespec ts = {0};

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

static void put_captures(const struct reading *reading, struct exposition *e)
{
	exposition_family(e, "memdiag_capture_attached", EXPOSITION_GAUGE,
			  "1: its programs are attached; 0: --metrics-captures leaves it out, or "
			  "this kernel lacks what it needs.");
	for (int type = 0; type < CAPTURES; type++) {
		const struct label label = {"capture", capture_names[type]};

		exposition_u64(e, &label, 1, reading->captures[type] ? 1 : 0);
	}
}

static void put_one(struct exposition *e, const char *name, enum exposition_type type,
		    const char *help, uint64_t value)
{
	exposition_family(e, name, type, help);
	exposition_u64(e, NULL, 0, value);
}

static void put_agent(const struct agent_counters *counters, struct exposition *e)
{
	static const struct label complete = {"result", "complete"}, failed = {"result", "failed"};

	exposition_family(e, "memdiag_runs_total", EXPOSITION_COUNTER,
			  "Runs whose report was made; failed: no check worked.");
	exposition_u64(e, &complete, 1, counter_get(&counters->runs_complete));
	exposition_u64(e, &failed, 1, counter_get(&counters->runs_failed));
	put_one(e, "memdiag_last_run_timestamp_seconds", EXPOSITION_GAUGE,
		"When the last run ended; 0: none did.", counter_get(&counters->last_run_seconds));
	put_one(e, "memdiag_agent_hung_seconds", EXPOSITION_GAUGE,
		"How long the thread that runs diagnoses has been in one that does not come back; "
		"0: it is well.",
		counter_get(&counters->hung_seconds));
	put_one(e, "memdiag_api_requests_total", EXPOSITION_COUNTER,
		"Requests to the API server, watches not counted.",
		counter_get(&counters->api_requests));
	put_one(e, "memdiag_api_request_failures_total", EXPOSITION_COUNTER,
		"Requests that did not succeed.", counter_get(&counters->api_failures));
	put_one(e, "memdiag_api_throttled_total", EXPOSITION_COUNTER, "Requests answered with 429.",
		counter_get(&counters->api_throttled));
	put_one(e, "memdiag_watch_restarts_total", EXPOSITION_COUNTER,
		"Watches begun again, those that ended by themselves included.",
		counter_get(&counters->watch_restarts));
}

void export_self(struct reading *reading, struct exposition *e)
{
	const struct label build[] = {{"version", memdiag_version},
				      {"kernel", reading->host->kernel}};
	const struct pods *pods = reading->pods;

	exposition_family(e, "memdiag_build_info", EXPOSITION_GAUGE, "Always 1.");
	exposition_u64(e, build, ARRAY_SIZE(build), 1);
	exposition_family(e, "memdiag_agent_cpu_seconds_total", EXPOSITION_COUNTER,
			  "CPU time of the agent, all threads.");
	exposition_ns(e, NULL, 0, process_cpu_ns());
	put_one(e, "memdiag_agent_resident_memory_bytes", EXPOSITION_GAUGE,
		"Resident memory of the agent.", resident_bytes());
	exposition_family(e, "memdiag_collect_seconds", EXPOSITION_GAUGE,
			  "How long the reading before this one took.");
	exposition_ns(e, NULL, 0, reading->last_reading_ns);
	put_captures(reading, e);
	put_one(e, "memdiag_names_known", EXPOSITION_GAUGE,
		"1: the container runtime answered; 0: series of pods have no names.",
		pods && !pods->runtime_problem ? 1 : 0);
	if (reading->counters)
		put_agent(reading->counters, e);
}
