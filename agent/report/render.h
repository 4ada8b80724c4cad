/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report for people: tables of at most 100 columns, drawn from the same tree that -o json prints. The columns of each
 * check are data (tables.c).
 */
#ifndef MEMDIAG_REPORT_RENDER_H
#define MEMDIAG_REPORT_RENDER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/tree.h"

enum { RENDER_WIDTH = 100 };

enum column_kind {
	COLUMN_BYTES, /* 228Mi, -8Ki */
	COLUMN_NUMBER,
	COLUMN_MICROS, /* 34ms */
	COLUMN_TEXT,   /* takes what width is left, shortened in its middle */
	COLUMN_FLAGS,  /* D deleted, S shared memory, * dying */
	COLUMN_FILE,  /* the container's path when it has one, else the host's, else device:inode */
	COLUMN_OWNER, /* namespace/pod/container, else the cgroup */
	COLUMN_CHARGED, /* the largest payer, and how many more */
};

struct column {
	const char *header;
	const char *key; /* member of the row; NULL: the kind knows */
	enum column_kind kind;
	int width; /* characters; 0: shares what is left */
};

/* One list of a check's result. */
struct table {
	const char *check; /* its type */
	const char *list;  /* path below the check's entry, such as "pageCache.files" */
	const char *title;
	const struct column *columns;
	size_t n_columns;
};

extern const struct table tables[];
extern const size_t n_tables;

/* One number of a check's result, shown on one line before its tables. */
struct total {
	const char *check;
	const char *key; /* path below the check's entry */
	const char *label;
	bool bytes;
};

extern const struct total totals[];
extern const size_t n_totals;

/* Appends the whole report. Returns 0 or -ENOBUFS. */
int render_report(const cJSON *report, struct buf *out);

#endif
