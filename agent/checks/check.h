/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A check turns snapshots of the kernel into a typed result and findings. Reading (finish) and judging are separate
 * functions: judging is pure and tested on hand-written snapshots.
 *
 * Adding one: a file in agent/checks/, a line in the table of checks.c, its instrument if new, a test, and its columns in
 * agent/report/tables.c.
 */
#ifndef MEMDIAG_CHECKS_CHECK_H
#define MEMDIAG_CHECKS_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/tree.h"
#include "checks/sources.h"
#include "instruments/captures.h"
#include "instruments/host.h"
#include "report/finding.h"
#include "spec/spec.h"

enum check_state {
	CHECK_COMPLETE,
	CHECK_TRUNCATED, /* deadline or budget: it reports what it has, and its coverage */
	CHECK_SKIPPED,	 /* this node or this version lacks what it needs; nothing was tried */
	CHECK_FAILED,
};
extern const char *const check_state_names[];

struct check_result {
	enum check_type type;
	enum check_state state;
	const char *reason; /* static CamelCase word; NULL when Complete */
	char message[512];
	const char *method; /* static: the instrument's rung that was used */
	unsigned int coverage_permille;
	uint64_t duration_ms,
		cpu_ms; /* of this check; what checks share is counted with the first */
	uint64_t bpf_calls, bpf_max_call_us;
	cJSON *result; /* the CRD's object named after the type; owned */
	struct findings findings;
};

void check_result_done(struct check_result *result);

struct check_env {
	const struct spec *spec;
	const struct host *host;
	struct sources *sources;
	struct captures *captures; /* attached programs, shared with the exporter */
	uint64_t window_ns;	   /* how long captures really observed; set before finish() */
};

struct check {
	enum check_type type;
	const char *needs; /* in words, for people: "BPF page scan: BTF, CAP_BPF, CAP_PERFMON" */
	/* 0 when this host has what is needed to try it; else -errno and what is missing. NULL: always tried. */
	int (*probe)(const struct host *host, struct err *err);
	bool captures; /* observes for spec->window_ms between start and finish */
	/* Begins a capture; NULL for scans. */
	int (*start)(const struct check_env *env, void **ret_self, struct err *err);
	/* Reads and judges. Fills result's state when it is not Complete. */
	int (*finish)(const struct check_env *env, void *self, struct check_result *result,
		      struct err *err);
	void (*stop)(void *self); /* NULL is fine */
};

/* The check of a type; NULL when this version has none. */
const struct check *check_find(enum check_type type);
/* check->probe(), or 0 without one. */
int check_probe(const struct check *check, const struct host *host, struct err *err);
/* What every BPF program needs (bpf_probe()), as the probe of checks that need no more. */
int check_probe_bpf(const struct host *host, struct err *err);
/* The page scan's needs: probe and words of the checks that are made of it. */
int check_probe_pages(const struct host *host, struct err *err);
#define CHECK_NEEDS_PAGE_SCAN "BPF page scan: BTF, CAP_BPF, CAP_PERFMON"

#endif
