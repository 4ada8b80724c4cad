/* SPDX-License-Identifier: Apache-2.0 */
#include "export/exposition.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

/* 10,000 series with three labels are 1.5 MiB. */
#define TEXT_MAX ((size_t)16 << 20)

enum { HIST_SERIES = 3 }; /* of a histogram, besides its edges: +Inf, sum, count */

const uint64_t exposition_edges_us[] = {64, 256, 1000, 5000, 10000, 100000, 500000, 1000000};
const size_t exposition_n_edges = ARRAY_SIZE(exposition_edges_us);

void exposition_init(struct exposition *e, size_t max_series)
{
	*e = (struct exposition){.text = BUF_INIT(TEXT_MAX), .max_series = max_series};
}

void exposition_done(struct exposition *e)
{
	buf_done(&e->text);
}

void exposition_family(struct exposition *e, const char *name, enum exposition_type type,
		       const char *help)
{
	static const char *const types[] = {"gauge", "counter", "histogram"};

	(void)snprintf(e->family, sizeof(e->family), "%s", name);
	(void)buf_printf(&e->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

/* Room for n more series? Else they are counted as dropped. */
static bool admit(struct exposition *e, size_t n)
{
	if (e->series + n > e->max_series || e->text.len + n * 1024 > TEXT_MAX) {
		e->dropped += n;
		return false;
	}
	e->series += n;
	return true;
}

static void put_value(struct buf *text, const char *value)
{
	for (; *value; value++) {
		if (*value == '\n')
			(void)buf_printf(text, "\\n");
		else if (*value == '\\' || *value == '"')
			(void)buf_printf(text, "\\%c", *value);
		else
			(void)buf_printf(text, "%c", *value);
	}
}

/* family + suffix + {labels, le}, and the blank before the value. */
static void put_name(struct exposition *e, const char *suffix, const struct label *labels, size_t n,
		     const char *le)
{
	char separator = '{';

	(void)buf_printf(&e->text, "%s%s", e->family, suffix);
	for (size_t i = 0; i < n; i++) {
		if (!labels[i].value)
			continue;
		(void)buf_printf(&e->text, "%c%s=\"", separator, labels[i].name);
		put_value(&e->text, labels[i].value);
		(void)buf_printf(&e->text, "\"");
		separator = ',';
	}
	if (le) {
		(void)buf_printf(&e->text, "%cle=\"%s\"", separator, le);
		separator = ',';
	}
	(void)buf_printf(&e->text, separator == ',' ? "} " : " ");
}

void exposition_u64(struct exposition *e, const struct label *labels, size_t n, uint64_t value)
{
	if (!admit(e, 1))
		return;
	put_name(e, "", labels, n, NULL);
	(void)buf_printf(&e->text, "%" PRIu64 "\n", value);
}

void exposition_i64(struct exposition *e, const struct label *labels, size_t n, int64_t value)
{
	if (!admit(e, 1))
		return;
	put_name(e, "", labels, n, NULL);
	(void)buf_printf(&e->text, "%" PRId64 "\n", value);
}

static void put_ns(struct buf *text, uint64_t ns)
{
	(void)buf_printf(text, "%" PRIu64 ".%09" PRIu64 "\n", ns / 1000000000, ns % 1000000000);
}

void exposition_ns(struct exposition *e, const struct label *labels, size_t n, uint64_t ns)
{
	if (!admit(e, 1))
		return;
	put_name(e, "", labels, n, NULL);
	put_ns(&e->text, ns);
}

void exposition_milli(struct exposition *e, const struct label *labels, size_t n, uint64_t milli)
{
	if (!admit(e, 1))
		return;
	put_name(e, "", labels, n, NULL);
	(void)buf_printf(&e->text, "%" PRIu64 ".%03" PRIu64 "\n", milli / 1000, milli % 1000);
}

/* 64 us -> "0.000064", 1 s -> "1.0", as OpenMetrics writes them. */
static const char *edge_text(uint64_t us, char out[24])
{
	size_t len =
		(size_t)snprintf(out, 24, "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);

	while (out[len - 1] == '0' && out[len - 2] != '.')
		out[--len] = '\0';
	return out;
}

void exposition_hist(struct exposition *e, const struct label *labels, size_t n,
		     const struct hist *hist, uint64_t from_us)
{
	uint64_t count = hist_count_le(hist, UINT64_MAX);
	size_t first = 0;
	char le[24];

	while (first < exposition_n_edges && exposition_edges_us[first] < from_us)
		first++;
	if (!admit(e, exposition_n_edges - first + HIST_SERIES))
		return;
	for (size_t i = first; i < exposition_n_edges; i++) {
		put_name(e, "_bucket", labels, n, edge_text(exposition_edges_us[i], le));
		(void)buf_printf(&e->text, "%" PRIu64 "\n",
				 hist_count_le(hist, exposition_edges_us[i]));
	}
	/* The buckets' own sum, not hist->count: a snapshot can catch an event between the two. */
	put_name(e, "_bucket", labels, n, "+Inf");
	(void)buf_printf(&e->text, "%" PRIu64 "\n", count);
	put_name(e, "_sum", labels, n, NULL);
	put_ns(&e->text, hist->sum_ns);
	put_name(e, "_count", labels, n, NULL);
	(void)buf_printf(&e->text, "%" PRIu64 "\n", count);
}

/* What a line of the text is in OpenMetrics. */
static int put_openmetrics_line(const char *line, size_t len, struct buf *out)
{
	static const char counter[] = " counter\n", total[] = "_total";
	const size_t type_len = sizeof(counter) - 1, total_len = sizeof(total) - 1;
	bool comment = len > 7 &&
		       (strncmp(line, "# HELP ", 7) == 0 || strncmp(line, "# TYPE ", 7) == 0);
	const char *end = comment ? memchr(line + 7, ' ', len - 7) : NULL;
	bool is_total = end && end - line > (ptrdiff_t)(7 + total_len) &&
			strncmp(end - total_len, total, total_len) == 0;

	if (is_total) { /* the family's name is without the suffix */
		size_t head = (size_t)(end - line) - total_len;

		return buf_append(out, line, head) < 0
			       ? -ENOBUFS
			       : buf_append(out, end, len - (size_t)(end - line));
	}
	if (comment && line[2] == 'T' && len > type_len &&
	    strncmp(line + len - type_len, counter, type_len) == 0) {
		/* A counter without it is none there; the original exporter's names have none. */
		if (buf_append(out, line, len - type_len) < 0)
			return -ENOBUFS;
		return buf_append(out, " unknown\n", strlen(" unknown\n"));
	}
	return buf_append(out, line, len);
}

int exposition_openmetrics(const char *text, size_t len, struct buf *out)
{
	static const char end[] = "# EOF\n";
	const char *limit = text + len;

	while (text < limit) {
		const char *newline = memchr(text, '\n', (size_t)(limit - text));
		size_t n = newline ? (size_t)(newline - text) + 1 : (size_t)(limit - text);

		if (put_openmetrics_line(text, n, out) < 0)
			return -ENOBUFS;
		text += n;
	}
	return buf_append(out, end, sizeof(end) - 1);
}
