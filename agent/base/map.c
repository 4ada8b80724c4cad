/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct map_entry {
	char *name;
	void *value;
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct map_entry *)a)->name, ((const struct map_entry *)b)->name);
}

static struct map_entry *find(const struct map *map, const char *name)
{
	struct map_entry key = {.name = (char *)name};
	struct map_entry **found = tfind(&key, &map->tree, compare);

	return found ? *found : NULL;
}

void *map_get(const struct map *map, const char *name)
{
	struct map_entry *entry = find(map, name);

	return entry ? entry->value : NULL;
}

void map_set(struct map *map, const char *name, void *value)
{
	struct map_entry *entry = find(map, name);

	if (entry) {
		if (map->free_value)
			map->free_value(entry->value);
		entry->value = value;
		return;
	}
	entry = xmalloc(sizeof(*entry));
	entry->name = xstrdup(name);
	entry->value = value;
	if (!tsearch(entry, &map->tree, compare))
		abort(); /* out of memory: as base/mem.h */
	map->n++;
}

static void entry_free(const struct map *map, struct map_entry *entry)
{
	if (map->free_value)
		map->free_value(entry->value);
	free(entry->name);
	free(entry);
}

void map_remove(struct map *map, const char *name)
{
	struct map_entry *entry = find(map, name);

	if (!entry)
		return;
	(void)tdelete(entry, &map->tree, compare);
	map->n--;
	entry_free(map, entry);
}

struct visit {
	void (*fn)(void *arg, const char *name, void *value);
	void *arg;
};

static void visit_node(const void *node, VISIT which, void *closure)
{
	const struct map_entry *entry = *(struct map_entry *const *)node;
	struct visit *visit = closure;

	if (which == postorder || which == leaf)
		visit->fn(visit->arg, entry->name, entry->value);
}

void map_each(const struct map *map, void (*fn)(void *arg, const char *name, void *value),
	      void *arg)
{
	struct visit visit = {fn, arg};

	twalk_r(map->tree, visit_node, &visit);
}

struct sweep {
	int (*gone)(void *value);
	char **names;
	size_t n;
};

static void collect_gone(void *arg, const char *name, void *value)
{
	struct sweep *sweep = arg;

	if (!sweep->gone(value))
		return;
	sweep->names = xreallocarray(sweep->names, sweep->n + 1, sizeof(*sweep->names));
	sweep->names[sweep->n++] = xstrdup(name);
}

void map_sweep(struct map *map, int (*gone)(void *value))
{
	struct sweep sweep = {.gone = gone};

	map_each(map, collect_gone, &sweep);
	for (size_t i = 0; i < sweep.n; i++) {
		map_remove(map, sweep.names[i]);
		free(sweep.names[i]);
	}
	free(sweep.names);
}

void map_done(struct map *map)
{
	while (map->tree) {
		struct map_entry *entry = *(struct map_entry **)map->tree;

		(void)tdelete(entry, &map->tree, compare);
		entry_free(map, entry);
	}
	map->n = 0;
}
