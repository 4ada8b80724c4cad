/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owners of kernel memory on the running kernel: what one process plants appears under its kind with its pid, in the size that
 * was planted and that the kernel's own counters grow by.
 */
#include <linux/capability.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "instruments/kmem.h"
#include "instruments/meminfo.h"
#include "support/plant_device.h"
#include "support/plant_kernel.h"
#include "support/plant_rdma.h"

#define MIB	  ((int64_t)1 << 20)
#define PLANTED	  (64 * MIB)
#define TOLERANCE (2 * MIB)

static struct root proc = ROOT_INIT;

static struct kmem_snapshot *read_owners(void)
{
	const struct kmem_opts opts = {.proc = &proc};
	struct kmem_snapshot *snapshot = NULL;
	struct err err = {0};

	if (kmem_read(&opts, &snapshot, &err) < 0)
		fail_msg("%s", err.msg);
	return snapshot;
}

/* Bytes of the process' rows of that kind and line. */
static int64_t owned_by(pid_t pid, enum kmem_kind kind, enum kmem_line line)
{
	struct kmem_snapshot *snapshot = read_owners();
	int64_t sum = 0;

	for (size_t i = 0; i < snapshot->owners.n; i++) {
		const struct kmem_owner *row = &snapshot->owners.items[i];

		if (row->pid == pid && row->kind == kind && row->line == line)
			sum += (int64_t)row->bytes;
	}
	kmem_snapshot_free(snapshot);
	return sum;
}

static int64_t line_bytes(const struct meminfo *info, const char *name)
{
	struct memory_line lines[MEMORY_LINES_MAX];
	size_t n = meminfo_lines(info, lines);

	for (size_t i = 0; i < n; i++)
		if (strcmp(lines[i].name, name) == 0)
			return lines[i].bytes;
	fail_msg("no line %s", name);
	return 0;
}

/* Sockets: the heads of buffers are slab, and charged to the socket too. */
static int64_t counted(enum kmem_kind kind, enum kmem_line line)
{
	struct meminfo info;
	int64_t bytes;

	assert_int_equal(meminfo_sample(&proc, &info, NULL, NULL), 0);
	bytes = line_bytes(&info, kmem_line_names[line]);
	if (kind == KMEM_UNIX || kind == KMEM_TCP)
		bytes += line_bytes(&info, "slabUnreclaimable") +
			 line_bytes(&info, "slabReclaimable");
	return bytes;
}

static const struct expected {
	enum plant_kernel plant;
	enum kmem_kind kind;
	enum kmem_line line;
	bool payload; /* the size is what was asked for, not what sockets add to it */
} expected[] = {
	{PLANT_PACKET_RING, KMEM_PACKET_RING, KMEM_IN_RESIDUAL, true},
	{PLANT_PERF, KMEM_PERF, KMEM_IN_RESIDUAL, true},
	{PLANT_PIPES, KMEM_PIPE, KMEM_IN_RESIDUAL, true},
	{PLANT_BPF_ARRAY, KMEM_BPF_MAP, KMEM_IN_VMALLOC, true},
	{PLANT_BPF_RINGBUF, KMEM_BPF_MAP, KMEM_IN_RESIDUAL, true},
	{PLANT_UNIX, KMEM_UNIX, KMEM_IN_RESIDUAL, false},
	{PLANT_TCP, KMEM_TCP, KMEM_IN_RESIDUAL, false},
	{PLANT_IO_URING, KMEM_IO_URING, KMEM_IN_RESIDUAL, true},
	{PLANT_HUGE_PAGES, KMEM_HUGE_PAGES, KMEM_IN_HUGE_PAGES, true},
	{PLANT_MEMFD, KMEM_MEMFD, KMEM_IN_SHMEM, true},
};

/* One try: what the row and the counters say of it. */
static void plant_one(const struct expected *e, const char *cgroup, int64_t *ret_row,
		      int64_t *ret_grown)
{
	struct plant_child child;
	int64_t before;

	if (e->plant == PLANT_HUGE_PAGES)
		assert_true(plant_huge_pool(PLANTED));
	before = counted(e->kind, e->line);
	child = plant_kernel(e->plant, cgroup, PLANTED);
	(void)usleep(100000);
	*ret_grown = counted(e->kind, e->line) - before;
	*ret_row = owned_by(child.pid, e->kind, e->line);
	plant_kernel_end(&child);
	if (e->plant == PLANT_HUGE_PAGES) {
		/* The pool is the line; the process takes from it. */
		*ret_grown = PLANTED;
		(void)plant_huge_pool(0);
	}
}

static void what_is_planted_has_its_owner(void **state)
{
	const char *cgroup = plant_cgroup("owners");

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		const struct expected *e = &expected[i];
		int64_t row = 0, grown = 0, want;

		/* Others use the machine too: the counters' growth is theirs as well. */
		for (int try = 0; try < 6; try++) {
			plant_one(e, cgroup, &row, &grown);
			want = e->payload ? PLANTED : grown;
			if (llabs(row - want) <= TOLERANCE && llabs(grown - row) <= TOLERANCE)
				break;
			(void)usleep(300000);
		}
		print_message("  %s: row %lld KiB, counters %+lld KiB\n",
			      plant_kernel_names[e->plant], (long long)row >> 10,
			      (long long)grown >> 10);
		assert_true(row >= PLANTED - TOLERANCE);
		assert_true(!e->payload || llabs(row - PLANTED) <= TOLERANCE);
		assert_true(llabs(grown - row) <= TOLERANCE);
	}
}

