/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for what was selected: one BPF call a file reads the inode and all names up to the superblock's root. Files and
 * directories may go away meanwhile; the program checks that the mapping is still that inode's after it has read.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../bpf/pages.h"
#include "pages.skel.h"

#include "base/mem.h"
#include "instruments/pages_internal.h"

#define DEV_MINOR_BITS 20 /* of the kernel's own dev_t */
#define DEV_MINOR_MASK ((1U << DEV_MINOR_BITS) - 1)

/* --- paths -------------------------------------------------------------------------------------------------------------- */

char *pages_chain_join(const struct pages_chain *chain)
{
	uint32_t n = chain->n <= PAGES_DEPTH ? chain->n : PAGES_DEPTH;
	size_t len = 2;
	char *path, *at;

	for (uint32_t i = 0; i < n; i++)
		len += strnlen(chain->names[i], PAGES_NAME - 1) + 1;
	path = at = xmalloc(len);
	for (uint32_t i = n; i-- > 0;) {
		size_t part = strnlen(chain->names[i], PAGES_NAME - 1);

		*at++ = '/';
		memcpy(at, chain->names[i], part);
		at += part;
	}
	if (n == 0)
		*at++ = '/';
	*at = '\0';
	return path;
}

/* NULL: it is a nameless root, as filesystems make for file handles. */
static char *chain_path(const struct pages_kernel *k, uint64_t sb_root)
{
	const struct pages_chain *chain = &k->skel->bss->chain;

	/* A dentry without a parent, and not the root: a memfd has its name there. */
	if (chain->n == 0 && chain->cur != sb_root) {
		if (strcmp(chain->names[0], "/") == 0 || chain->names[0][0] == '\0')
			return NULL;
		return xasprintf("/%.*s", PAGES_NAME - 1, chain->names[0]);
	}
	return pages_chain_join(chain);
}

/* --- files -------------------------------------------------------------------------------------------------------------- */

/* Returns false when the file is gone. */
static bool file_from_inode(struct pages_work *w, const struct pages_entry *e, struct pages_file *f)
{
	const struct pages_inode *inode = &w->kernel.skel->bss->inode;
	const struct pages_super_rec *sb = &w->supers[e->sb];
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	uint32_t dev = sb->kind == PAGES_BDEV ? inode->rdev : sb->dev;

	if (!inode->valid || pages_super_index(w, inode->sb) != e->sb)
		return false;
	memset(f, 0, sizeof(*f));
	f->dev_major = dev >> DEV_MINOR_BITS;
	f->dev_minor = dev & DEV_MINOR_MASK;
	f->inode = inode->ino;
	f->generation = inode->generation;
	f->kind = sb->kind;
	memcpy(f->fstype, sb->fstype, sizeof(f->fstype));
	memcpy(f->sb_id, sb->id, sizeof(f->sb_id));
	if (inode->dentry && sb->kind != PAGES_BDEV) {
		f->path = chain_path(&w->kernel, sb->root);
		f->path_truncated = !w->kernel.skel->bss->chain.done;
	}
	f->deleted = inode->nlink == 0;
	f->kernel_mount = sb->kernel_mount;
	f->size_bytes = inode->size;
	f->cached_bytes = e->pages * page_size;
	f->dirty_bytes = e->dirty * page_size;
	return true;
}

/* qsort() has no argument; a scan is not concurrent with itself in one thread. */
static _Thread_local const struct pages_entry *sorted_entries;

static int by_pages_desc(const void *a, const void *b)
{
	const struct pages_entry *x = &sorted_entries[*(const size_t *)a];
	const struct pages_entry *y = &sorted_entries[*(const size_t *)b];

	if (x->pages != y->pages)
		return x->pages < y->pages ? 1 : -1;
	return (x->mapping > y->mapping) - (x->mapping < y->mapping);
}

static void sort_slots(const struct pages_work *w, size_t *slots, size_t n)
{
	if (n == 0)
		return;
	sorted_entries = w->table.entries;
	qsort(slots, n, sizeof(*slots), by_pages_desc);
}

int pages_name_files(struct pages_work *w, struct pages_snapshot *s, struct err *err)
{
	struct pages_inode *inode = &w->kernel.skel->bss->inode;
	size_t n = 0;
	int64_t ns;

	sort_slots(w, w->selected, w->n_selected);
	s->files = xcalloc(w->n_selected + 1, sizeof(*s->files));
	for (size_t i = 0; i < w->n_selected; i++) {
		const struct pages_entry *e = &w->table.entries[w->selected[i]];

		inode->mapping = e->mapping;
		ns = pages_kernel_run(&w->kernel, PAGES_PROGRAM_INODE);
		if (ns < 0)
			return err_set(err, (int)-ns, "cannot ask for a file's name");
		if (file_from_inode(w, e, &s->files[n]))
			w->selected[n++] = w->selected[i];
	}
	s->n_files_kept = n;
	w->n_selected = n;
	return 0;
}

/* --- directories of shared memory --------------------------------------------------------------------------------------- */

struct dir {
	uint64_t dentry; /* 0: files without a directory, of a kernel mount */
	uint32_t sb;
	uint64_t files, pages;
};

