/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deletes reports that nobody will write again: of nodes that are gone, and of diagnoses that are gone or were made again
 * (the garbage collector deletes those, too; where there is one it comes first).
 */
#ifndef MEMDIAG_CONTROLLER_PRUNE_H
#define MEMDIAG_CONTROLLER_PRUNE_H

#include "controller/entry.h"

struct prune;

/* diagnoses: struct entry by name. Both are borrowed. */
struct prune *prune_new(struct cluster *cluster, const struct map *diagnoses);
void prune_free(struct prune *prune);
/* We lead no longer: nothing that is under way may go on. */
void prune_stop(struct prune *prune);

#endif
