/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/dentries_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define SIGMAS 1.96 /* 95 % of a normal distribution */

void dentries_count_add(struct dentries_count *c, uint64_t unit, uint32_t n, uint32_t negative,
			uint32_t names)
{
	if (c->unit != unit + 1) {
		c->squares += (double)c->unit_n * (double)c->unit_n;
		c->unit = unit + 1;
		c->unit_n = 0;
	}
	c->unit_n += n;
	c->n += n;
	c->negative += negative;
	c->names += names;
}

uint64_t dentries_scaled(uint64_t n, double scale)
{
	return (uint64_t)llround((double)n * scale);
}

/* Horvitz and Thompson: each unit is in the sample with p = 1 / scale, so the variance is the sum of (1 - p) / p^2 * n^2. */
uint64_t dentries_error(const struct dentries_count *c, double scale)
{
	double squares = c->squares + (double)c->unit_n * (double)c->unit_n;

	return scale <= 1 ? 0 : (uint64_t)llround(SIGMAS * sqrt(scale * (scale - 1) * squares));
}

/* Forgets directories with at most `most` entries. */
static void prune(struct dentries_dirs *d, uint64_t most)
{
	size_t kept = 0;

	pages_index_done(&d->of);
	for (size_t i = 0; i < d->n; i++) {
		if (d->v[i].count.n <= most) {
			d->pruned_entries += d->v[i].count.n;
			continue;
		}
		d->v[kept] = d->v[i];
		pages_index_add(&d->of, d->v[kept].dentry, (uint32_t)kept);
		kept++;
	}
	d->n = kept;
}

static struct dentries_dir *dir_new(struct dentries_dirs *d, uint64_t dentry, uint32_t sb)
{
	struct dentries_dir *dir;

	for (uint64_t most = 1; d->n >= d->max; most *= 2) {
		prune(d, most);
		/* Half of it free, or it would be pruned for each one that comes. */
		if (d->n > d->max / 2)
			prune(d, most * 2);
	}
	if (d->n == d->cap) {
		d->cap = d->cap ? d->cap * 2 : 1024;
		d->v = xreallocarray(d->v, d->cap, sizeof(*d->v));
	}
	pages_index_add(&d->of, dentry, (uint32_t)d->n);
	dir = &d->v[d->n++];
	memset(dir, 0, sizeof(*dir));
	dir->dentry = dentry;
	dir->sb = sb;
	d->added++;
	return dir;
}

static void vote(struct dentries_dir *dir, uint32_t group, uint32_t n)
{
	if (dir->group == group) {
		dir->votes += n;
	} else if (dir->votes >= n) {
		dir->votes -= n;
	} else {
		dir->group = group;
		dir->votes = n - dir->votes;
	}
}

uint32_t dentries_dir_group(const struct dentries_dir *dir)
{
	return dir->votes * 2 > dir->count.n ? dir->group : UINT32_MAX;
}

void dentries_dirs_add(struct dentries_dirs *d, uint64_t dentry, uint32_t sb, uint32_t group,
		       uint64_t unit, uint32_t n, uint32_t negative, uint32_t names)
{
	uint32_t *known = pages_index_find(&d->of, dentry);
	struct dentries_dir *dir = known ? &d->v[*known] : dir_new(d, dentry, sb);

	dentries_count_add(&dir->count, unit, n, negative, names);
	vote(dir, group, n);
}

static int by_entries(const void *pa, const void *pb)
{
	const struct dentries_dir *a = pa, *b = pb;

	if (a->count.n != b->count.n)
		return a->count.n > b->count.n ? -1 : 1;
	return (a->dentry > b->dentry) - (a->dentry < b->dentry);
}

void dentries_dirs_sort(struct dentries_dirs *d)
{
	pages_index_done(&d->of);
	if (d->n > 1)
		qsort(d->v, d->n, sizeof(*d->v), by_entries);
}

void dentries_dirs_done(struct dentries_dirs *d)
{
	free(d->v);
	pages_index_done(&d->of);
	memset(d, 0, sizeof(*d));
}
