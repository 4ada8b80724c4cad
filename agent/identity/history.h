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

/* Copies into a field of an entry; what does not fit is cut off, never inside a UTF-8 sequence. NULL is "". */
void history_set(char *field, size_t size, const char *value);

enum { HISTORY_MAX = 8192 }; /* entries; the one not seen for longest goes first: 5 MiB at most */

struct history *history_new(void);
void history_free(struct history *history);

/* Remembers or refreshes. An entry with neither id nor UID is passed over. */
void history_note(struct history *history, const struct history_entry *entry);
/* By container id, or by pod UID with container_id NULL or "". NULL: never seen. Borrowed until the next note. */
const struct history_entry *history_find(const struct history *history, const char *pod_uid,
					 const char *container_id);
size_t history_count(const struct history *history);

/*
 * The state file: one JSON line per entry, the one not seen for longest first. Loading passes over lines that do not parse and
 * returns how many in *ret_bad (may be NULL); what is noted already is newer and stays; a missing file is no error. -EFBIG: above
 * 32 MiB, -EINVAL: no regular file. Saving writes beside and renames, so that a reader finds the old or the new state, whole.
 */
int history_load(struct history *history, const char *path, size_t *ret_bad, struct err *err);
int history_save(const struct history *history, const char *path, struct err *err);

#endif
