/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to `pages`: the rooms behind pages.h.
 *
 *	pages.c         order of events and the snapshot's life
 *	pages_kernel.c  loads the BPF object and runs its programs
 *	pages_anchor.c  where struct page begins (vmemmap.h)
 *	pages_ranges.c  which page frames there are (vmemmap.h), /proc/vmstat
 *	pages_table.c   the counts
 *	pages_groups.c  memory cgroups and superblocks, as they turn up
 *	pages_select.c  totals, and which files are worth a name
 *	pages_names.c   names of these
 *	pages_link.c    memory cgroups, and who points to whom
 */
#ifndef MEMDIAG_INSTRUMENTS_PAGES_INTERNAL_H
#define MEMDIAG_INSTRUMENTS_PAGES_INTERNAL_H

#include "instruments/bpf_run.h"
#include "instruments/pages.h"
#include "instruments/pages_table.h"
#include "instruments/vmemmap.h"

#define PAGES_TMPFS_MAGIC     0x01021994ULL
#define PAGES_BDEV_MAGIC      0x62646576ULL
#define PAGES_HUGETLBFS_MAGIC 0x958458f6ULL
#define PAGES_SB_KERNMOUNT    (1ULL << 22) /* the kernel's own mount of a filesystem */

/* Ceilings. A host's cgroups and superblocks are thousands; beyond, pages count for "no cgroup" and "other". */
#define PAGES_MAX_MEMCGS ((size_t)1 << 18)
#define PAGES_MAX_SUPERS ((size_t)65535)
/* Shared memory files grouped by directory: the largest. */
#define PAGES_MAX_SHMEM ((size_t)65536)

struct pages_bpf; /* the skeleton */

/* --- pages_kernel.c: the loaded object ------------------------------------------------------------------------------- */

struct pages_kernel {
	struct pages_bpf *skel;
	struct bpf_calls calls;
};

enum pages_program {
	PAGES_PROGRAM_SCAN,
	PAGES_PROGRAM_CHECK,
	PAGES_PROGRAM_PARENT,
	PAGES_PROGRAM_DENTRY,
	PAGES_PROGRAM_INODE,
	PAGES_PROGRAM_SUPER,
	PAGES_PROGRAM_GROUP,
};

/* With ids (n of them, at most PAGES_MAX_MEMCG_IDS, in any order) the scan logs pages of these memory cgroups only. */
int pages_kernel_load(struct pages_kernel *k, const uint64_t *ids, size_t n, struct err *err);
void pages_kernel_unload(struct pages_kernel *k);
/* Runs a program once. Returns its CPU time in ns, or -errno. */
int64_t pages_kernel_run(struct pages_kernel *k, enum pages_program program);

/* Where struct page begins, by the loaded object's programs; for pages_anchor_*(). */
struct pages_anchor_programs pages_kernel_anchor(struct pages_kernel *k);

/* --- pages_ranges.c ---------------------------------------------------------------------------------------------------- */

/* Pages, from /proc/vmstat. */
struct pages_vmstat {
	uint64_t file_pages;  /* nr_file_pages without the swap cache */
	uint64_t moved_pages; /* since boot, of any kind */
};
int pages_vmstat_read(const struct root *proc, struct pages_vmstat *ret, struct err *err);

/* --- the state of one scan -------------------------------------------------------------------------------------------- */

#define PAGES_NO_SLOT SIZE_MAX

struct pages_best {
	size_t slot; /* in table.entries; PAGES_NO_SLOT: none */
	uint64_t pages;
};

struct pages_memcg_rec {
	uint64_t id;
	char *path;
	bool dying;
	uint64_t unnamed; /* pages that found no room in the table */
	uint64_t pages, shmem, dirty;
	struct pages_best file, shmem_file;
};

struct pages_super_rec {
	uint64_t root; /* dentry */
	uint32_t dev;
	enum pages_kind kind;
	bool hugetlb;
	bool kernel_mount;
	char fstype[32];
	char id[32];
};

struct pages_work {
	const struct pages_opts *opts;
	struct pages_kernel kernel;
	struct pages_table table;
	struct pages_memcg_rec *memcgs; /* [0]: charged to none */
	size_t n_memcgs, cap_memcgs;
	struct pages_index
		memcg_of; /* what pages point to (memcg or objcg) -> index; and the memcg itself */
	struct pages_super_rec *supers; /* [0]: other */
	size_t n_supers, cap_supers;
	struct pages_index super_of;
	uint64_t cached_memcg; /* the last answer */
	uint32_t cached_memcg_index;
	uint64_t cached_super;
	uint32_t cached_super_index;
	size_t *selected; /* slots of table.entries */
	size_t n_selected;
	uint64_t memcgs_unresolved, supers_unresolved;
};

/* --- pages_groups.c --------------------------------------------------------------------------------------------------- */

void pages_groups_init(struct pages_work *w);
void pages_groups_done(struct pages_work *w);
/* Index of the memory cgroup for an address found in a page. Asks the kernel the first time. */
uint32_t pages_memcg_index(struct pages_work *w, uint64_t address);
uint32_t pages_super_index(struct pages_work *w, uint64_t address);
/* From the kernel's answer. */
struct pages_super;
void pages_super_fill(struct pages_super_rec *ret, const struct pages_super *answer);

/* --- pages_select.c ---------------------------------------------------------------------------------------------------- */

/* Asks the kernel which mappings are files, adds the totals up, and chooses what to resolve. */
int pages_select(struct pages_work *w, struct pages_snapshot *s, struct err *err);

/* --- pages_names.c ----------------------------------------------------------------------------------------------------- */

/* The names as a path; "/" when there are none. The caller frees it. */
struct pages_chain;
char *pages_chain_join(const struct pages_chain *chain);
/* Asks the kernel about the selected files, largest first. One that is gone by now is left out. */
int pages_name_files(struct pages_work *w, struct pages_snapshot *s, struct err *err);
/* Sums shared memory up by directory and asks for the names of the largest. */
int pages_name_directories(struct pages_work *w, struct pages_snapshot *s, struct err *err);

/* --- pages_link.c ------------------------------------------------------------------------------------------------------ */

/* Memory cgroups, and who of files and cgroups points to whom. w->selected is what pages_name_files() left. */
void pages_link(struct pages_work *w, struct pages_snapshot *s);

#endif
