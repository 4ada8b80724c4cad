/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Check ReclaimLatency: who has to reclaim memory himself, why, at whose limit, and for how long. Findings: LimitReclaimStalls (of a
 * container), GlobalReclaimStalls (of a container and of the node), HighReclaimStalls (of a container).
 */
#ifndef MEMDIAG_CHECKS_RECLAIM_LATENCY_H
#define MEMDIAG_CHECKS_RECLAIM_LATENCY_H

#include "checks/check.h"
#include "checks/latency_rows.h"
#include "instruments/cgroupfs.h"
#include "instruments/pressure.h"
#include "instruments/reclaim.h"
#include "report/hints.h"

extern const struct check check_reclaim_latency;
/* How its causes are called, and which of them nobody waits for. */
extern const struct latency_words reclaim_words;

/* What a container has, at the end of the window. Bytes. */
struct reclaim_place {
	struct cgroup_usage usage; /* all UINT64_MAX: its cgroup is gone */
	uint64_t request;	   /* 0: none, or unknown */
	uint64_t some_us;	   /* pressure within the window; UINT64_MAX: unknown (v1) */
};

/* A cgroup whose limit, or memory.high, it was. */
struct reclaim_target {
	uint64_t id;
	struct owner owner; /* owned */
};

/* One long wait within the window. */
struct reclaim_outlier {
	struct owner owner; /* owned */
	uint32_t cause;
	uint64_t duration_ns;
	uint32_t pid;
	char comm[16];
	char *frames[RECLAIM_FRAMES]; /* owned; innermost first */
	size_t n_frames;
};

/* All that judging needs; plain data, so that tests can write it by hand. */
struct reclaim_facts {
	const struct spec *spec;
	const struct latency_rows *rows;
	const struct reclaim_place *places; /* of rows->items[i] */
	const struct reclaim_target *targets;
	size_t n_targets;
	const struct reclaim_outlier *outliers; /* longest first */
	size_t n_outliers;
	uint64_t outliers_unkept;
	struct pressure_vmstat vmstat; /* within the window */
	struct pressure_stall stall;   /* of the node, within the window */
	struct pressure_zones zones;
	uint64_t scale; /* vm.watermark_scale_factor; 0: unknown */
	uint64_t page_size;
	bool by_pid; /* no task storage on this kernel */
	enum cgroup_mode cgroup_mode;
	const char *cgroup_mount;
};

/* Pure: facts in, result and findings out. */
void reclaim_judge(const struct reclaim_facts *facts, struct check_result *result);

/* NULL: it is none of the targets. */
const struct owner *reclaim_target_of(const struct reclaim_facts *facts, uint64_t id);

/*
 * What is computed from the measurements for the remedies. i: of rows->items; SIZE_MAX: the node. target: whose limit most of the
 * waits were for; NULL: none.
 */
void reclaim_hint_facts(const struct reclaim_facts *facts, size_t i, const struct owner *target,
			struct hint_facts *hints);
/*
 * vm.watermark_scale_factor for a rate of allocation: kswapd wakes at low and has until min to free what is allocated meanwhile. The
 * gap is sized for 0.3 s at three times the window's mean rate: bursts are what uses it up. From 10 (the kernel's default) to 400
 * (Koordinator's ceiling: 4 % of memory).
 */
uint64_t reclaim_scale_factor(uint64_t pages_per_second, uint64_t managed_pages);

#endif
