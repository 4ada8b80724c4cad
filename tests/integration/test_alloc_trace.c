/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel memory that grows within a window, and whether the stack is found that took it: what drivers do (packet rings, buffers of
 * perf, pipes) must be, slab must not be blamed. Needs root.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/if_packet.h>
#include <linux/perf_event.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "instruments/alloc_trace.h"
#include "support/page_size.h"
#include "support/plant.h"

#define MIB	(1u << 20)
#define PLANTED (64 * MIB)

static struct root proc = ROOT_INIT;

/* --- what is planted, in a process of its own --------------------------------------------------------------------------- */

static int raise_files(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -1;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &limit);
}

/* A ring of blocks of that many bytes each. Its socket, or -1. */
static int open_ring(unsigned int block)
{
	const struct tpacket_req3 ring = {
		.tp_block_size = block,
		.tp_block_nr = PLANTED / block,
		.tp_frame_size = 2048,
		.tp_frame_nr = PLANTED / 2048,
		.tp_retire_blk_tov = 100,
	};
	const int version = TPACKET_V3;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version)) < 0 ||
	    setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof(ring)) < 0)
		return -1;
	return fd;
}

static int packet_ring(void *arg)
{
	return open_ring(*(const unsigned int *)arg) < 0 ? 4 : 0;
}

static int perf_buffers(void *arg)
{
	const size_t bytes = 4 * MIB;

	(void)arg;
	for (size_t done = 0; done < PLANTED; done += bytes) {
		struct perf_event_attr attr = {
			.type = PERF_TYPE_SOFTWARE,
			.config = PERF_COUNT_SW_DUMMY,
			.size = sizeof(attr),
		};
		int fd = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);

		if (fd < 0 || mmap(NULL, bytes + page_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED,
				   fd, 0) == MAP_FAILED)
			return 4;
	}
	return 0;
}

static int pipes(void *arg)
{
	static char data[MIB];

	(void)arg;
	for (size_t i = 0; i < PLANTED / MIB; i++) {
		int fds[2];

		if (pipe2(fds, O_CLOEXEC) < 0 || fcntl(fds[1], F_SETPIPE_SZ, MIB) < 0 ||
		    write(fds[1], data, MIB) != MIB)
			return 4;
	}
	return 0;
}

/* Pipes that hold nothing: their arrays of *arg buffers of 40 bytes are kmalloc()'s, which takes 64 for each. */
static int pipe_arrays(void *arg)
{
	const int buffers = *(const int *)arg;

	if (raise_files() < 0)
		return 4;
	for (size_t done = 0; done < PLANTED; done += (size_t)buffers * 64) {
		int fds[2];

		if (pipe2(fds, O_CLOEXEC) < 0 ||
		    fcntl(fds[1], F_SETPIPE_SZ, buffers * (int)page_bytes()) < 0 ||
		    close(fds[0]) < 0)
			return 5;
	}
	return 0;
}

/* --- looking ---------------------------------------------------------------------------------------------------------------- */

static struct alloc_trace_snapshot *trace(const char *cgroup, int (*fn)(void *arg), void *arg)
{
	const struct alloc_trace_opts opts = {0};
	struct alloc_trace_snapshot *s = NULL;
	struct plant_child child;
	struct alloc_trace *t = NULL;
	struct err err = {0};

	if (alloc_trace_start(&proc, &opts, &t, &err) < 0)
		fail_msg("alloc_trace_start: %s", err.msg);
	child = plant_process(cgroup, fn, arg);
	if (alloc_trace_stop(t, &s, &err) < 0)
		fail_msg("alloc_trace_stop: %s", err.msg);
	plant_reader_end(&child);
	assert_int_equal(s->live_dropped, 0);
	assert_int_equal(s->stacks_dropped, 0);
	assert_string_equal(s->symbols_missing, "");
	return s;
}

/* Bytes of that kind whose stack has a function with that in its name. */
static uint64_t attributed(const struct alloc_trace_snapshot *s, enum alloc_trace_kind kind,
			   const char *function)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < s->n_rows; i++) {
		const struct alloc_trace_row *row = &s->rows[i];
		bool found = false;

		for (size_t f = 0; f < row->n_frames; f++)
			found |= strstr(row->frames[f], function) != NULL;
		if (found && row->kind == kind)
			bytes += row->bytes;
	}
	return bytes;
}

/* A stack has 95 % of what was planted, and not much more than that. */
static void assert_found(const char *what, uint64_t bytes)
{
	print_message("%s: %.1f of %.1f MiB\n", what, (double)bytes / MIB, (double)PLANTED / MIB);
	if (bytes < (uint64_t)PLANTED * 95 / 100 || bytes > (uint64_t)PLANTED * 108 / 100)
		fail_msg("%s: %llu KiB", what, (unsigned long long)bytes >> 10);
}

static void packet_rings(void **state)
{
	const unsigned int page = (unsigned int)page_bytes(), blocks[] = {page, 4 * page, MIB};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		unsigned int block = blocks[i];
		struct alloc_trace_snapshot *s = trace(NULL, packet_ring, &block);

		assert_found("packet ring", attributed(s, ALLOC_TRACE_OTHER, "packet_"));
		assert_true(attributed(s, ALLOC_TRACE_SLAB, "packet_") < MIB);
		alloc_trace_snapshot_free(s);
	}
}

static void buffers_of_perf(void **state)
{
	struct alloc_trace_snapshot *s = trace(NULL, perf_buffers, NULL);

	(void)state;
	assert_found("perf buffers", attributed(s, ALLOC_TRACE_OTHER, "perf_mmap"));
	alloc_trace_snapshot_free(s);
}

