/* SPDX-License-Identifier: Apache-2.0 */
/* What is mapped from a driver or an anonymous inode: perf's buffers, NVIDIA's host memory, io_uring's rings where fdinfo is silent. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "instruments/keyvalue.h"
#include "instruments/kmem_internal.h"
#include "instruments/proc_timed.h"

static bool line_bytes(const char *line, uint64_t *ret)
{
	uint64_t from, to;
	size_t dash = strcspn(line, "-\n"), end;

	if (line[dash] != '-' || num_hex(line, dash, &from) < 0)
		return false;
	end = strcspn(line + dash + 1, " \n");
	if (line[dash + 1 + end] != ' ' || num_hex(line + dash + 1, end, &to) < 0 || to < from)
		return false;
	*ret = to - from;
	return true;
}

/* memory: what a mapping of that many bytes stands for; NULL: as many. */
static uint64_t sum_mappings(const char *maps, const char *name, uint64_t (*memory)(uint64_t bytes),
			     uint64_t *ret_count)
{
	size_t want = strlen(name);
	uint64_t sum = 0, bytes;

	*ret_count = 0;
	for (const char *line = maps; line && *line; line = strchr(line, '\n')) {
		size_t len;

		line += *line == '\n';
		len = strcspn(line, "\n");
		if (len <= want || line[len - want - 1] != ' ' ||
		    memcmp(line + len - want, name, want) != 0 || !line_bytes(line, &bytes))
			continue;
		bytes = memory ? memory(bytes) : bytes;
		if (bytes > KEYVALUE_MAX - sum)
			continue;
		sum += bytes;
		(*ret_count)++;
	}
	return sum;
}

uint64_t kmem_maps_bytes(const char *maps, const char *name, uint64_t *ret_count)
{
	return sum_mappings(maps, name, NULL, ret_count);
}

void kmem_read_maps(struct kmem_reading *reading, pid_t pid, struct buf *out)
{
	char rel[32];
	int r;

	(void)snprintf(rel, sizeof(rel), "%d/maps", pid);
	r = proc_read_timed(reading->proc, rel, PROC_TIMED_MS, out);
	if (r == -EFBIG)
		kmem_missing_add(&reading->missing, "mappings of process %d beyond 16 MiB of text",
				 pid);
	else if (r == -EACCES || r == -EPERM)
		kmem_missing_add(&reading->missing,
				 "mappings of other users' processes: needs CAP_SYS_PTRACE");
	else if (r == -ETIMEDOUT)
		kmem_missing_add(&reading->missing,
				 "mappings of process %d: they are locked for more than 1 s; look "
				 "for its threads in state D",
				 pid);
	else if (r == -EBUSY)
		kmem_missing_add(&reading->missing,
				 "mappings of more processes: %d readings of locked ones hang",
				 PROC_TIMED_LEFT_MAX);
}

static uint64_t mapped(struct kmem_reading *reading, pid_t pid, const char *name,
		       uint64_t (*memory)(uint64_t bytes), uint64_t *ret_count)
{
	_cleanup_buf_ struct buf text = BUF_INIT(ROOT_FILE_MAX);

	*ret_count = 0;
	kmem_read_maps(reading, pid, &text);
	return text.data ? sum_mappings(text.data, name, memory, ret_count) : 0;
}

/*
 * A perf buffer is its mapping. A process that has closed the event and keeps the mapping is not found: reading the mappings of
 * every process to find it would cost milliseconds each.
 */
void kmem_perf_fd(void *arg, const struct root *proc, const struct proc_fd *fd)
{
	static const char name[] = "anon_inode:[perf_event]";
	struct kmem_reading *reading = arg;
	uint64_t bytes, count;

	(void)proc;
	if (reading->perf_pid == fd->pid || strcmp(fd->target, name) != 0)
		return;
	reading->perf_pid = fd->pid;
	bytes = mapped(reading, fd->pid, name, NULL, &count);
	kmem_add(reading, KMEM_PERF, KMEM_IN_RESIDUAL, KMEM_EXACT, fd->pid, "", bytes, count);
}

/*
 * The driver maps main memory through nvidiactl and the card's own through nvidia0, nvidia1, …. What it keeps for itself it shows
 * to nobody.
 */
void kmem_nvidia_fd(void *arg, const struct root *proc, const struct proc_fd *fd)
{
	static const char name[] = "/dev/nvidiactl";
	struct kmem_reading *reading = arg;
	uint64_t bytes, count;

	(void)proc;
	if (reading->nvidia_pid == fd->pid || strcmp(fd->target, name) != 0)
		return;
	reading->nvidia_pid = fd->pid;
	kmem_missing_add(&reading->missing,
			 "main memory inside NVIDIA's driver that no process has mapped");
	bytes = mapped(reading, fd->pid, name, NULL, &count);
	kmem_add(reading, KMEM_NVIDIA, KMEM_IN_RESIDUAL, KMEM_AT_LEAST, fd->pid, "", bytes, count);
}

static uint64_t field_entries(const char *fdinfo, const char *key)
{
	uint64_t mask;

	/* 2^20 entries are more than the kernel allows. */
	return proc_field(fdinfo, key, &mask) && mask < 1 << 20 ? mask + 1 : 0;
}

/*
 * The kernel takes one block of 2^n pages for each of both rings (io_mem_alloc_compound(); before 6.10 __get_free_pages()), single
 * pages only where that is larger than it can be: 4 MiB on most machines.
 */
static uint64_t block(uint64_t bytes, uint64_t page_size)
{
	uint64_t size = page_size;

	while (size < bytes && size < 4 << 20)
		size *= 2;
	return size >= bytes ? size : (bytes + page_size - 1) / page_size * page_size;
}

uint64_t kmem_uring_bytes(const char *fdinfo, uint64_t page_size)
{
	enum { HEADER = 192, SQE = 64, CQE = 16, INDEX = 4 };
	uint64_t sq = field_entries(fdinfo, "SqMask"), cq = field_entries(fdinfo, "CqMask");

	if (sq == 0 || cq == 0)
		return 0;
	return block(sq * SQE, page_size) + block(HEADER + cq * CQE + sq * INDEX, page_size);
}

static uint64_t mapped_block(uint64_t bytes)
{
	return block(bytes, (uint64_t)sysconf(_SC_PAGESIZE));
}

/*
 * Before 5.16 (83f84356bc8f) fdinfo does not have the sizes: then what is mapped, as it always is in use.
 *
 * A ring that two processes share is counted with both. AtLeast: SQE128 and CQE32, which double entries, are not shown.
 */
void kmem_uring_fd(void *arg, const struct root *proc, const struct proc_fd *fd)
{
	static const char name[] = "anon_inode:[io_uring]";
	struct kmem_reading *reading = arg;
	_cleanup_buf_ struct buf text = BUF_INIT(0);
	uint64_t bytes, count = 1;

	if (strcmp(fd->target, name) != 0 || proc_read_fdinfo(proc, fd, &text) < 0 || !text.data)
		return;
	bytes = kmem_uring_bytes(text.data, (uint64_t)sysconf(_SC_PAGESIZE));
	if (bytes == 0 && reading->uring_pid != fd->pid) {
		reading->uring_pid = fd->pid;
		bytes = mapped(reading, fd->pid, name, mapped_block, &count);
	}
	kmem_add(reading, KMEM_IO_URING, KMEM_IN_RESIDUAL, KMEM_AT_LEAST, fd->pid, "", bytes,
		 count);
}
