/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory controller's files: where it is mounted, and one cgroup's usage and limits. v1 and v2 in the same terms.
 */
#ifndef MEMDIAG_INSTRUMENTS_CGROUPFS_H
#define MEMDIAG_INSTRUMENTS_CGROUPFS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"
#include "instruments/keyvalue.h"

enum cgroup_mode {
	CGROUP_NONE, /* no memory controller */
	CGROUP_V1,
	CGROUP_V2,
	CGROUP_HYBRID, /* v2 is mounted, but the memory controller is v1's */
};

struct cgroupfs {
	enum cgroup_mode mode;
	struct root memory;  /* the mount of the memory controller's hierarchy */
	struct root hugetlb; /* the hugetlb controller's, where it is another one; fd -1: none */
};

#define CGROUPFS_INIT                                                          \
	{                                                                      \
		.mode = CGROUP_NONE, .memory = ROOT_INIT, .hugetlb = ROOT_INIT \
	}

/* "v1", "v2", "hybrid", as the CRD has it; "" for CGROUP_NONE. */
const char *cgroup_mode_name(enum cgroup_mode mode);

/* path is /sys/fs/cgroup or where it is mounted for us. Not an error when there is no memory controller. */
int cgroupfs_open(struct cgroupfs *cg, const char *path, struct err *err);
void cgroupfs_close(struct cgroupfs *cg);

/* Bytes. UINT64_MAX: no limit, or the file is missing. */
struct cgroup_usage {
	uint64_t usage; /* memory.usage_in_bytes, memory.current */
	uint64_t
		inactive_file; /* of the whole subtree; the kubelet's working set is usage minus this */
	uint64_t limit;	       /* the smallest of its own and its ancestors' */
	uint64_t high;	       /* v2: its own memory.high */
};

/* What a cgroup's memory is, subtree included; bytes. 0 where the kernel has no such counter. */
struct cgroup_stat {
	uint64_t usage;	      /* UINT64_MAX: it could not be read */
	uint64_t anon, cache; /* cache: files and shmem */
	uint64_t shmem, active_file, inactive_file, inactive_anon, active_anon, dirty, writeback;
	uint64_t swap_cached; /* in memory and on swap; what of it is mapped is in anon too */
	uint64_t kernel;      /* all kernel memory charged to it; v2 before 5.18: 0 */
	/* Of the kernel's; v2 only. page_tables: KVM's and the IOMMU's too. */
	uint64_t slab_reclaimable, slab_unreclaimable, kernel_stack, page_tables, sec_page_tables;
	uint64_t percpu, vmalloc, zswap;
	uint64_t
		socket; /* v1: kmem.tcp, which usage leaves out, and which counts only below a limit */
	uint64_t hugetlb_inside; /* v2 with memory_hugetlb_accounting (6.7): inside of usage */
	uint64_t limit;		 /* the smallest of its own and its ancestors'; UINT64_MAX: none */
};

/* One read of memory.stat, which makes the kernel sum its per-CPU counters up. -ENOENT: the cgroup is gone. */
int cgroupfs_stat(const struct cgroupfs *cg, const char *path, struct cgroup_stat *ret,
		  struct parse_notes *notes, struct err *err);
/*
 * Since it was made; UINT64_MAX: unknown. v1 counts in at_limit what its own limit stopped, but not where the limit with swap is as
 * low and stops it first; v2 counts what happened to cgroups below it too.
 */
struct cgroup_events {
	uint64_t at_limit;
	uint64_t oom_kills; /* processes that were killed for want of memory; since 4.13 */
};

void cgroupfs_events(const struct cgroupfs *cg, const char *path, struct cgroup_events *ret);
/* Pure, for tests and fuzzing. */
void cgroupfs_parse_stat(const char *text, bool v2, struct cgroup_stat *ret,
			 struct parse_notes *notes);
/* Huge pages of all sizes that it uses, by the hugetlb controller. 0 where that is not mounted, or not enabled for it. */
uint64_t cgroupfs_hugetlb(const struct cgroupfs *cg, const char *path);

/* Whether that cgroup is there and has that file, such as "memory.reclaim", which not every kernel has. */
bool cgroupfs_has(const struct cgroupfs *cg, const char *path, const char *file);

/* path as struct pages_memcg has it ("/", "/kubepods/…"). -ENOENT: the cgroup is gone. */
int cgroupfs_usage(const struct cgroupfs *cg, const char *path, struct cgroup_usage *ret,
		   struct err *err);

#endif
