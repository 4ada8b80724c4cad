/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instrument `pages`: which file and which memory cgroup hold this host's page cache (shmem included), exactly, for every
 * mount namespace, closed and deleted files too. A BPF program walks all of struct page in calls of well under 1 ms; user
 * space adds the runs up and resolves only what it reports.
 *
 * Plain facts of the kernel: no pods, no mount prefixes, no judgement. Sizes are bytes; a page is PAGE_SIZE bytes.
 */
#ifndef MEMDIAG_INSTRUMENTS_PAGES_H
#define MEMDIAG_INSTRUMENTS_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/root.h"

/* What a file is, as far as its superblock tells. */
enum pages_kind {
	PAGES_FILE,  /* a file of an ordinary filesystem */
	PAGES_SHMEM, /* tmpfs, /dev/shm, SysV, memfd, shared anonymous memory */
	PAGES_BDEV,  /* a block device: filesystem metadata and raw device reads ("Buffers") */
};

/* One file's share that one memory cgroup is charged for. Charging is by first touch, not by use. */
struct pages_charge {
	size_t memcg; /* index into snapshot->memcgs */
	uint64_t bytes;
};

/* Identity is (device, inode, generation): an inode number alone is not unique. */
struct pages_file {
	uint32_t dev_major, dev_minor; /* the superblock's; of a block device its own */
	uint64_t inode;
	uint32_t generation;
	enum pages_kind kind;
	char fstype[32]; /* name of the filesystem type, such as "ext4" */
	char sb_id[32];	 /* the superblock's s_id: the device name for block filesystems */
	/*
	 * Path from the superblock's root, as bytes, beginning with '/'. For memfd and SysV segments the kernel's name, such as
	 * "/memfd:name" or "/SYSV0000002a". Owned by the snapshot; NULL when the inode has no dentry (it was reclaimed, or it
	 * is a block device): then only device and inode name it.
	 */
	char *path;
	bool path_truncated; /* deeper or longer than the instrument follows */
	bool deleted;	     /* no link left (i_nlink == 0); true for memfd and SysV as well */
	bool kernel_mount; /* on the kernel's own mount (memfd, SysV, shared anonymous memory): no path leads there */
	uint64_t size_bytes;
	uint64_t cached_bytes; /* in the page cache now, over all memcgs (of the filter) */
	uint64_t dirty_bytes;  /* of these, in dirty folios (whole folios); shmem always is */
	struct pages_charge *charges; /* descending by bytes; sum == cached_bytes */
	size_t n_charges;
};

struct pages_memcg {
	/* kernfs id == st_ino of the cgroup's directory; 0: pages charged to no cgroup */
	uint64_t id;
	char *path; /* below the cgroup mount, "/" for the root; owned by the snapshot, never NULL */
	bool dying;	       /* removed, but pinned by what is charged to it */
	uint64_t cached_bytes; /* all kinds */
	uint64_t shmem_bytes;
	uint64_t dirty_bytes; /* of files, not of shmem */
	/* Index into snapshot->files of its largest file that is not shmem, and of its largest shmem; SIZE_MAX: none. */
	size_t top_file, top_shmem;
};

/* Shared memory by directory: many small files add up to one finding. */
struct pages_directory {
	uint32_t dev_major, dev_minor;
	char fstype[32];
	char *path; /* from the superblock's root; owned by the snapshot */
	bool kernel_mount;
	uint64_t files;
	uint64_t bytes;
};

/*
 * With opts->memcg_ids all of it is about what is charged to these memory cgroups: a file's cached_bytes are what they are
 * charged for and not all that is cached of it, and the largest are the largest of these. Host-wide still are only
 * nr_file_pages_*, moved_pages, pfns, skipped_chunks and coverage. A cgroup that is freed during the scan may turn up as the root (see
 * memcgs_unresolved).
 */
struct pages_snapshot {
	const char *method; /* "bpf-page-scan" */
	/* Totals. Without a filter total == nr_file_pages - swap cache, up to what changed meanwhile. */
	uint64_t total_bytes;
	uint64_t shmem_bytes;
	uint64_t bdev_bytes;
	uint64_t dirty_bytes;
	/* Of files without a dentry: identified by device and inode only. Not of block devices. */
	uint64_t unresolved_bytes;
	uint64_t unresolved_files;
	uint64_t shmem_unresolved_bytes; /* of unresolved_bytes, shared memory */
	/* Beyond max_files: charged to a memcg, but the file was not kept. */
	uint64_t unnamed_bytes;
	uint64_t n_files; /* distinct files with at least one cached page */
	/*
	 * Cgroups and superblocks that were freed before they could be looked at, or are beyond the ceilings (262144, 65535):
	 * their pages count as charged to the root, and as files of no filesystem.
	 */
	uint64_t memcgs_unresolved, supers_unresolved;
	/* Pages, of /proc/vmstat around the scan, without swap cache. */
	uint64_t nr_file_pages_before, nr_file_pages_after;
	/*
	 * Pages, of any kind, that the kernel moved to other frames during the scan (by /proc/vmstat; 0: none). Each may be
	 * missing or counted twice, as the frame that it left and the one that it came to were looked at in either order. It is
	 * mostly khugepaged, 2 MiB a time: a file of 32 MiB was 34 MiB on Linux 7.2, which does that to every mapped file.
	 */
	uint64_t moved_pages;

