/* SPDX-License-Identifier: Apache-2.0 */
/* Memory cgroups that are removed but pinned. Functions fail the test themselves; plant_clean() takes everything away. */
#ifndef MEMDIAG_TESTS_ZOMBIES_H
#define MEMDIAG_TESTS_ZOMBIES_H

#include "support/plant.h"

/* A memory cgroup that can have memory cgroups below it. Its directory; valid until plant_clean(). */
const char *plant_cgroup_parent(const char *name);
/* Writes text to dir/name. 0, or -1 with errno. */
int plant_write(const char *dir, const char *name, const char *text);

/* n dying cgroups "z0", "z1", … below parent, each of which is charged for one page of the file. Not held: see plant_keep_warm(). */
struct plant_file plant_zombies(const char *parent, size_t n);
/* Looks at all of the file again, so that reclaim finds it in use. */
void plant_keep_warm(const struct plant_file *f);

#endif
