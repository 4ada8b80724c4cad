/* SPDX-License-Identifier: Apache-2.0 */
/* What was counted becomes the snapshot: a sample is scaled up, and the largest directories get their names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../bpf/dentries.h"
#include "../bpf/pages.h"
#include "dentries.skel.h"

#include "base/mem.h"
#include "instruments/dentries_internal.h"

#define DEV_MINOR_BITS 20 /* of the kernel's own dev_t */
#define DEV_MINOR_MASK ((1U << DEV_MINOR_BITS) - 1)

/* Names are asked for at most so many times of what is wanted: directories go away meanwhile. */
#define TRIES 4

/*
 * What one object in the sample stands for. All slabs of a cache were seen, so their number is exact, and with it the total is
 * nearly; of blocks only their number is known.
 */
static double cache_scale(const struct dentries_work *w, uint32_t slot)
{
	const struct dentries_cache *c = &w->skel->bss->caches[slot % DENTRIES_CACHES];

	if (w->blocks || c->sampled == 0)
		return w->every;
	return (double)c->seen / (double)c->sampled;
}

static uint32_t dentry_slot(const struct dentries_work *w)
{
	for (uint32_t i = 0; i < DENTRIES_CACHES; i++) {
		if (w->skel->bss->caches[i].kind == DENTRIES_DENTRY)
			return i;
	}
	return 0;
}

static struct dentries_amount amount_of(const struct dentries_work *w,
					const struct dentries_count *c, uint32_t slot)
{
	double scale = cache_scale(w, slot);

	return (struct dentries_amount){
		.entries = dentries_scaled(c->n, scale),
		.entries_error = dentries_error(c, scale),
		.negative = dentries_scaled(c->negative, scale),
		.bytes = dentries_scaled(c->n * w->object_bytes[slot] + c->names, scale),
	};
}

static uint64_t bytes_of(const struct dentries_filesystem *f)
{
	return f->dentries.bytes + f->inodes.bytes;
}

static int by_bytes(const void *pa, const void *pb)
{
	const struct dentries_filesystem *a = pa, *b = pb;

	if (bytes_of(a) != bytes_of(b))
		return bytes_of(a) > bytes_of(b) ? -1 : 1;
	if (a->dev_major != b->dev_major)
		return a->dev_major < b->dev_major ? -1 : 1;
	return (a->dev_minor > b->dev_minor) - (a->dev_minor < b->dev_minor);
}

static void add_filesystems(const struct dentries_work *w, struct dentries_snapshot *s)
{
	s->filesystems = xcalloc(w->n_supers, sizeof(*s->filesystems));
	for (size_t i = 1; i < w->n_supers; i++) {
		const struct dentries_super_rec *sb = &w->supers[i];
		struct dentries_filesystem *f = &s->filesystems[s->n_filesystems];

		if (!sb->valid || sb->dentries.n + sb->inodes.n == 0)
			continue;
		f->dev_major = sb->info.dev >> DEV_MINOR_BITS;
		f->dev_minor = sb->info.dev & DEV_MINOR_MASK;
		memcpy(f->fstype, sb->info.fstype, sizeof(f->fstype));
		memcpy(f->sb_id, sb->info.id, sizeof(f->sb_id));
		f->kernel_mount = sb->info.kernel_mount;
		f->dentries = amount_of(w, &sb->dentries, dentry_slot(w));
		f->inodes = amount_of(w, &sb->inodes, sb->inode_slot);
		s->inodes.entries += f->inodes.entries;
		s->inodes.bytes += f->inodes.bytes;
		s->n_filesystems++;
	}
	if (s->n_filesystems > 1)
		qsort(s->filesystems, s->n_filesystems, sizeof(*s->filesystems), by_bytes);
}

