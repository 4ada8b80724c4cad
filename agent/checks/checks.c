/* SPDX-License-Identifier: Apache-2.0 */
/* The table of checks. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "checks/cgroup_leak.h"
#include "checks/check.h"
#include "checks/kernel_memory.h"
#include "checks/compaction_latency.h"
#include "checks/memory_breakdown.h"
#include "checks/page_cache.h"
#include "checks/reclaim_latency.h"
#include "checks/run_queue_latency.h"
#include "checks/scheduling_stall.h"
#include "checks/shared_memory.h"
#include "checks/slab_cache.h"
#include "instruments/bpf_load.h"
#include "instruments/pages.h"

const char *const check_state_names[] = {"Complete", "Truncated", "Skipped", "Failed"};

static const struct check *const checks[] = {
	&check_memory_breakdown, &check_page_cache,	    &check_shared_memory,
	&check_cgroup_leak,	 &check_slab_cache,	    &check_kernel_memory,
	&check_reclaim_latency,	 &check_compaction_latency, &check_run_queue_latency,
	&check_scheduling_stall,
};

const struct check *check_find(enum check_type type)
{
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		if (checks[i]->type == type)
			return checks[i];
	}
	return NULL;
}

int check_probe(const struct check *check, const struct host *host, struct err *err)
{
	return check->probe ? check->probe(host, err) : 0;
}

int check_probe_bpf(const struct host *host, struct err *err)
{
	return bpf_probe(&host->proc, err);
}

int check_probe_pages(const struct host *host, struct err *err)
{
	return pages_probe(&host->proc, err);
}

void check_result_done(struct check_result *result)
{
	cJSON_Delete(result->result);
	findings_done(&result->findings);
	memset(result, 0, sizeof(*result));
}
