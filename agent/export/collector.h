/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the text that Prometheus scrapes. A thread of its own reads when it is asked to: without a scraper nothing is read,
 * and with many of them once in COLLECTOR_MIN_AGE_MS. While it lives the captures are attached, so that histograms are
 * cumulative; each that this kernel cannot run is named in memdiag_capture_attached.
 */
#ifndef MEMDIAG_EXPORT_COLLECTOR_H
#define MEMDIAG_EXPORT_COLLECTOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "checks/sources.h"
#include "export/counters.h"
#include "instruments/captures.h"
#include "instruments/host.h"

enum {
	COLLECTOR_MIN_AGE_MS = 3000,	/* a text younger than this is served again */
	COLLECTOR_MAX_SERIES = 20000,	/* default ceiling, 3 MiB of text */
	COLLECTOR_MAX_CONTAINERS = 512, /* whose memory.stat one reading looks at */
};

struct collector;

struct collector_opts {
	const struct host *host; /* all borrowed */
	struct captures *captures;
	struct identity_opts identity; /* its history is not used: it is the worker's */
	struct agent_counters *counters;
	size_t max_series;	   /* 0: COLLECTOR_MAX_SERIES */
	unsigned int captures_off; /* bits 1 << enum capture_type: not to be attached */
	bool compat_sysom;	   /* also the original exporter's names */
};

int collector_new(const struct collector_opts *opts, struct collector **ret, struct err *err);
/* No more texts: who waits is notified. To be called before whoever waits is freed. */
void collector_stop(struct collector *collector);
/* Detaches what it attached. NULL is fine. */
void collector_free(struct collector *collector);

/* A text that is served. Owned by its holders together. */
struct published {
	char *text;
	size_t len;
	unsigned int holders;
};

/*
 * 1: the newest text, young enough, in *ret: held, given back with collector_put(). 0: a reading was asked for, and notify(arg) is
 * called from the collector's thread when to ask again. -ESHUTDOWN: after collector_stop() there are no more.
 */
int collector_get(struct collector *collector, void (*notify)(void *arg), void *arg,
		  struct published **ret);
void collector_put(struct collector *collector, struct published *published);

#endif
