/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of pods that are gone: a removed cgroup's path still carries pod UID and container id, and this remembers what they
 * were called. Bounded; survives a restart of the agent in a state file.
 */
#ifndef MEMDIAG_IDENTITY_HISTORY_H
#define MEMDIAG_IDENTITY_HISTORY_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/err.h"

struct history;

struct history_entry {
	char container_id[72]; /* "" for the pod itself */
	char pod_uid[64];
	char ns[64], pod[254], container[64];
	time_t last_seen;
};

enum { HISTORY_MAX = 8192 }; /* entries; the one not seen for longest goes first: 5 MiB at most */

struct history *history_new(void);
void history_free(struct history *history);

/* Remembers or refreshes. Strings longer than the fields are cut. */
void history_note(struct history *history, const struct history_entry *entry);
/* By container id, or by pod UID with container_id NULL or "". NULL: never seen. Borrowed until the next note. */
const struct history_entry *history_find(const struct history *history, const char *pod_uid,
					 const char *container_id);
size_t history_count(const struct history *history);

/*
 * The state file: one JSON line per entry. Loading passes over lines that do not parse and returns how many in *ret_bad
 * (may be NULL); a missing file is no error. Saving writes beside and renames.
 */
int history_load(struct history *history, const char *path, size_t *ret_bad, struct err *err);
int history_save(const struct history *history, const char *path, struct err *err);

#endif
