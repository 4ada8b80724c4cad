/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names to pointers, over libc's tsearch(3).
 */
#ifndef MEMDIAG_BASE_MAP_H
#define MEMDIAG_BASE_MAP_H

#include <stddef.h>

struct map {
	void *tree;
	size_t n;
	void (*free_value)(void *value);
};

#define MAP_INIT(fn)                                     \
	{                                                \
		.tree = NULL, .n = 0, .free_value = (fn) \
	}

/* NULL when the name is not there. */
void *map_get(const struct map *map, const char *name);
/* Takes ownership of value; frees the one that had this name. */
void map_set(struct map *map, const char *name, void *value);
/* Frees the value. Harmless when the name is not there. */
void map_remove(struct map *map, const char *name);
/* Calls fn for each entry in the order of names. fn must not change the map. */
void map_each(const struct map *map, void (*fn)(void *arg, const char *name, void *value),
	      void *arg);
/* Removes the entries for which gone returns non-zero. */
void map_sweep(struct map *map, int (*gone)(void *value));
void map_done(struct map *map);

#endif
