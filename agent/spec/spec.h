/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A MemoryDiagnosis as memdiag understands it: one decoder for files given to `memdiag run` and for objects of the API
 * server. Field names, defaults and ranges are those of crd/memorydiagnoses.yaml.
 */
#ifndef MEMDIAG_SPEC_SPEC_H
#define MEMDIAG_SPEC_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/tree.h"
#include "spec/faults.h"
#include "spec/reasons.h"

#define SPEC_API_VERSION "memdiag.io/v1alpha1"
#define SPEC_KIND	 "MemoryDiagnosis"
#define SPEC_FILE_MAX	 ((size_t)1 << 20) /* bytes of a file given with -f */

enum check_type {
	CHECK_MEMORY_BREAKDOWN,
	CHECK_PAGE_CACHE,
	CHECK_SHARED_MEMORY,
	CHECK_SLAB_CACHE,
	CHECK_CGROUP_LEAK,
	CHECK_KERNEL_MEMORY,
	CHECK_RECLAIM_LATENCY,
	CHECK_COMPACTION_LATENCY,
	CHECK_RUN_QUEUE_LATENCY,
	CHECK_SCHEDULING_STALL,
	CHECK_TYPES
};

/* "PageCache" and so on. */
extern const char *const check_type_names[CHECK_TYPES];
/* -EINVAL when there is no such type. */
int check_type_parse(const char *name, enum check_type *ret);

enum severity {
	SEVERITY_NONE,
	SEVERITY_INFO,
	SEVERITY_WARNING,
	SEVERITY_CRITICAL,
};
extern const char *const severity_names[]; /* "", "Info", "Warning", "Critical" */

struct spec_threshold {
	const struct reason *reason;
	struct threshold_value warning, critical; /* THRESHOLD_UNSET: the built-in one */
};

enum { SPEC_MAX_THRESHOLDS = 32 };

struct spec {
	char name[64]; /* metadata.name; "local" when a file has none */
	char uid[64];
	int64_t generation;

	/* Target. Strings are owned and NULL when absent. */
	char *node_name;
	cJSON *node_selector;		/* object of strings, or NULL */
	cJSON *namespaces;		/* array of strings, or NULL */
	cJSON *pod_selector;		/* v1.LabelSelector, or NULL */
	char *pod_namespace, *pod_name; /* target.pod: both or neither */

	bool explicit_checks; /* false: an empty list, that is every check this version has */
	bool checks[CHECK_TYPES];
	uint64_t window_ms;
	uint64_t top;
	uint64_t cpu_budget_ms;
	uint64_t active_deadline_seconds;
	uint64_t history_limit;
	char *schedule;	 /* NULL: one-shot */
	char *time_zone; /* NULL: UTC */
	bool starting_deadline_set;
	uint64_t starting_deadline_seconds;
	bool replace; /* concurrencyPolicy: Replace; else Forbid */
	bool suspend;
	bool ttl_set;
	uint64_t ttl_seconds;
	enum severity fail_on; /* SEVERITY_NONE: Never */
	struct spec_threshold thresholds[SPEC_MAX_THRESHOLDS];
	size_t n_thresholds;
};

enum spec_mode {
	SPEC_FROM_FILE, /* unknown fields are faults; apiVersion and kind are required */
	SPEC_FROM_API,	/* the server has validated; fields of a newer CRD are passed over */
};

/* The defaults, as an empty spec has them. The caller frees it with spec_free(). */
struct spec *spec_new(void);
void spec_free(struct spec *spec);
DEFINE_CLEANUP(spec, struct spec *, spec_free);
#define _cleanup_spec_ _cleanup_(spec_cleanup)

/* Decodes doc. -EINVAL when there are faults; *ret is untouched then. */
int spec_decode(const cJSON *doc, enum spec_mode mode, struct spec **ret, struct faults *faults);

/*
 * Reads a YAML or JSON file ("-": standard input) of at most SPEC_FILE_MAX bytes. Every failure is a line in faults. The
 * caller frees *ret with cJSON_Delete().
 */
int spec_load_file(const char *path, cJSON **ret, struct faults *faults);

/* Whether the target names pods: then what is charged to other cgroups is none of the run's business. */
bool spec_limits_pods(const struct spec *spec);

/* Whether the target covers a node of this name and labels (object of strings, NULL: none). */
bool spec_targets_node(const struct spec *spec, const char *node_name, const cJSON *labels);

/* The severity of value for a reason: by the override when the spec has one. whole is what percentages are of. */
enum severity spec_severity(const struct spec *spec, const char *reason, uint64_t value,
			    uint64_t whole);

/*
 * The same for waits: percentages are of the window, in which all of them together took sum_us; durations are compared with the
 * longest.
 */
enum severity spec_severity_wait(const struct spec *spec, const char *reason, uint64_t sum_us,
				 uint64_t longest_us, uint64_t window_us);

#endif