	/*
	 * The files that were resolved: the `top` largest overall, the `top` largest shmem, and top_file/top_shmem of the
	 * memcgs; descending by cached_bytes. One that went away before it could be asked for its name is left out.
	 */
	struct pages_file *files;
	size_t n_files_kept;
	/* Every memcg with at least one page, descending by cached_bytes. */
	struct pages_memcg *memcgs;
	size_t n_memcgs;
	struct pages_directory *shmem_directories; /* the `top` largest, descending by bytes */
	size_t n_shmem_directories;
	uint64_t shmem_ungrouped_bytes; /* beyond the 65536 largest files: in no directory */

	/* How it went. */
	unsigned int coverage_permille; /* < 1000: the CPU budget ran out */
	uint64_t pfns;			/* page frames looked at */
	uint64_t skipped_chunks; /* chunks of struct page that could not be read (memory holes) */
	/* page->mapping that was no file mapping (freed meanwhile, other uses). In no total. */
	uint64_t invalid_pages;
	uint64_t duration_ns, cpu_ns;	     /* whole instrument, cpu of this thread */
	uint64_t bpf_calls, bpf_max_call_ns; /* CPU time of the longest single BPF call */
};

struct pages_opts {
	size_t top; /* files and directories to resolve, 1..PAGES_MAX_TOP */
	/* 0: none. Checked between calls of the scan; what was seen until then is resolved and is the result. */
	uint64_t cpu_budget_ns;
	uint64_t max_files; /* 0: PAGES_MAX_FILES */
	/*
	 * Only pages charged to these memory cgroups themselves (pages_memcg.id; below them is not included; 0: charged to
	 * none); in any order, at most PAGES_MAX_MEMCG_IDS. Of the others nothing leaves the kernel. An id that nobody has
	 * matches nothing: when none does, the snapshot is empty and that is no error. 0 ids: everything.
	 */
	const uint64_t *memcg_ids;
	size_t n_memcg_ids;
	/* Called between calls about every 200 ms; NULL is fine. */
	void (*progress)(void *arg, unsigned int permille);
	void *arg;
};

/* Ceiling of opts->top. What users may ask for is less; each file costs a BPF call of some microseconds. */
#define PAGES_MAX_TOP 131072u

/* Ceiling of opts->n_memcg_ids. */
#define PAGES_MAX_MEMCG_IDS 4096u

/* Ceiling of distinct files held during a scan, at 32 to 64 bytes each. */
#define PAGES_MAX_FILES ((uint64_t)1 << 20)

/*
 * Whether this kernel and these privileges allow the scan; loads nothing. 0, or -EOPNOTSUPP/-EPERM with the reason and what
 * is missing (BTF, a vmemmap, CAP_BPF, CAP_PERFMON, …).
 *
 * CAP_BPF and CAP_PERFMON are enough with memory cgroups: page frames come from /proc/zoneinfo, and where struct page begins
 * is told from the free lists; not on an arm64 before Linux 5.11, nor where its lowest zone lacks a whole section of memory. There
 * CAP_SYS_ADMIN is needed for the frame numbers in /proc/self/pagemap: without it the scan fails with -EIO and says so. Where
 * CAP_SYS_ADMIN is there, pagemap and /proc/iomem are used. Before 5.11 the memory of BPF maps counts against RLIMIT_MEMLOCK,
 * which takes CAP_SYS_RESOURCE to raise.
 */
int pages_probe(const struct root *proc, struct err *err);

/*
 * Scans and resolves. proc is the host's /proc. Nothing stays loaded or open afterwards. Errors: what pages_probe() says,
 * -EIO when the kernel's structures do not validate, -EINVAL when opts are out of range, and the load's own error.
 */
int pages_scan(const struct root *proc, const struct pages_opts *opts, struct pages_snapshot **ret,
	       struct err *err);

void pages_snapshot_free(struct pages_snapshot *snapshot);

#endif
