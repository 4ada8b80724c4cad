/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instruments that observe over time, each attached at most once however many ask: runs hold one for their window, the
 * exporter for as long as monitoring is on. Nothing is attached when nobody holds it.
 */
#ifndef MEMDIAG_INSTRUMENTS_CAPTURES_H
#define MEMDIAG_INSTRUMENTS_CAPTURES_H

#include <stdbool.h>

#include "base/err.h"
#include "instruments/host.h"

enum capture_type {
	CAPTURE_RECLAIM,
	CAPTURE_COMPACTION,
	CAPTURE_RUN_QUEUE,
	CAPTURE_STALLS,
	CAPTURES
};

/* What an instrument is to this registry. */
struct capture_ops {
	const char *name; /* for messages: "reclaim latency" */
	/* Loads, attaches dark, then activates. What it cannot do on this kernel it says in err. */
	int (*open)(const struct host *host, void **ret, struct err *err);
	/* Detaches; nothing of it is in the kernel afterwards. */
	void (*close)(void *self);
};

struct captures;

/* host is borrowed. All functions may be called from any thread; attaching is serialised, since libbpf's is. */
struct captures *captures_new(const struct host *host);
/* Closes what is still held. */
void captures_free(struct captures *captures);

/*
 * Attaches it unless it is. *ret_self is the instrument's own handle, for its reading functions (which are thread-safe),
 * valid until the matching captures_release(). -EOPNOTSUPP: this version has none.
 */
int captures_hold(struct captures *captures, enum capture_type type, void **ret_self,
		  struct err *err);
/* Detaches it when the last one lets go. */
void captures_release(struct captures *captures, enum capture_type type);

#endif
