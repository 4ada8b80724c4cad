/* SPDX-License-Identifier: Apache-2.0 */
/* Memory behind open files: memfd, secret memory, huge pages; and the pools of huge pages. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"
#include "instruments/kmem_internal.h"

enum { STATUS_MAX = 16384 };

#define POOLS	     "kernel/mm/hugepages"
#define HUGE_MAX_SUM (1ULL << 50)

DEFINE_CLEANUP(dir, DIR *, closedir);

/* pages * size, or as much as any machine could have. */
static uint64_t pool_bytes(const struct root *sys, const char *pool, const char *file,
			   uint64_t page_bytes)
{
	char rel[128];
	unsigned long long pages;

	(void)snprintf(rel, sizeof(rel), POOLS "/%s/%s", pool, file);
	if (root_read_u64(sys, rel, &pages, NULL) < 0 || pages > HUGE_MAX_SUM / page_bytes)
		return 0;
	return pages * page_bytes;
}

static void add_pool(struct kmem_reading *reading, const char *name)
{
	char digits[16] = "", what[64];
	uint64_t kib, total, unused, reserved;
	size_t n;

	if (strncmp(name, "hugepages-", 10) != 0)
		return;
	n = strspn(name + 10, "0123456789");
	if (n == 0 || n >= sizeof(digits) || strcmp(name + 10 + n, "kB") != 0)
		return;
	memcpy(digits, name + 10, n);
	if (num_u64(digits, 1, 1ULL << 32, &kib) < 0)
		return;
	total = pool_bytes(&reading->sys, name, "nr_hugepages", kib << 10);
	unused = pool_bytes(&reading->sys, name, "free_hugepages", kib << 10);
	reserved = pool_bytes(&reading->sys, name, "resv_hugepages", kib << 10);
	reading->huge_pool += total;
	reading->huge_free += unused;
	reserved = reserved < unused ? reserved : unused;
	(void)snprintf(what, sizeof(what), "free, %llu KiB pages", (unsigned long long)kib);
	kmem_add(reading, KMEM_HUGE_PAGES, KMEM_IN_HUGE_PAGES, KMEM_EXACT, 0, what,
		 unused - reserved, (unused - reserved) / (kib << 10));
	(void)snprintf(what, sizeof(what), "promised but not used yet, %llu KiB pages",
		       (unsigned long long)kib);
	kmem_add(reading, KMEM_HUGE_PAGES, KMEM_IN_HUGE_PAGES, KMEM_EXACT, 0, what, reserved,
		 reserved / (kib << 10));
}

void kmem_read_huge_pools(struct kmem_reading *reading)
{
	int fd = reading->sys.fd < 0
			 ? -1
			 : openat(reading->sys.fd, POOLS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(dir_cleanup) DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		add_pool(reading, entry->d_name);
}

void kmem_huge_process(void *arg, const struct root *proc, pid_t pid)
{
	struct kmem_reading *reading = arg;
	_cleanup_buf_ struct buf text = BUF_INIT(STATUS_MAX);
	char rel[32], value[32];
	uint64_t kib;
	size_t n;

	reading->huge_left = 0;
	if (reading->huge_pool == 0)
		return;
	(void)snprintf(rel, sizeof(rel), "%d/status", pid);
	if (root_read(proc, rel, &text, NULL) < 0 || !text.data ||
	    !proc_field_text(text.data, "HugetlbPages", value, sizeof(value)))
		return;
	n = strspn(value, "0123456789");
	value[n] = '\0';
	if (num_u64(value, 0, HUGE_MAX_SUM >> 10, &kib) < 0)
		return;
	reading->huge_left = kib << 10;
	reading->huge_mapped += kib << 10;
	/* AtMost: a page that two processes map is counted with both. */
	kmem_add(reading, KMEM_HUGE_PAGES, KMEM_IN_HUGE_PAGES, KMEM_AT_MOST, pid, "mapped",
		 kib << 10, 1);
}

/* Of a huge page file only what its holder does not map: that is counted already. */
static void add_huge_file(struct kmem_reading *reading, pid_t pid, const char *what, uint64_t bytes)
{
	uint64_t covered = bytes < reading->huge_left ? bytes : reading->huge_left;

	reading->huge_left -= covered;
	reading->huge_in_files += bytes - covered;
	kmem_add(reading, KMEM_HUGE_PAGES, KMEM_IN_HUGE_PAGES, KMEM_EXACT, pid, what,
		 bytes - covered, 1);
}

static void add_file(struct kmem_reading *reading, const struct root *proc,
		     const struct proc_fd *fd, const char *what, bool secret)
{
	char rel[48];
	_cleanup_close_ int file = -1;
	struct stat st;
	struct statfs fs;
	uint64_t bytes;

	(void)snprintf(rel, sizeof(rel), "%d/fd/%u", fd->pid, fd->fd);
	/* O_PATH opens nothing: the file's owner sees no difference. */
	file = openat(proc->fd, rel, O_PATH | O_CLOEXEC);
	if (file < 0 || fstat(file, &st) < 0 || fstatfs(file, &fs) < 0 ||
	    !kmem_seen_add(&reading->files, (uint64_t)st.st_ino ^ (uint64_t)st.st_dev << 40))
		return;
	bytes = (uint64_t)st.st_blocks * 512;
	if (secret) /* It counts no blocks. */
		kmem_add(reading, KMEM_SECRET_MEM, KMEM_IN_PAGE_CACHE, KMEM_AT_MOST, fd->pid, what,
			 (uint64_t)st.st_size, 1);
	else if (fs.f_type == HUGETLBFS_MAGIC)
		add_huge_file(reading, fd->pid, what, bytes);
	else if (strncmp(fd->target, "/memfd:", 7) == 0)
		kmem_add(reading, KMEM_MEMFD, KMEM_IN_SHMEM, KMEM_EXACT, fd->pid, what, bytes, 1);
}

/* Files of a mounted hugetlbfs are known by a path with "huge" in it: asking each open file for its filesystem costs too much. */
void kmem_file_fd(void *arg, const struct root *proc, const struct proc_fd *fd)
{
	struct kmem_reading *reading = arg;
	char what[64];
	size_t len = strlen(fd->target);

	if (reading->recorded)
		return;
	if (len > 10 && strcmp(fd->target + len - 10, " (deleted)") == 0)
		len -= 10;
	if (strncmp(fd->target, "/memfd:", 7) == 0) {
		(void)snprintf(what, sizeof(what), "%.*s", (int)(len - 7 < 63 ? len - 7 : 63),
			       fd->target + 7);
		add_file(reading, proc, fd, what, false);
	} else if (len == 10 && strncmp(fd->target, "/secretmem", 10) == 0) {
		add_file(reading, proc, fd, "", true);
	} else if (reading->huge_pool > 0 && fd->target[0] == '/' && strstr(fd->target, "huge")) {
		(void)snprintf(what, sizeof(what), "%.*s", (int)(len < 63 ? len : 63), fd->target);
		add_file(reading, proc, fd, what, false);
	}
}

/* What is taken from the pools and was not found with a process: files that nobody has open, SysV segments. */
void kmem_read_huge_rest(struct kmem_reading *reading)
{
	uint64_t found = reading->huge_free + reading->huge_mapped + reading->huge_in_files;

	if (reading->huge_pool > found)
		kmem_add(reading, KMEM_HUGE_PAGES, KMEM_IN_HUGE_PAGES, KMEM_AT_MOST, 0,
			 "used, but neither mapped nor open", reading->huge_pool - found, 1);
}
