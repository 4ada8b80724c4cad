/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of an entry: entry.c (life, looking, writing), entry_gather.c (what is known), entry_read.c (asking for more). */
#ifndef MEMDIAG_CONTROLLER_ENTRY_INTERNAL_H
#define MEMDIAG_CONTROLLER_ENTRY_INTERNAL_H

#include "controller/entry.h"
#include "controller/status.h"
#include "spec/spec.h"

/* Where target.pod runs, as looked up a moment ago: pods move. */
struct pod_node {
	int64_t generation; /* of the spec it was looked up for */
	uint64_t looked_ns; /* 0: not looked up */
	char *node;	    /* NULL: it has none */
	const char *reason; /* why; static */
	char *message;
};

/* spec.timeZone, read once. */
struct zone {
	char *name; /* NULL: not read */
	struct tz *tz;
	bool good;
	struct err fault;
};

/* The findings of reports, read before a run is closed. */
struct reading {
	char *names[STATUS_MAX_TOP_FINDINGS];
	size_t n, n_read, n_unread;
	cJSON *findings;
	bool done;
};

/* When the active run was first seen, on both clocks. */
struct sighting {
	char run_id[64];
	time_t wall;
	uint64_t mono_ns;
};

struct entry {
	struct cluster *cluster;
	char *name;
	cJSON *object;
	bool seen, touched;
	struct loop_timer *timer;
	struct kube_request *request; /* a write or a read in flight; at most one */
	unsigned int tries;
	uint64_t last_write_ns, look_ms; /* look_ms: what the last look cost */
	uint64_t written_hash;		 /* of the last status written */
	char *written_version;		 /* the resourceVersion that led to */
	unsigned int missed;		 /* of the status in flight, for the event */
	time_t missed_since;
	cJSON *before; /* the status that one was computed from: the watch may tell of it first */
	struct reading reading;
	struct pod_node pod; /* with target.pod */
	struct zone zone;
	struct sighting sighting;
};

/* What status_compute() wants to know. The arrays are the caller's to free. */
struct gathered {
	const char **nodes;
	const struct report_summary **reports;
};

void entry_look(void *entry);
/* Whether a run of this very generation of the spec is going on. */
bool entry_is_running(const struct entry *entry);

/* --- entry_gather.c --- */
void entry_gather(struct entry *entry, const struct spec *spec, struct status_input *in,
		  struct gathered *gathered);
void zone_done(struct zone *zone);

/* --- entry_read.c --- */
void entry_forget_findings(struct entry *entry);
void entry_forget_pod(struct entry *entry);
/* Reads the reports that matter, then looks again. */
void entry_read_findings(struct entry *entry, const struct status_input *in);
/* Goes on with that after a failure. */
void entry_read_next(struct entry *entry);
/* True when target.pod's node is known, or that it has none; else it is asked for, then looked again. */
bool entry_knows_pod(struct entry *entry, const struct spec *spec);

#endif