static void sockets_of_other_namespaces_are_seen(void **state)
{
	struct plant_child child = plant_kernel_netns(PLANT_PACKET_RING, NULL, PLANTED);

	(void)state;
	assert_true(owned_by(child.pid, KMEM_PACKET_RING, KMEM_IN_RESIDUAL) == PLANTED);
	plant_kernel_end(&child);
}

/* In a child, as the agent of a cluster is: exit status 0 when the ring was found. */
static int look_without_sys_admin(pid_t holder)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	struct kmem_snapshot *snapshot;
	int status = 5;

	if (syscall(SYS_capget, &header, data) < 0)
		return 3;
	data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective &= ~CAP_TO_MASK(CAP_SYS_ADMIN);
	data[CAP_TO_INDEX(CAP_SYS_ADMIN)].permitted &= ~CAP_TO_MASK(CAP_SYS_ADMIN);
	if (syscall(SYS_capset, &header, data) < 0)
		return 4;
	snapshot = read_owners();
	for (size_t i = 0; i < snapshot->owners.n; i++) {
		const struct kmem_owner *row = &snapshot->owners.items[i];

		if (row->kind == KMEM_PACKET_RING && row->pid == holder && row->bytes == PLANTED &&
		    row->certainty == KMEM_AT_LEAST)
			status = 6;
	}
	for (size_t i = 0; status == 6 && i < snapshot->missing.n; i++)
		if (strstr(snapshot->missing.lines[i], "network namespaces: needs CAP_SYS_ADMIN"))
			status = 0;
	kmem_snapshot_free(snapshot);
	return status;
}

static void without_sys_admin_rings_are_seen_by_their_mapping(void **state)
{
	struct plant_child child = plant_kernel_netns(PLANT_PACKET_RING, NULL, PLANTED);
	int status = -1;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(look_without_sys_admin(child.pid));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	plant_kernel_end(&child);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_pool_of_huge_pages_is_told(void **state)
{
	struct kmem_snapshot *snapshot;
	uint64_t unused = 0;

	(void)state;
	assert_true(plant_huge_pool(PLANTED));
	snapshot = read_owners();
	for (size_t i = 0; i < snapshot->owners.n; i++)
		if (strncmp(snapshot->owners.items[i].what, "free, ", 6) == 0)
			unused += snapshot->owners.items[i].bytes;
	kmem_snapshot_free(snapshot);
	(void)plant_huge_pool(0);
	assert_true(unused >= (uint64_t)PLANTED);
}

/* --- devices ------------------------------------------------------------------------------------------------------------- */

#define BUFFER	  (32 * MIB)
#define RDMA_NAME "memdiag_rxe"

/* Of the rows of that kind, process and name: bytes, and the number of buffers. */
static struct kmem_owner device_row(pid_t pid, enum kmem_kind kind, const char *what)
{
	struct kmem_snapshot *snapshot = read_owners();
	struct kmem_owner found = {0};

	for (size_t i = 0; i < snapshot->owners.n; i++) {
		const struct kmem_owner *row = &snapshot->owners.items[i];

		if (row->pid != pid || row->kind != kind)
			continue;
		print_message("  %s of \"%s\": %llu KiB\n", kmem_kind_names[kind], row->what,
			      (unsigned long long)row->bytes >> 10);
		if (strcmp(row->what, what) != 0)
			continue;
		assert_int_equal(found.count, 0);
		found = *row;
	}
	kmem_snapshot_free(snapshot);
	return found;
}

/* The buffer's row; its memory is counted in the line that truth says. Others use the machine too: a few tries, as above. */
static struct kmem_owner device_owner(enum plant_device device, const char *what,
				      enum kmem_line truth)
{
	struct kmem_owner row = {0};
	int64_t grown = 0;

	for (int try = 0; try < 6; try++) {
		int64_t before = counted(KMEM_DMA_BUF, truth);
		struct plant_child child = plant_device(device, BUFFER);

		(void)usleep(100000);
		grown = counted(KMEM_DMA_BUF, truth) - before;
		row = device_row(child.pid, KMEM_DMA_BUF, what);
		plant_kernel_end(&child);
		if (llabs(grown - BUFFER) <= TOLERANCE)
			break;
		(void)usleep(300000);
	}
	print_message("  %s: %+lld KiB\n", kmem_line_names[truth], (long long)grown >> 10);
	assert_true(llabs(grown - BUFFER) <= TOLERANCE);
	assert_true(row.bytes == (uint64_t)BUFFER);
	assert_int_equal(row.count, 1);
	return row;
}

static void a_buffer_of_udmabuf_has_its_owner(void **state)
{
	(void)state;
	if (!plant_device_there(PLANT_UDMABUF))
		skip();
	assert_int_equal(device_owner(PLANT_UDMABUF, "udmabuf", KMEM_IN_SHMEM).line, KMEM_IN_SHMEM);
}

/* The pages are no file's any more. */
static void a_buffer_outlives_its_memfd(void **state)
{
	(void)state;
	if (!plant_device_there(PLANT_UDMABUF_ALONE))
		skip();
	assert_int_equal(device_owner(PLANT_UDMABUF_ALONE, "udmabuf", KMEM_IN_RESIDUAL).line,
			 KMEM_IN_RESIDUAL);
}

static void a_buffer_of_a_heap_has_its_owner(void **state)
{
	(void)state;
	if (!plant_device_there(PLANT_DMA_HEAP))
		skip();
	assert_int_equal(device_owner(PLANT_DMA_HEAP, "system", KMEM_IN_RESIDUAL).line,
			 KMEM_IN_RESIDUAL);
}

/* DRM names itself as the exporter, not its driver. */
static void a_buffer_of_a_gpu_has_its_owner(void **state)
{
	(void)state;
	if (!plant_device_there(PLANT_VGEM))
		skip();
	assert_int_equal(device_owner(PLANT_VGEM, "drm", KMEM_IN_SHMEM).line, KMEM_IN_SHMEM);
}

/* Only debugfs shows it then. */
static void a_buffer_that_is_mapped_alone_is_seen(void **state)
{
	bool heap = plant_device_there(PLANT_DMA_HEAP), mounted;
	const char *what = heap ? "system" : "drm";
	struct kmem_owner before, after;
	struct plant_child child;

	(void)state;
	if (!heap && !plant_device_there(PLANT_VGEM))
		skip();
	mounted = access("/sys/kernel/debug/dma_buf", F_OK) < 0 &&
		  mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL) == 0;
	before = device_row(0, KMEM_DMA_BUF, what);
	child = plant_device_mapped(heap ? PLANT_DMA_HEAP : PLANT_VGEM, BUFFER);
	after = device_row(0, KMEM_DMA_BUF, what);
	plant_kernel_end(&child);
	if (mounted)
		(void)umount("/sys/kernel/debug");
	assert_true(after.bytes == before.bytes + (uint64_t)BUFFER);
	assert_int_equal(after.count, before.count + 1);
}

