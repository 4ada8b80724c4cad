/* SPDX-License-Identifier: Apache-2.0 */
/* What a reading is made of: read at its beginning, once, whatever number of families it is in. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "export/families.h"
#include "instruments/keyvalue.h"

static void read_snapshots(struct reading *reading)
{
	if (reading->captures[CAPTURE_RECLAIM] &&
	    reclaim_read(reading->captures[CAPTURE_RECLAIM], &reading->reclaim, NULL) < 0)
		reading->reclaim = NULL;
	if (reading->captures[CAPTURE_COMPACTION] &&
	    compaction_read(reading->captures[CAPTURE_COMPACTION], &reading->compaction, NULL) < 0)
		reading->compaction = NULL;
	if (reading->captures[CAPTURE_RUN_QUEUE] &&
	    runqueue_read(reading->captures[CAPTURE_RUN_QUEUE], &reading->run_queue, NULL) < 0)
		reading->run_queue = NULL;
	/* The histograms alone: events are for runs. */
	if (reading->captures[CAPTURE_STALLS] &&
	    stalls_read(reading->captures[CAPTURE_STALLS], UINT64_MAX, &reading->stalls, NULL) < 0)
		reading->stalls = NULL;
}

static void free_snapshots(struct reading *reading)
{
	reclaim_snapshot_free(reading->reclaim);
	reading->reclaim = NULL;
	latency_snapshot_free(reading->compaction);
	reading->compaction = NULL;
	runqueue_snapshot_free(reading->run_queue);
	reading->run_queue = NULL;
	stalls_snapshot_free(reading->stalls);
	reading->stalls = NULL;
}

static void read_files(struct reading *reading)
{
	const struct root *proc = &reading->host->proc;
	struct meminfo info;
	struct buf text = BUF_INIT(ROOT_FILE_MAX);

	if (meminfo_sample(proc, &info, NULL, NULL) == 0) {
		reading->meminfo = xmalloc(sizeof(info));
		*reading->meminfo = info;
	}
	if (root_read(proc, "vmstat", &text, NULL) == 0)
		reading->vmstat = buf_take(&text);
	buf_done(&text);
	containers_read(reading);
}

static void free_files(struct reading *reading)
{
	free(take_ptr(reading->meminfo));
	free(take_ptr(reading->vmstat));
	free(take_ptr(reading->containers));
	reading->n_containers = 0;
}

void reading_begin(struct reading *reading)
{
	reading->unknown_cgroups = 0;
	reading->readings++;
	read_snapshots(reading);
	read_files(reading);
}

void reading_end(struct reading *reading)
{
	free_snapshots(reading);
	free_files(reading);
}

uint64_t reading_vmstat(const struct reading *reading, const char *const *keys, size_t n,
			uint64_t *values)
{
	struct keyvalue_field fields[READING_VMSTAT_KEYS];
	uint64_t present = 0;

	for (size_t i = 0; i < n; i++)
		fields[i] = (struct keyvalue_field){keys[i], i * sizeof(*values), 1, false};
	if (reading->vmstat)
		keyvalue_parse(reading->vmstat, "vmstat", fields, n, values, &present, NULL);
	return present;
}
