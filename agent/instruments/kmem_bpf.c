/* SPDX-License-Identifier: Apache-2.0 */
/* BPF maps and programs: those that processes have open, then those that are pinned or held by other objects only. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "instruments/kmem_internal.h"

enum {
	MAX_WALK = 16384, /* maps looked at by id */
	/* bpf_map_area_alloc() takes what is smaller from kmalloc: 1 << PAGE_ALLOC_COSTLY_ORDER. */
	SLAB_PAGES = 8,
	/* enum bpf_map_type; newer ones than the build's headers know */
	MAP_PERCPU_HASH = 5,
	MAP_PERCPU_ARRAY = 6,
	MAP_LRU_PERCPU_HASH = 10,
	MAP_LPM_TRIE = 11,
	MAP_PERCPU_CGROUP_STORAGE = 21,
	MAP_SK_STORAGE = 24,
	MAP_RINGBUF = 27,
	MAP_INODE_STORAGE = 28,
	MAP_TASK_STORAGE = 29,
	MAP_USER_RINGBUF = 31,
	MAP_CGRP_STORAGE = 32,
	MAP_ARENA = 33,
};

enum kmem_line kmem_bpf_map_line(uint64_t type, uint64_t bytes, uint64_t page_size)
{
	switch (type) {
	case MAP_PERCPU_HASH:
	case MAP_PERCPU_ARRAY:
	case MAP_LRU_PERCPU_HASH:
	case MAP_PERCPU_CGROUP_STORAGE:
		return KMEM_IN_PERCPU;
	case MAP_RINGBUF: /* single pages, mapped by vmap(), which VmallocUsed does not count */
	case MAP_USER_RINGBUF:
	case MAP_ARENA:
		return KMEM_IN_RESIDUAL;
	case MAP_LPM_TRIE:
	case MAP_SK_STORAGE:
	case MAP_INODE_STORAGE:
	case MAP_TASK_STORAGE:
	case MAP_CGRP_STORAGE:
		return KMEM_IN_SLAB;
	default:
		return bytes < SLAB_PAGES * page_size ? KMEM_IN_SLAB : KMEM_IN_VMALLOC;
	}
}

static const char *map_type_name(uint64_t type)
{
	const char *name = type < 1024 ? libbpf_bpf_map_type_str((enum bpf_map_type)type) : NULL;

	return name ? name : "unknown type";
}

/*
 * From 5.11 until 6.3 memlock was an estimate from key and value size, which a ring buffer has none of;
 * "bpf: add map memory usage" (90a5527d7686) made it exact. The entries of a ring buffer are its bytes.
 */
static uint64_t map_bytes(const char *fdinfo, uint64_t type, uint64_t memlock)
{
	uint64_t entries;

	if ((type != MAP_RINGBUF && type != MAP_USER_RINGBUF) ||
	    !proc_field(fdinfo, "max_entries", &entries) || entries > UINT32_MAX)
		return memlock;
	return memlock < entries ? entries : memlock;
}

/* fd < 0: without a name. */
static void add_map(struct kmem_reading *reading, pid_t pid, const char *fdinfo, int fd)
{
	struct bpf_map_info info = {0};
	__u32 size = sizeof(info);
	uint64_t type, bytes;
	char what[64];

	if (!proc_field(fdinfo, "map_type", &type) || !proc_field(fdinfo, "memlock", &bytes))
		return;
	if (fd >= 0)
		(void)bpf_obj_get_info_by_fd(fd, &info, &size);
	(void)snprintf(what, sizeof(what), "%s%s%.*s", map_type_name(type), info.name[0] ? " " : "",
		       (int)sizeof(info.name), info.name);
	bytes = map_bytes(fdinfo, type, bytes);
	kmem_add(reading, KMEM_BPF_MAP,
		 kmem_bpf_map_line(type, bytes, (uint64_t)sysconf(_SC_PAGESIZE)), KMEM_EXACT, pid,
		 what, bytes, 1);
}

void kmem_bpf_fd(void *arg, const struct root *proc, const struct proc_fd *fd)
{
	struct kmem_reading *reading = arg;
	_cleanup_buf_ struct buf text = BUF_INIT(0);
	bool map = strcmp(fd->target, "anon_inode:bpf-map") == 0;
	uint64_t id, bytes;

	if (!map && strcmp(fd->target, "anon_inode:bpf-prog") != 0)
		return;
	if (proc_read_fdinfo(proc, fd, &text) < 0 || !text.data)
		return;
	if (map && proc_field(text.data, "map_id", &id) && kmem_seen_add(&reading->maps, id)) {
		/* For the name; without CAP_SYS_ADMIN there is none. */
		_cleanup_close_ int map_fd = reading->recorded ? -1
							       : bpf_map_get_fd_by_id((__u32)id);

		add_map(reading, fd->pid, text.data, map_fd);
	}
	if (!map && proc_field(text.data, "prog_id", &id) &&
	    proc_field(text.data, "memlock", &bytes) && kmem_seen_add(&reading->progs, id))
		kmem_add(reading, KMEM_BPF_PROG, KMEM_IN_VMALLOC, KMEM_AT_LEAST, fd->pid, "", bytes,
			 1);
}

void kmem_read_bpf_rest(struct kmem_reading *reading)
{
	__u32 id = 0;

	for (int i = 0; bpf_map_get_next_id(id, &id) == 0; i++) {
		_cleanup_buf_ struct buf text = BUF_INIT(8192);
		_cleanup_close_ int fd = -1;
		char rel[48];

		if (i == MAX_WALK) {
			kmem_missing_add(&reading->missing, "BPF maps beyond the first %d",
					 MAX_WALK);
			return;
		}
		if (!kmem_seen_add(&reading->maps, id))
			continue;
		fd = bpf_map_get_fd_by_id(id);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0) {
			kmem_missing_add(&reading->missing,
					 "BPF maps that no process has open: needs CAP_SYS_ADMIN");
			return;
		}
		(void)snprintf(rel, sizeof(rel), "self/fdinfo/%d", fd);
		if (root_read(reading->proc, rel, &text, NULL) == 0 && text.data)
			add_map(reading, 0, text.data, fd);
	}
	if (errno != ENOENT)
		kmem_missing_add(&reading->missing,
				 "BPF maps that no process has open: needs CAP_SYS_ADMIN");
}
