/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/kmem.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "instruments/kmem_internal.h"

bool kmem_seen_add(struct kmem_seen *seen, uint64_t number)
{
	uint64_t hash = number * 0x9E3779B97F4A7C15ULL;

	if (number == 0)
		return true;
	if (seen->n == KMEM_MAX_SEEN) {
		seen->dropped++;
		return false;
	}
	if (seen->n * 2 >= seen->cap) {
		struct kmem_seen bigger = {.cap = seen->cap ? seen->cap * 2 : 256};

		bigger.slots = xcalloc(bigger.cap, sizeof(*bigger.slots));
		for (size_t i = 0; i < seen->cap; i++)
			if (seen->slots[i])
				(void)kmem_seen_add(&bigger, seen->slots[i]);
		bigger.dropped = seen->dropped;
		free(seen->slots);
		*seen = bigger;
	}
	for (size_t i = hash >> 32;; i++) {
		uint64_t *slot = &seen->slots[i & (seen->cap - 1)];

		if (*slot == number)
			return false;
		if (*slot == 0) {
			*slot = number;
			seen->n++;
			return true;
		}
	}
}

void kmem_seen_done(struct kmem_seen *seen)
{
	free(seen->slots);
	memset(seen, 0, sizeof(*seen));
}

void kmem_add(struct kmem_reading *reading, enum kmem_kind kind, enum kmem_line line,
	      enum kmem_certainty certainty, pid_t pid, const char *what, uint64_t bytes,
	      uint64_t count)
{
	struct kmem_owner row = {
		.kind = kind,
		.line = line,
		.certainty = certainty,
		.pid = pid,
		.bytes = bytes,
		.count = count,
	};

	(void)snprintf(row.what, sizeof(row.what), "%s", what ? what : "");
	kmem_owners_add(&reading->owners, &row);
}

static int scan(struct kmem_reading *reading, struct kmem_snapshot *ret, struct err *err)
{
	const struct proc_visitor visitors[] = {
		{kmem_netns_process, kmem_sockets_fd, reading},
		{kmem_huge_process, kmem_file_fd, reading},
		{NULL, kmem_bpf_fd, reading},
		{NULL, kmem_uring_fd, reading},
		{NULL, kmem_perf_fd, reading},
		{NULL, kmem_pipe_fd, reading},
		{NULL, kmem_dma_buf_fd, reading},
		{NULL, kmem_drm_fd, reading},
		{NULL, kmem_nvidia_fd, reading},
	};
	struct proc_scan_stats stats = {0};
	int r = proc_scan(reading->proc, visitors, ARRAY_SIZE(visitors), &stats, err);

	if (r < 0)
		return r;
	ret->processes = stats.processes;
	ret->fds = stats.fds;
	ret->unreadable = stats.unlisted + stats.unreadable;
	ret->dropped = stats.dropped;
	if (stats.unlisted > 0)
		kmem_missing_add(&reading->missing,
				 "files of %" PRIu64 " processes: needs CAP_DAC_READ_SEARCH",
				 stats.unlisted);
	if (stats.unreadable > 0)
		kmem_missing_add(
			&reading->missing,
			"files of %" PRIu64
			" processes: needs CAP_SYS_PTRACE, or a security module hides them",
			stats.unreadable);
	return 0;
}

static void finish(struct kmem_reading *reading, struct kmem_snapshot *ret)
{
	ret->namespaces = reading->netns.n;
	ret->dropped += reading->sockets.dropped + reading->netns.dropped + reading->maps.dropped +
			reading->progs.dropped + reading->pipes.dropped +
			reading->dma_bufs.dropped + reading->drm_clients.dropped +
			reading->files.dropped + reading->owners.dropped;
	kmem_owners_merge(&reading->owners);
	ret->owners = reading->owners;
	ret->missing = reading->missing;
	memset(&reading->owners, 0, sizeof(reading->owners));
}

int kmem_read(const struct kmem_opts *opts, struct kmem_snapshot **ret, struct err *err)
{
	struct kmem_reading *reading = xcalloc(1, sizeof(*reading));
	struct kmem_snapshot *snapshot = xcalloc(1, sizeof(*snapshot));
	int r;

	reading->proc = opts->proc;
	reading->recorded = opts->recorded;
	reading->sys = (struct root)ROOT_INIT;
	(void)root_open(&reading->sys, opts->sys ? opts->sys : "/sys", NULL);
	reading->pidfd = -1;
	kmem_read_huge_pools(reading);
	r = scan(reading, snapshot, err);
	kmem_pipe_done(reading);
	if (r == 0) {
		kmem_read_huge_rest(reading);
		kmem_read_dma_buf_rest(reading);
		kmem_place_udmabufs(reading);
		if (opts->vmalloc)
			kmem_read_vmalloc(reading);
		if (!opts->recorded) {
			kmem_read_bpf_rest(reading);
			kmem_read_netlink(reading);
		}
		finish(reading, snapshot);
		*ret = take_ptr(snapshot);
	}
	kmem_snapshot_free(snapshot);
	kmem_owners_done(&reading->owners);
	root_close(&reading->sys);
	free(reading->sockets.items);
	kmem_seen_done(&reading->maps);
	kmem_seen_done(&reading->progs);
	kmem_seen_done(&reading->pipes);
	kmem_seen_done(&reading->dma_bufs);
	kmem_seen_done(&reading->drm_clients);
	kmem_seen_done(&reading->files);
	free(reading);
	return r;
}

void kmem_snapshot_free(struct kmem_snapshot *snapshot)
{
	if (!snapshot)
		return;
	kmem_owners_done(&snapshot->owners);
	free(snapshot);
}
