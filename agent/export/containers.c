/* SPDX-License-Identifier: Apache-2.0 */
/* Pods' containers: what their memory is, the parts that a working set hides. */
#include <string.h>

#include "base/mem.h"
#include "export/families.h"
#include "instruments/cgroupfs.h"

bool container_labels(const struct pod_cgroup *item, struct label labels[CONTAINER_LABELS])
{
	if (!item->ns || !item->pod || !item->container || item->container[0] == '(')
		return false;
	labels[0] = (struct label){"namespace", item->ns};
	labels[1] = (struct label){"pod", item->pod};
	labels[2] = (struct label){"container", item->container};
	return true;
}

/* A cgroup that the container made below its own: already part of it. */
static bool is_inner(const struct pod_cgroup *item)
{
	const char *id = strstr(item->cgroup, item->name.container_id);

	return id && strchr(id, '/');
}

static const struct {
	const char *part;
	size_t offset;
} parts[] = {
	{"anon", offsetof(struct cgroup_stat, anon)},
	{"cache", offsetof(struct cgroup_stat, cache)},
	{"shmem", offsetof(struct cgroup_stat, shmem)},
	{"active_file", offsetof(struct cgroup_stat, active_file)},
	{"inactive_file", offsetof(struct cgroup_stat, inactive_file)},
	{"inactive_anon", offsetof(struct cgroup_stat, inactive_anon)},
	{"dirty", offsetof(struct cgroup_stat, dirty)},
	{"kernel", offsetof(struct cgroup_stat, kernel)},
};

void containers_read(struct reading *reading)
{
	const struct pods *pods = reading->pods;
	struct container_memory *rows;
	struct label labels[CONTAINER_LABELS];
	size_t n = 0;

	if (!pods)
		return;
	rows = xcalloc(COLLECTOR_MAX_CONTAINERS, sizeof(*rows));
	for (size_t i = 0; i < pods->n && n < COLLECTOR_MAX_CONTAINERS; i++) {
		rows[n].item = &pods->items[i];
		if (container_labels(rows[n].item, labels) && !is_inner(rows[n].item) &&
		    cgroupfs_stat(&reading->host->cgroups, rows[n].item->cgroup, &rows[n].stat,
				  NULL, NULL) == 0)
			n++;
	}
	reading->containers = rows;
	reading->n_containers = n;
}

static uint64_t working_set(const struct cgroup_stat *stat)
{
	return stat->usage > stat->inactive_file ? stat->usage - stat->inactive_file : 0;
}

static void put_value(const struct container_memory *rows, size_t n, struct exposition *e,
		      const char *name, const char *help,
		      uint64_t (*value)(const struct cgroup_stat *stat))
{
	struct label labels[CONTAINER_LABELS];

	exposition_family(e, name, EXPOSITION_GAUGE, help);
	for (size_t i = 0; i < n; i++) {
		uint64_t v = value(&rows[i].stat);

		if (v != UINT64_MAX && container_labels(rows[i].item, labels))
			exposition_u64(e, labels, CONTAINER_LABELS, v);
	}
}

static uint64_t usage(const struct cgroup_stat *stat)
{
	return stat->usage;
}

static uint64_t limit(const struct cgroup_stat *stat)
{
	return stat->limit;
}

void export_containers(struct reading *reading, struct exposition *e)
{
	struct label labels[CONTAINER_LABELS + 1];
	const struct container_memory *rows = reading->containers;
	size_t n = reading->n_containers;

	if (!reading->pods)
		return;
	put_value(rows, n, e, "memdiag_container_memory_usage_bytes",
		  "Memory charged to the container.", usage);
	put_value(rows, n, e, "memdiag_container_memory_working_set_bytes",
		  "Usage without inactive file cache, as the kubelet reckons.", working_set);
	put_value(rows, n, e, "memdiag_container_memory_limit_bytes",
		  "Smallest limit of the container and what it is in.", limit);
	exposition_family(
		e, "memdiag_container_memory_bytes", EXPOSITION_GAUGE,
		"What the container's memory is; parts overlap: cache holds shmem and file.");
	for (size_t i = 0; i < n; i++) {
		(void)container_labels(rows[i].item, labels);
		for (size_t k = 0; k < ARRAY_SIZE(parts); k++) {
			uint64_t v;

			memcpy(&v, (const char *)&rows[i].stat + parts[k].offset, sizeof(v));
			labels[CONTAINER_LABELS] = (struct label){"part", parts[k].part};
			exposition_u64(e, labels, CONTAINER_LABELS + 1, v);
		}
	}
}
