/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/latency_map.h"

#include <errno.h>
#include <stdlib.h>

#include <bpf/bpf.h>

#include "../bpf/latency.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"

#define IDLE_NS (600 * NSEC_PER_SEC)

enum {
	RETIRE_ABOVE = LATENCY_ROWS / 4 * 3,
	BATCH = 512, /* at a time: 160 KiB instead of 1.3 MiB */
};

struct batch {
	struct latency_key keys[BATCH];
	struct latency_value values[BATCH];
	uint64_t position; /* the kernel's */
};

static void push(struct latency_snapshot *s, size_t *cap, const struct latency_row *row)
{
	if (s->n == LATENCY_MAX_ROWS) {
		s->lost += row->hist.count;
		return;
	}
	if (s->n == *cap) {
		*cap = *cap ? *cap * 2 : 64;
		s->rows = xreallocarray(s->rows, *cap, sizeof(*s->rows));
	}
	s->rows[s->n++] = *row;
}

/* Only what nobody adds to: an event between reading and taking out would be lost. */
static void retire(struct latency_map *map, const struct batch *batch, uint32_t n, uint64_t now)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct latency_value *value = &batch->values[i];

		if (value->last_ns + IDLE_NS < now && batch->keys[i].cause < LATENCY_MAP_CAUSES &&
		    bpf_map_delete_elem(map->fd, &batch->keys[i]) == 0)
			hist_add(&map->retired[batch->keys[i].cause], &value->hist);
	}
}

/* Calls each for all batches. */
static int walk(struct latency_map *map, struct batch *batch,
		void (*each)(void *arg, struct batch *batch, uint32_t n), void *arg)
{
	bool first = true;
	int r;

	do {
		uint32_t n = BATCH;

		r = bpf_map_lookup_batch(map->fd, first ? NULL : &batch->position, &batch->position,
					 batch->keys, batch->values, &n, NULL);
		if (r < 0 && r != -ENOENT)
			return r;
		each(arg, batch, n);
		first = false;
	} while (r == 0);
	return 0;
}

struct reading {
	struct latency_map *map;
	struct latency_snapshot *s;
	size_t cap;
};

static void take(void *arg, struct batch *batch, uint32_t n)
{
	struct reading *reading = arg;

	for (uint32_t i = 0; i < n; i++) {
		const struct latency_row row = {
			.cgroup_id = batch->keys[i].cgroup,
			.target_id = batch->keys[i].target,
			.cause = batch->keys[i].cause,
			.hist = batch->values[i].hist,
		};

		if (row.hist.count > 0)
			push(reading->s, &reading->cap, &row);
	}
}

static void take_out(void *arg, struct batch *batch, uint32_t n)
{
	struct reading *reading = arg;

	retire(reading->map, batch, n, reading->s->time_ns);
}

int latency_map_read(struct latency_map *map, uint64_t lost, struct latency_snapshot **ret,
		     struct err *err)
{
	_cleanup_free_ struct batch *batch = xcalloc(1, sizeof(*batch));
	struct reading reading = {.map = map, .s = xcalloc(1, sizeof(*reading.s))};
	int r;

	reading.s->time_ns = clock_mono_ns();
	r = walk(map, batch, take, &reading);
	if (r < 0) {
		latency_snapshot_free(reading.s);
		return err_set(err, -r, "cannot read the table of latencies");
	}
	for (uint32_t cause = 0; cause < LATENCY_MAP_CAUSES; cause++) {
		const struct latency_row row = {.cause = cause, .hist = map->retired[cause]};

		if (row.hist.count > 0)
			push(reading.s, &reading.cap, &row);
	}
	if (reading.s->n > RETIRE_ABOVE)
		(void)walk(map, batch, take_out, &reading); /* counts from the next reading on */
	reading.s->lost += lost;
	latency_snapshot_sort(reading.s);
	*ret = reading.s;
	return 0;
}