struct dirs {
	struct dir *v;
	size_t n;
	struct pages_index of; /* dentry, or the superblock's number + 1 */
};

static void dir_add(struct dirs *d, const struct pages_entry *e, const struct pages_check *c)
{
	bool root = c->flags & PAGES_CHECK_ROOT;
	uint64_t key = root ? e->sb + 1ULL : c->parent;
	uint32_t *known;

	if (!(c->flags & PAGES_CHECK_VALID) || key == 0)
		return;
	known = pages_index_find(&d->of, key);
	if (!known) {
		if ((d->n & (d->n - 1)) == 0)
			d->v = xreallocarray(d->v, d->n ? d->n * 2 : 1, sizeof(*d->v));
		memset(&d->v[d->n], 0, sizeof(*d->v));
		d->v[d->n].dentry = root ? 0 : c->parent;
		d->v[d->n].sb = e->sb;
		pages_index_add(&d->of, key, (uint32_t)d->n++);
		known = pages_index_find(&d->of, key);
	}
	d->v[*known].files++;
	d->v[*known].pages += e->pages;
}

static int dirs_group(struct pages_work *w, struct dirs *d, const size_t *slots, size_t n)
{
	struct pages_bpf__bss *bss = w->kernel.skel->bss;
	int64_t ns;

	for (size_t at = 0; at < n; at += PAGES_BATCH) {
		size_t batch = n - at < PAGES_BATCH ? n - at : PAGES_BATCH;

		for (size_t i = 0; i < batch; i++)
			bss->checks[i].mapping = w->table.entries[slots[at + i]].mapping;
		bss->n_checks = (__u32)batch;
		ns = pages_kernel_run(&w->kernel, PAGES_PROGRAM_PARENT);
		if (ns < 0)
			return (int)ns;
		for (size_t i = 0; i < batch; i++)
			dir_add(d, &w->table.entries[slots[at + i]], &bss->checks[i]);
	}
	return 0;
}

static int by_dir_pages_desc(const void *a, const void *b)
{
	const struct dir *x = a, *y = b;

	return (x->pages < y->pages) - (x->pages > y->pages);
}

/* Returns false when the directory is gone. */
static bool dir_name(struct pages_work *w, const struct dir *d, struct pages_directory *ret)
{
	const struct pages_super_rec *sb = &w->supers[d->sb];
	struct pages_chain *chain = &w->kernel.skel->bss->chain;

	memset(ret, 0, sizeof(*ret));
	if (d->dentry) {
		chain->cur = d->dentry;
		if (pages_kernel_run(&w->kernel, PAGES_PROGRAM_DENTRY) < 0)
			return false;
		if (chain->done && chain->cur != sb->root)
			return false;
		ret->path = pages_chain_join(chain);
	} else {
		ret->path = xstrdup("/");
	}
	ret->dev_major = sb->dev >> DEV_MINOR_BITS;
	ret->dev_minor = sb->dev & DEV_MINOR_MASK;
	memcpy(ret->fstype, sb->fstype, sizeof(ret->fstype));
	ret->kernel_mount = sb->kernel_mount;
	ret->files = d->files;
	ret->bytes = d->pages * (uint64_t)sysconf(_SC_PAGESIZE);
	return true;
}

static size_t shmem_slots(const struct pages_work *w, size_t **ret)
{
	const uint16_t want = PAGES_ENTRY_VALID | PAGES_ENTRY_DENTRY | PAGES_ENTRY_SHMEM;
	size_t *slots = NULL, n = 0;

	for (size_t i = 0; i < w->table.n_slots; i++) {
		if ((w->table.entries[i].flags & want) != want)
			continue;
		if ((n & (n - 1)) == 0)
			slots = xreallocarray(slots, n ? n * 2 : 1, sizeof(*slots));
		slots[n++] = i;
	}
	*ret = slots;
	return n;
}

int pages_name_directories(struct pages_work *w, struct pages_snapshot *s, struct err *err)
{
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	struct dirs d = {NULL, 0, {NULL, NULL, 0, 0}};
	size_t *slots, n = shmem_slots(w, &slots), kept = 0;
	int r;

	if (n > PAGES_MAX_SHMEM)
		sort_slots(w, slots, n);
	for (size_t i = PAGES_MAX_SHMEM; i < n; i++)
		s->shmem_ungrouped_bytes += w->table.entries[slots[i]].pages * page_size;
	r = dirs_group(w, &d, slots, n < PAGES_MAX_SHMEM ? n : PAGES_MAX_SHMEM);
	if (r == 0 && d.n > 0) {
		qsort(d.v, d.n, sizeof(*d.v), by_dir_pages_desc);
		s->shmem_directories = xcalloc(d.n < w->opts->top ? d.n : w->opts->top,
					       sizeof(*s->shmem_directories));
		for (size_t i = 0; i < d.n && kept < w->opts->top; i++)
			if (dir_name(w, &d.v[i], &s->shmem_directories[kept]))
				kept++;
		s->n_shmem_directories = kept;
	}
	free(d.v);
	pages_index_done(&d.of);
	free(slots);
	if (r < 0)
		return err_set(err, -r, "cannot ask for the directories of shared memory");
	return 0;
}
