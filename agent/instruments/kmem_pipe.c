/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits in pipes. A pipe has pages only where data waits; its capacity would overstate thousands of idle ones by 64 KiB each.
 * The descriptor is duplicated (pidfd_getfd, 5.6) for as long as it takes to ask how many bytes wait in it: opening
 * /proc/PID/fd/N instead would make us a reader or writer.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "instruments/kmem_internal.h"

void kmem_pipe_done(struct kmem_reading *reading)
{
	if (reading->pidfd >= 0)
		(void)close(reading->pidfd);
	reading->pidfd = -1;
	reading->pidfd_pid = 0;
}

/* Bytes that wait in it; -errno. */
static int64_t waiting(struct kmem_reading *reading, const struct proc_fd *fd)
{
	_cleanup_close_ int pipe = -1;
	int bytes = 0;

	if (reading->pidfd_pid != fd->pid) {
		kmem_pipe_done(reading);
		reading->pidfd_pid = fd->pid;
		reading->pidfd = (int)syscall(SYS_pidfd_open, fd->pid, 0);
	}
	if (reading->pidfd < 0)
		return -ESRCH;
	pipe = (int)syscall(SYS_pidfd_getfd, reading->pidfd, (int)fd->fd, 0);
	if (pipe < 0)
		return -errno;
	return ioctl(pipe, FIONREAD, &bytes) < 0 ? -errno : bytes;
}

void kmem_pipe_fd(void *arg, const struct root *proc, const struct proc_fd *fd)
{
	struct kmem_reading *reading = arg;
	uint64_t inode;
	int64_t bytes;

	(void)proc;
	if (reading->recorded || !proc_link_inode(fd->target, "pipe:[", &inode) ||
	    !kmem_seen_add(&reading->pipes, inode))
		return;
	bytes = waiting(reading, fd);
	if (bytes == -EPERM || bytes == -ENOSYS)
		kmem_missing_add(&reading->missing,
				 bytes == -EPERM ? "what waits in pipes: needs CAP_SYS_PTRACE"
						 : "what waits in pipes: needs Linux 5.6");
	/* AtLeast: pages that are not full. */
	kmem_add(reading, KMEM_PIPE, KMEM_IN_RESIDUAL, KMEM_AT_LEAST, fd->pid, "",
		 bytes > 0 ? (uint64_t)bytes : 0, 1);
}