static void pipes_are_accounted(void **state)
{
	struct alloc_trace_snapshot *s = trace(plant_cgroup("pipes"), pipes, NULL);
	const struct alloc_trace_row *row = NULL;

	(void)state;
	assert_found("pipes", attributed(s, ALLOC_TRACE_OTHER, "pipe_write"));
	for (size_t i = 0; i < s->n_rows && !row; i++)
		if (s->rows[i].kind == ALLOC_TRACE_OTHER)
			row = &s->rows[i];
	assert_non_null(row);
	assert_int_equal(row->accounted_bytes, row->bytes);
	assert_true(row->pid > 0);
	assert_true(strlen(row->comm) > 0);
	assert_non_null(strstr(row->frames[0], "pipe_write+0x"));
	alloc_trace_snapshot_free(s);
	plant_clean();
}

/* Slab, and kmalloc() beyond slab: they have lines in meminfo and are kept apart. */
static void slab_is_not_blamed(void **state)
{
	static const int buffers[] = {128,
				      256}; /* 5120 and 10240 bytes in blocks of 8 and 16 KiB */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(buffers); i++) {
		int n = buffers[i];
		struct alloc_trace_snapshot *s = trace(NULL, pipe_arrays, &n);
		uint64_t slab = s->bytes[ALLOC_TRACE_SLAB];

		print_message("arrays of %d: slab %.1f MiB, other %.1f MiB\n", n,
			      (double)slab / MIB, (double)s->bytes[ALLOC_TRACE_OTHER] / MIB);
		assert_true(slab > (uint64_t)PLANTED * 9 / 10);
		assert_true(attributed(s, ALLOC_TRACE_OTHER, "pipe") < 2 * MIB);
		alloc_trace_snapshot_free(s);
	}
}

/* What came and went within the window is in no row. */
static int ring_and_gone(void *arg)
{
	int fd = open_ring(*(const unsigned int *)arg);

	return fd < 0 || close(fd) < 0 ? 4 : 0;
}

static void what_was_freed_is_gone(void **state)
{
	const unsigned int blocks[] = {(unsigned int)page_bytes(), MIB};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(blocks); i++) {
		unsigned int block = blocks[i];
		struct alloc_trace_snapshot *s = trace(NULL, ring_and_gone, &block);

		assert_true(attributed(s, ALLOC_TRACE_OTHER, "packet_") < MIB);
		alloc_trace_snapshot_free(s);
	}
}

/* Our programs in the kernel; what they took so far, where statistics are on, goes to *runs and *ns. */
static size_t our_programs(uint64_t *runs, uint64_t *ns)
{
	size_t n = 0;

	*runs = 0;
	*ns = 0;
	for (__u32 id = 0; bpf_prog_get_next_id(id, &id) == 0;) {
		struct bpf_prog_info info = {0};
		__u32 size = sizeof(info);
		_cleanup_close_ int fd = bpf_prog_get_fd_by_id(id);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size) < 0 ||
		    strncmp(info.name, "alloc_trace", strlen("alloc_trace")) != 0)
			continue;
		n++;
		*runs += info.run_cnt;
		*ns += info.run_time_ns;
	}
	return n;
}

/* What an event costs, the reading of the clock for it included: for people, speed is no test. */
static void what_it_costs(void **state)
{
	_cleanup_close_ int stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	const struct alloc_trace_opts opts = {0};
	unsigned int block = (unsigned int)page_bytes();
	struct alloc_trace *t = NULL;
	uint64_t runs, ns;

	(void)state;
	assert_true(stats >= 0);
	assert_int_equal(alloc_trace_start(&proc, &opts, &t, NULL), 0);
	for (int i = 0; i < 4; i++) {
		struct plant_child child = plant_process(NULL, packet_ring, &block);

		plant_reader_end(&child);
	}
	assert_true(our_programs(&runs, &ns) >= 2);
	alloc_trace_cancel(t);
	assert_true(runs > 4 * 2 * PLANTED / block);
	print_message("%llu events, %.0f ns each\n", (unsigned long long)runs,
		      (double)ns / (double)runs);
}

/* The kernel frees programs a moment after they are detached. */
static void assert_nothing_left(void)
{
	const struct timespec moment = {.tv_nsec = 20000000};
	uint64_t runs, ns;

	for (int i = 0; i < 250 && our_programs(&runs, &ns) > 0; i++)
		(void)nanosleep(&moment, NULL);
	assert_int_equal(our_programs(&runs, &ns), 0);
}

static void nothing_stays_behind(void **state)
{
	const struct alloc_trace_opts opts = {0};
	struct alloc_trace_snapshot *s = NULL;
	struct alloc_trace *t = NULL;
	struct err err = {0};
	uint64_t runs, ns;

	(void)state;
	for (int i = 0; i < 3; i++) {
		if (alloc_trace_start(&proc, &opts, &t, &err) < 0)
			fail_msg("alloc_trace_start: %s", err.msg);
		assert_true(our_programs(&runs, &ns) >= 2);
		if (i == 0)
			alloc_trace_cancel(t);
		else
			assert_int_equal(alloc_trace_stop(t, &s, &err), 0);
		if (i > 0)
			alloc_trace_snapshot_free(s);
		assert_nothing_left();
	}
}

static int setup(void **state)
{
	(void)state;
	return root_open(&proc, "/proc", NULL);
}

static int teardown(void **state)
{
	(void)state;
	plant_clean();
	root_close(&proc);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet_rings),		  cmocka_unit_test(buffers_of_perf),
		cmocka_unit_test(pipes_are_accounted),	  cmocka_unit_test(slab_is_not_blamed),
		cmocka_unit_test(what_was_freed_is_gone), cmocka_unit_test(what_it_costs),
		cmocka_unit_test(nothing_stays_behind),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
