/* SPDX-License-Identifier: Apache-2.0 */
#include "support/plant_kernel.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/io_uring.h>
#include <linux/perf_event.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#define MIB ((size_t)1 << 20)

const char *const plant_kernel_names[PLANT_KERNEL_KINDS] = {
	"packet ring", "perf buffers", "pipes",	   "BPF array",	 "BPF ring buffer",
	"unix",	       "TCP",	       "io_uring", "huge pages", "memfd",
};

/* Each fills what one call makes and returns its bytes; 0: failed. They run in the child: no assertions. */

static size_t packet_ring(void)
{
	int version = TPACKET_V3, s = socket(AF_PACKET, SOCK_RAW, 0);
	struct tpacket_req3 ring = {
		.tp_block_size = MIB,
		.tp_block_nr = 32,
		.tp_frame_size = 2048,
		.tp_frame_nr = 32 * 512,
		.tp_retire_blk_tov = 100,
	};

	if (s < 0 || setsockopt(s, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(s, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) < 0 ||
	    mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, s, 0) == MAP_FAILED)
		return 0;
	return 32 * MIB;
}

static size_t perf_buffer(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.size = sizeof(attr),
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0 || mmap(NULL, 16 * MIB + (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE,
			   MAP_SHARED, fd, 0) == MAP_FAILED)
		return 0;
	return 16 * MIB;
}

static char block[1 << 20];

static size_t full_pipe(void)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0 || fcntl(p[1], F_SETPIPE_SZ, MIB) < 0 ||
	    write(p[1], block, MIB) != (ssize_t)MIB)
		return 0;
	return MIB;
}

static int make_map(union bpf_attr *attr)
{
	(void)snprintf(attr->map_name, sizeof(attr->map_name), "planted");
	return (int)syscall(SYS_bpf, BPF_MAP_CREATE, attr, sizeof(*attr));
}

static size_t bpf_array(void)
{
	union bpf_attr attr = {0};

	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = 4;
	attr.value_size = 4096;
	attr.max_entries = 32 * 256;
	return make_map(&attr) < 0 ? 0 : 32 * MIB;
}

static size_t bpf_ringbuf(void)
{
	union bpf_attr attr = {0};

	attr.map_type = BPF_MAP_TYPE_RINGBUF;
	attr.max_entries = 32 * MIB;
	return make_map(&attr) < 0 ? 0 : 32 * MIB;
}

static size_t fill_socket(int fd, size_t want)
{
	size_t sum = 0;

	/* The other end takes what is sent over in its own time. */
	for (int idle = 0; sum < want && idle < 100; idle++) {
		ssize_t n;

		while (sum < want && (n = send(fd, block, 64 << 10, MSG_DONTWAIT)) > 0) {
			sum += (size_t)n;
			idle = 0;
		}
		(void)usleep(1000);
	}
	return sum;
}

static size_t unix_pair(void)
{
	int s[2], size = 32 * (int)MIB;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) < 0 ||
	    setsockopt(s[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		return 0;
	return fill_socket(s[0], 16 * MIB);
}

static size_t tcp_connection(void)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t len = sizeof(addr);
	int size = 64 * (int)MIB, from, to;
	int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (server < 0 || setsockopt(server, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
	    bind(server, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(server, 1) < 0 ||
	    getsockname(server, (struct sockaddr *)&addr, &len) < 0)
		return 0;
	from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (from < 0 || setsockopt(from, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0 ||
	    connect(from, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return 0;
	to = accept4(server, NULL, NULL, SOCK_CLOEXEC);
	(void)close(server);
	return to < 0 ? 0 : fill_socket(from, 16 * MIB);
}

static size_t uring(void)
{
	struct io_uring_params params = {0};
	int fd = (int)syscall(SYS_io_uring_setup, 32768, &params);
	size_t entries = params.sq_entries * sizeof(struct io_uring_sqe),
	       rings = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);

	/* Mapped as by who uses it. 2 MiB of submission entries; 1.2 MiB for the rest, in a block of 2 MiB. */
	if (fd < 0 ||
	    mmap(NULL, entries, PROT_READ, MAP_SHARED, fd, IORING_OFF_SQES) == MAP_FAILED ||
	    mmap(NULL, rings, PROT_READ, MAP_SHARED, fd, IORING_OFF_SQ_RING) == MAP_FAILED)
		return 0;
	return 4 * MIB;
}

static size_t huge_mapping(void)
{
	char *p = mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (p == MAP_FAILED)
		return 0;
	for (size_t i = 0; i < 32 * MIB; i += 4096)
		((volatile char *)p)[i] = 1;
	return 32 * MIB;
}

static size_t memfd(void)
{
	int fd = memfd_create("planted", MFD_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < 32; i++)
		if (write(fd, block, MIB) != (ssize_t)MIB)
			return 0;
	return fd < 0 ? 0 : 32 * MIB;
}

static size_t (*const makers[PLANT_KERNEL_KINDS])(void) = {
	packet_ring, perf_buffer,    full_pipe, bpf_array,    bpf_ringbuf,
	unix_pair,   tcp_connection, uring,	huge_mapping, memfd,
};

struct job {
	enum plant_kernel kind;
	size_t bytes;
	bool netns;
};

static int plant(void *arg)
{
	/* Before 5.11 the memory of BPF maps counts against it; io_uring's before 5.12. */
	const struct rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
	const struct job *job = arg;
	size_t done = 0;

	/* Refused without CAP_SYS_RESOURCE: where it is needed, what follows says so. */
	(void)setrlimit(RLIMIT_MEMLOCK, &unlimited);
	if (job->netns && unshare(CLONE_NEWNET) < 0)
		return 10;
	memset(block, 'k', sizeof(block));
	while (done < job->bytes) {
		size_t n = makers[job->kind]();

		if (n == 0)
			return 11;
		done += n;
	}
	return 0;
}

struct plant_child plant_kernel(enum plant_kernel kind, const char *cgroup, size_t bytes)
{
	struct job job = {kind, bytes, false};

	return plant_process(cgroup, plant, &job);
}

struct plant_child plant_kernel_netns(enum plant_kernel kind, const char *cgroup, size_t bytes)
{
	struct job job = {kind, bytes, true};

	return plant_process(cgroup, plant, &job);
}

void plant_kernel_end(struct plant_child *child)
{
	plant_reader_end(child);
}

/* --- the pool of huge pages ---------------------------------------------------------------------------------------------- */

static const char pool_file[] = "/proc/sys/vm/nr_hugepages";

static long pool_pages(void)
{
	FILE *f = fopen(pool_file, "re");
	long n = -1;

	if (f && fscanf(f, "%ld", &n) != 1)
		n = -1;
	if (f)
		(void)fclose(f);
	return n;
}

static void set_pool(long pages)
{
	FILE *f = fopen(pool_file, "we");

	assert_non_null(f);
	(void)fprintf(f, "%ld\n", pages);
	(void)fclose(f);
}

bool plant_huge_pool(size_t bytes)
{
	static long before = -1;
	long want;

	if (before < 0)
		before = pool_pages();
	assert_true(before >= 0);
	want = before + (long)(bytes / (2 * MIB));
	set_pool(want);
	if (pool_pages() >= want)
		return true;
	set_pool(before);
	return false;
}
