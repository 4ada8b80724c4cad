/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus' text format 0.0.4, and OpenMetrics made of it. Knows nothing of what is measured.
 *
 *	exposition_family(&e, "memdiag_container_limit_bytes", EXPOSITION_GAUGE, "Memory limit.");
 *	exposition_u64(&e, labels, n, 1048576);
 *
 * Series beyond the ceiling are left out and counted; a histogram is written whole or not at all.
 */
#ifndef MEMDIAG_EXPORT_EXPOSITION_H
#define MEMDIAG_EXPORT_EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "instruments/latency.h"

enum exposition_type {
	EXPOSITION_GAUGE,
	EXPOSITION_COUNTER, /* its name ends in _total */
	EXPOSITION_HISTOGRAM,
};

struct label {
	const char *name, *value; /* value NULL: the label is left out */
};

struct exposition {
	struct buf text;
	char family[96];
	size_t series, max_series;
	uint64_t
		dropped; /* series left out: beyond max_series, or the text would have been too long */
};

void exposition_init(struct exposition *e, size_t max_series);
void exposition_done(struct exposition *e);

/* Begins a family. name and help are static texts of ours: they are not escaped. */
void exposition_family(struct exposition *e, const char *name, enum exposition_type type,
		       const char *help);
/* One sample of the family begun last. */
void exposition_u64(struct exposition *e, const struct label *labels, size_t n, uint64_t value);
void exposition_i64(struct exposition *e, const struct label *labels, size_t n, int64_t value);
/* Nanoseconds, written in seconds without rounding. */
void exposition_ns(struct exposition *e, const struct label *labels, size_t n, uint64_t ns);
/* Thousandths, written as a decimal fraction. */
void exposition_milli(struct exposition *e, const struct label *labels, size_t n, uint64_t milli);
/* In seconds, with those of exposition_edges_us that are at least from_us: shorter ones may not be told apart. */
void exposition_hist(struct exposition *e, const struct label *labels, size_t n,
		     const struct hist *hist, uint64_t from_us);

/* Edges of exported histograms, microseconds: decades' and dashboards' round ones; nothing finer, each is a series. */
extern const uint64_t exposition_edges_us[];
extern const size_t exposition_n_edges;

/* Appends the text as OpenMetrics 1.0 to out: counters' families without _total, those
 * whose name lacks it of unknown type, and the end mark. -ENOBUFS: out is full. */
int exposition_openmetrics(const char *text, size_t len, struct buf *out);

#endif