static int by_group_bytes(const void *pa, const void *pb)
{
	const struct dentries_group *a = pa, *b = pb;
	uint64_t x = a->dentries.bytes + a->inodes.bytes, y = b->dentries.bytes + b->inodes.bytes;

	if (x != y)
		return x > y ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

static void add_groups(struct dentries_work *w, struct dentries_snapshot *s)
{
	s->groups = xcalloc(w->n_groups, sizeof(*s->groups));
	for (size_t i = 0; i < w->n_groups; i++) {
		struct dentries_group_rec *from = &w->groups[i];
		struct dentries_group *to = &s->groups[s->n_groups];
		double scale = w->every; /* a group's inodes are of many caches */

		if (from->dentries.n + from->inodes.n == 0)
			continue;
		to->id = from->id;
		to->path = xstrdup(from->path);
		to->dying = from->dying;
		to->dentries = amount_of(w, &from->dentries, dentry_slot(w));
		to->inodes = (struct dentries_amount){
			.entries = dentries_scaled(from->inodes.n, scale),
			.entries_error = dentries_error(&from->inodes, scale),
			.bytes = dentries_scaled(from->inodes.names, scale),
		};
		s->n_groups++;
	}
	if (s->n_groups > 1)
		qsort(s->groups, s->n_groups, sizeof(*s->groups), by_group_bytes);
}

/* Where the memory cgroup of that number is in the snapshot. */
static size_t group_at(const struct dentries_work *w, const struct dentries_snapshot *s,
		       uint32_t group)
{
	for (size_t i = 0; group != UINT32_MAX && i < s->n_groups; i++) {
		if (s->groups[i].id == w->groups[group].id)
			return i;
	}
	return SIZE_MAX;
}

/* Returns false when the directory is gone: its names do not lead to its superblock's root. */
static bool name_directory(struct dentries_work *w, const struct dentries_dir *dir,
			   struct dentries_directory *ret)
{
	const struct dentries_super_rec *sb = &w->supers[dir->sb];
	struct pages_chain *chain = &w->skel->bss->chain;

	chain->cur = dir->dentry;
	if (bpf_run(w->skel->progs.dentries_dentry, &w->calls) < 0 ||
	    (chain->done && chain->cur != sb->info.root))
		return false;
	*ret = (struct dentries_directory){
		.dev_major = sb->info.dev >> DEV_MINOR_BITS,
		.dev_minor = sb->info.dev & DEV_MINOR_MASK,
		.path = pages_chain_join(chain),
		.path_truncated = !chain->done,
		.kernel_mount = sb->info.kernel_mount,
		.dentries = amount_of(w, &dir->count, dentry_slot(w)),
	};
	memcpy(ret->fstype, sb->info.fstype, sizeof(ret->fstype));
	return true;
}

static void add_directories(struct dentries_work *w, struct dentries_snapshot *s)
{
	size_t most = w->opts->top * TRIES;

	dentries_dirs_sort(&w->dirs);
	s->directories_seen = w->dirs.added;
	s->pruned_entries = w->dirs.pruned_entries;
	s->directories = xcalloc(w->opts->top, sizeof(*s->directories));
	for (size_t i = 0; i < w->dirs.n && i < most && s->n_directories < w->opts->top; i++) {
		const struct dentries_dir *dir = &w->dirs.v[i];
		struct dentries_directory *d = &s->directories[s->n_directories];

		if (dir->sb == 0 || !name_directory(w, dir, d)) {
			s->directories_gone++;
			continue;
		}
		d->group = group_at(w, s, dentries_dir_group(dir));
		s->n_directories++;
	}
}

int dentries_result(struct dentries_work *w, struct dentries_snapshot *s, struct err *err)
{
	const struct dentries_bpf__bss *bss = w->skel->bss;

	(void)err;
	s->sample_every = w->every;
	s->sample_blocks = w->blocks;
	s->unused_objects = bss->scan.unused;
	s->refused += bss->scan.refused + bss->scan.too_many;
	for (size_t i = 0; i < DENTRIES_CACHES; i++) {
		s->slabs += bss->caches[i].seen;
		s->slabs_sampled += bss->caches[i].sampled;
	}
	s->dentries = amount_of(w, &w->dentries, dentry_slot(w));
	add_filesystems(w, s);
	s->inodes.entries_error = dentries_error(&w->inodes, w->every);
	add_groups(w, s);
	add_directories(w, s);
	return 0;
}
