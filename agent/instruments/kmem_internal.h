/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of kmem_read(): a visitor for each kind that is found through the files of processes, and functions for the rest.
 * Parsers are pure, for tests and fuzzing. Private to instruments/ and its tests.
 */
#ifndef MEMDIAG_INSTRUMENTS_KMEM_INTERNAL_H
#define MEMDIAG_INSTRUMENTS_KMEM_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "instruments/kmem.h"
#include "instruments/proc_scan.h"

struct nlmsghdr;

/* Numbers that were seen, each once: of maps, inodes, clients. */
enum { KMEM_MAX_SEEN = 262144 };
struct kmem_seen {
	uint64_t *slots; /* open addressing, 0 is empty */
	size_t n, cap;
	uint64_t dropped;
};
/* True the first time; false afterwards, and beyond the ceiling (counted). */
bool kmem_seen_add(struct kmem_seen *seen, uint64_t number);
void kmem_seen_done(struct kmem_seen *seen);

/* Which process holds a socket: the first that was found. */
struct kmem_sockets {
	struct kmem_socket {
		uint64_t inode;
		pid_t pid;
	} * items;
	size_t n, cap;
	bool sorted;
	uint64_t dropped;
};
enum { KMEM_MAX_SOCKETS = 262144 };
pid_t kmem_sockets_find(struct kmem_sockets *sockets, uint64_t inode); /* 0: nobody */

/* One process for each network namespace. */
enum { KMEM_MAX_NETNS = 1024 };
struct kmem_netns {
	struct {
		uint64_t inode;
		pid_t pid;
	} items[KMEM_MAX_NETNS];
	size_t n;
	uint64_t own; /* ours; 0: unknown */
	uint64_t dropped, not_entered;
};

struct kmem_reading {
	const struct root *proc;
	struct root sys; /* fd -1: none */
	bool recorded;
	struct kmem_owners owners;
	struct kmem_missing missing;
	struct kmem_sockets sockets;
	struct kmem_netns netns;
	struct kmem_seen maps, progs, pipes, dma_bufs, drm_clients, files;
	pid_t perf_pid, nvidia_pid, uring_pid; /* whose maps have been read */
	pid_t pidfd_pid;		       /* whose pidfd is open */
	int pidfd;
	bool cards_asked, cards_shmem; /* where the buffers of GPUs are */
	uint64_t huge_pool; /* bytes of all pools; 0: no process is asked for huge pages */
	uint64_t huge_free, huge_mapped,
		huge_in_files; /* bytes; the latter: not mapped by their holder */
	uint64_t
		huge_left; /* of what the process at hand maps, bytes that no file of its has explained */
};

/* Adds a row; what may be NULL. */
void kmem_add(struct kmem_reading *reading, enum kmem_kind kind, enum kmem_line line,
	      enum kmem_certainty certainty, pid_t pid, const char *what, uint64_t bytes,
	      uint64_t count);

/* Before the pass: how large the pools of huge pages are. */
void kmem_read_huge_pools(struct kmem_reading *reading);

/* --- visitors; arg is the reading ------------------------------------------------------------------------------------- */
typedef void kmem_process_fn(void *arg, const struct root *proc, pid_t pid);
typedef void kmem_fd_fn(void *arg, const struct root *proc, const struct proc_fd *fd);

kmem_process_fn kmem_netns_process, kmem_huge_process;
kmem_fd_fn kmem_sockets_fd, kmem_bpf_fd, kmem_uring_fd, kmem_perf_fd, kmem_pipe_fd, kmem_dma_buf_fd,
	kmem_drm_fd, kmem_nvidia_fd, kmem_file_fd;

/* --- after the pass ---------------------------------------------------------------------------------------------------- */
void kmem_read_netlink(struct kmem_reading *reading);
/* The sockets of the namespace of this process, without entering it. */
void kmem_read_procnet(struct kmem_reading *reading, pid_t pid);
void kmem_read_rdma(struct kmem_reading *reading);
/* Names in `missing` why a dump of what failed with r; nothing when r is 0. */
void kmem_note_dump(struct kmem_reading *reading, const char *what, int r);
/* BPF maps that no process has open: pinned, or held by a program. */
void kmem_read_bpf_rest(struct kmem_reading *reading);
void kmem_read_dma_buf_rest(struct kmem_reading *reading);
/* Behind all rows of memfds and DMA buffers. */
void kmem_place_udmabufs(struct kmem_reading *reading);
void kmem_read_huge_rest(struct kmem_reading *reading);
void kmem_pipe_done(struct kmem_reading *reading);
void kmem_read_vmalloc(struct kmem_reading *reading);

/* --- pure --------------------------------------------------------------------------------------------------------------- */
/* Where a map of this type (BPF_MAP_TYPE_*) and size keeps its memory. */
enum kmem_line kmem_bpf_map_line(uint64_t type, uint64_t bytes, uint64_t page_size);
/* Bytes of the rings, from an io_uring's fdinfo. 0: it says nothing. */
uint64_t kmem_uring_bytes(const char *fdinfo, uint64_t page_size);
/* Reads PID/maps into out, an empty buffer; what is not to be had is noted as missing. */
void kmem_read_maps(struct kmem_reading *reading, pid_t pid, struct buf *out);
/* Bytes of the mappings whose name ends with name, in the text of PID/maps. */
uint64_t kmem_maps_bytes(const char *maps, const char *name, uint64_t *ret_count);
/* A GPU client's buffers in main memory. */
struct kmem_drm {
	char driver[32], pdev[32];
	uint64_t client;
	uint64_t bytes;
};
bool kmem_drm_parse(const char *fdinfo, struct kmem_drm *ret);
/* Calls fn for each buffer of debugfs' dma_buf/bufinfo. */
void kmem_dma_buf_parse(const char *bufinfo,
			void (*fn)(void *arg, uint64_t inode, const char *exporter, uint64_t bytes),
			void *arg);
/* Adds a row for each function of /proc/vmallocinfo. */
void kmem_vmalloc_parse(const char *text, uint64_t page_size, struct kmem_owners *owners);

/* Sockets of a namespace as /proc/PID/net has them: tcp, tcp6, udp, udp6; packet. */
void kmem_procnet_queues(struct kmem_reading *reading, enum kmem_kind kind, const char *text);
void kmem_procnet_packets(struct kmem_reading *reading, const char *text);

/* One message of a dump; each adds what it says. Messages of another kind or cut short are passed over. */
void kmem_packet_message(struct kmem_reading *reading, const struct nlmsghdr *message);
void kmem_inet_message(struct kmem_reading *reading, enum kmem_kind kind,
		       const struct nlmsghdr *message);
void kmem_unix_message(struct kmem_reading *reading, const struct nlmsghdr *message);
void kmem_page_pool_message(struct kmem_reading *reading, const struct nlmsghdr *message);
void kmem_rdma_message(struct kmem_reading *reading, const char *device,
		       const struct nlmsghdr *message);

#endif