static void an_rdma_region_has_its_owner(void **state)
{
	struct plant_child child;
	struct kmem_owner row;

	(void)state;
	if (!plant_device_there(PLANT_RDMA))
		skip();
	plant_rdma_link(RDMA_NAME);
	child = plant_device(PLANT_RDMA, BUFFER);
	row = device_row(child.pid, KMEM_RDMA, RDMA_NAME);
	plant_kernel_end(&child);
	plant_rdma_unlink();
	assert_true(row.bytes == (uint64_t)BUFFER);
	assert_int_equal(row.count, 1);
	assert_int_equal(row.line, KMEM_IN_ANON);
}

static void receive_buffers_have_their_device(void **state)
{
	struct kmem_owner before, after;
	char name[IF_NAMESIZE];
	int64_t grown, added;

	(void)state;
	if (!plant_device_net(name))
		skip();
	before = device_row(0, KMEM_PAGE_POOL, name);
	grown = -counted(KMEM_PAGE_POOL, KMEM_IN_RESIDUAL);
	plant_device_net_up(name, true);
	(void)usleep(100000);
	grown += counted(KMEM_PAGE_POOL, KMEM_IN_RESIDUAL);
	after = device_row(0, KMEM_PAGE_POOL, name);
	plant_device_net_up(name, false);
	print_message("  residual: %+lld KiB\n", (long long)grown >> 10);
	assert_true(after.bytes > before.bytes);
	assert_true(after.bytes == after.count * (uint64_t)sysconf(_SC_PAGESIZE));
	added = (int64_t)(after.bytes - before.bytes);
	assert_true(llabs(grown - added) <= added / 2); /* a few MiB: others allocate, too */
}

static int setup(void **state)
{
	(void)state;
	return root_open(&proc, "/proc", NULL);
}

static int teardown(void **state)
{
	(void)state;
	(void)plant_huge_pool(0);
	plant_clean();
	plant_rdma_unlink();
	root_close(&proc);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_planted_has_its_owner),
		cmocka_unit_test(sockets_of_other_namespaces_are_seen),
		cmocka_unit_test(without_sys_admin_rings_are_seen_by_their_mapping),
		cmocka_unit_test(the_pool_of_huge_pages_is_told),
		cmocka_unit_test(a_buffer_of_udmabuf_has_its_owner),
		cmocka_unit_test(a_buffer_outlives_its_memfd),
		cmocka_unit_test(a_buffer_of_a_heap_has_its_owner),
		cmocka_unit_test(a_buffer_of_a_gpu_has_its_owner),
		cmocka_unit_test(a_buffer_that_is_mapped_alone_is_seen),
		cmocka_unit_test(an_rdma_region_has_its_owner),
		cmocka_unit_test(receive_buffers_have_their_device),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
