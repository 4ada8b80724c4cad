/* SPDX-License-Identifier: Apache-2.0 */
/*
 * List, then watch, for as long as the process lives: an informer without a cache. Every object of the list and every
 * event reaches the callbacks; what to keep is the caller's affair. Survives the API server: see kube/watch.c for each
 * failure and its answer.
 */
#ifndef MEMDIAG_KUBE_WATCH_H
#define MEMDIAG_KUBE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/tree.h"
#include "kube/client.h"

struct kube_watch;

struct kube_watch_fns {
	/*
	 * A (re)list begins: what upsert does not mention until list_end is gone. NULL is fine, here and below. A list that
	 * fails midway begins again with list_begin. Each of the four may free the watch.
	 */
	void (*list_begin)(void *arg);
	/* An object of the list, or ADDED/MODIFIED. Borrowed. Delivered at least once; may repeat. */
	void (*upsert)(void *arg, const cJSON *object);
	/* DELETED: the last state. Borrowed. */
	void (*remove)(void *arg, const cJSON *object);
	/* The list is complete: state is consistent from here on. */
	void (*list_end)(void *arg);
};

struct kube_watch_opts {
	const char *path;	    /* "/apis/memdiag.io/v1alpha1/memorydiagnoses" */
	const char *field_selector; /* percent-encoded; NULL: none */
	bool metadata_only;	    /* PartialObjectMetadata: metadata alone crosses the wire */
	struct kube_watch_fns fns;
	void *arg;
};

/* Starts at once and goes on until kube_watch_free(). opts' strings are copied. */
struct kube_watch *kube_watch_new(struct kube_client *client, const struct kube_watch_opts *opts);
void kube_watch_free(struct kube_watch *watch);

struct kube_watch_stats {
	uint64_t lists, watches, events, errors;
	bool synced; /* list_end was called and the stream is not known to be broken */
};
struct kube_watch_stats kube_watch_stats(const struct kube_watch *watch);

#endif
