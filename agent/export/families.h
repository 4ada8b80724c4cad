/* SPDX-License-Identifier: Apache-2.0 */
/* What is exported, a file a subject. Private to agent/export/. */
#ifndef MEMDIAG_EXPORT_FAMILIES_H
#define MEMDIAG_EXPORT_FAMILIES_H

#include "export/collector.h"
#include "export/exposition.h"
#include "identity/pods.h"
#include "instruments/cgroupfs.h"
#include "instruments/compaction.h"
#include "instruments/cpu_times.h"
#include "instruments/meminfo.h"
#include "instruments/reclaim.h"
#include "instruments/runqueue.h"
#include "instruments/stalls.h"

/* A pod's container and what its memory is. */
struct container_memory {
	const struct pod_cgroup *item;
	struct cgroup_stat stat;
};

/* What one reading starts from. */
struct reading {
	const struct host *host;
	const struct pods *pods; /* NULL: not known yet */
	const struct agent_counters *counters;
	void *captures[CAPTURES]; /* handles of what is attached; NULL: it is not */
	/* Of this reading; NULL: there is none. */
	struct reclaim_snapshot *reclaim;
	struct latency_snapshot *compaction;
	struct runqueue_snapshot *run_queue;
	struct stalls_snapshot *stalls;
	/* Of this reading: files that several families are made of, so that each is read once. */
	struct meminfo *meminfo;	     /* NULL: it cannot be read */
	char *vmstat;			     /* the text; NULL: it cannot be read */
	struct container_memory *containers; /* at most COLLECTOR_MAX_CONTAINERS */
	size_t n_containers;
	char *capture_problems[CAPTURES];
	uint64_t cpu_before[CPU_MODES];	      /* ticks, as the reading before found them */
	uint64_t live_cgroups, dying_cgroups; /* memory cgroups; UINT64_MAX: unknown */
	uint64_t
		unknown_cgroups; /* rows of cgroups that `pods` does not know; counted by the families */
	uint64_t readings;	 /* so far */
	uint64_t last_reading_ns; /* how long the one before took */
};

/* Values of the label `capture`. */
extern const char *const capture_names[CAPTURES];

/* Labels namespace, pod, container, as cAdvisor has them. */
enum { CONTAINER_LABELS = 3 };

/* False for what is no pod's container: units, sandboxes and pods' own cgroups have no series of their own. */
bool container_labels(const struct pod_cgroup *item, struct label labels[CONTAINER_LABELS]);

/* Fills live_cgroups and dying_cgroups by the kernel's own counts: on v1 by walking the tree of live ones, so not every time. */
void export_count_cgroups(struct reading *reading);

/* What a capture saw of one container for one cause. */
struct container_row {
	const struct pod_cgroup *item;
	uint32_t cause;
	struct hist hist;
};

/*
 * The rows of pods' containers, several cgroups of one together; in order of container and cause. Counts cgroups without a name.
 * The caller frees it.
 */
struct container_row *container_rows(struct reading *reading,
				     const struct latency_snapshot *snapshot, size_t *ret_n);

/* Reads what is attached, and the files that are shared, into this reading; frees both after. */
void reading_begin(struct reading *reading);
void reading_end(struct reading *reading);

enum { READING_VMSTAT_KEYS = 64 };
/*
 * Counters of /proc/vmstat by name, at most READING_VMSTAT_KEYS, in one pass over its text. Returns a bit for each that this kernel
 * has; the values of others are not set.
 */
uint64_t reading_vmstat(const struct reading *reading, const char *const *keys, size_t n,
			uint64_t *values);
/* Those of `pods` that are containers, into `containers`; what containers made below their own cgroups is in them already. */
void containers_read(struct reading *reading);

void export_node_memory(struct reading *reading, struct exposition *e);
void export_containers(struct reading *reading, struct exposition *e);
void export_latency(struct reading *reading, struct exposition *e);
/* The names of the original exporter, for dashboards that exist. */
void export_sysom(struct reading *reading, struct exposition *e);
void export_self(struct reading *reading, struct exposition *e);

#endif
