/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/cgroupfs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"

/* memory.stat has about 60 lines of at most 60 bytes. */
#define STAT_MAX ((size_t)64 << 10)

const char *cgroup_mode_name(enum cgroup_mode mode)
{
	switch (mode) {
	case CGROUP_V1:
		return "v1";
	case CGROUP_V2:
		return "v2";
	case CGROUP_HYBRID:
		return "hybrid";
	default:
		return "";
	}
}

static bool exists(const struct root *root, const char *rel)
{
	struct stat st;

	return fstatat(root->fd, rel, &st, 0) == 0;
}

int cgroupfs_open(struct cgroupfs *cg, const char *path, struct err *err)
{
	_cleanup_free_ char *memory = xasprintf("%s/memory", path);
	_cleanup_root_ struct root top = ROOT_INIT;
	int r = root_open(&top, path, err);

	if (r < 0)
		return r;
	if (exists(&top, "memory/memory.stat")) {
		cg->mode = exists(&top, "unified/cgroup.procs") ? CGROUP_HYBRID : CGROUP_V1;
		return root_open(&cg->memory, memory, err);
	}
	if (exists(&top, "cgroup.controllers")) {
		_cleanup_buf_ struct buf controllers = BUF_INIT(4096);

		r = root_read(&top, "cgroup.controllers", &controllers, err);
		if (r < 0)
			return r;
		cg->mode = controllers.data && strstr(controllers.data, "memory") ? CGROUP_V2
										  : CGROUP_NONE;
	}
	return root_open(&cg->memory, path, err);
}

void cgroupfs_close(struct cgroupfs *cg)
{
	root_close(&cg->memory);
	cg->mode = CGROUP_NONE;
}

/* Reads path/file; UINT64_MAX when it does not exist (the root has no limits) or holds no number. */
static uint64_t read_value(const struct cgroupfs *cg, const char *path, const char *file)
{
	_cleanup_free_ char *rel = xasprintf("%s/%s", *path ? path : ".", file);
	unsigned long long v;

	return root_read_u64(&cg->memory, rel, &v, NULL) < 0 ? UINT64_MAX : v;
}

static uint64_t smallest_limit(const struct cgroupfs *cg, const char *rel, bool v2)
{
	_cleanup_free_ char *path = xstrdup(rel);
	uint64_t limit = UINT64_MAX;

	while (*path) {
		uint64_t v = read_value(cg, path, v2 ? "memory.max" : "memory.limit_in_bytes");
		char *slash = strrchr(path, '/');

		limit = v < limit ? v : limit;
		if (!slash)
			break;
		*slash = '\0';
	}
	/* v1 writes "no limit" as the largest multiple of the page size. */
	return limit >= (UINT64_MAX >> 2) ? UINT64_MAX : limit;
}

#define STAT(key, member)                                           \
	{                                                           \
		key, offsetof(struct cgroup_stat, member), 1, false \
	}

/* v1 has each counter twice; "total_" is the one with the subtree. */
static const struct keyvalue_field v1_fields[] = {
	STAT("total_rss", anon),
	STAT("total_cache", cache),
	STAT("total_shmem", shmem),
	STAT("total_active_file", active_file),
	STAT("total_inactive_file", inactive_file),
	STAT("total_active_anon", active_anon),
	STAT("total_inactive_anon", inactive_anon),
	STAT("total_dirty", dirty),
};

static const struct keyvalue_field v2_fields[] = {
	STAT("anon", anon),
	STAT("file", cache),
	STAT("shmem", shmem),
	STAT("active_file", active_file),
	STAT("inactive_file", inactive_file),
	STAT("active_anon", active_anon),
	STAT("inactive_anon", inactive_anon),
	STAT("file_dirty", dirty),
	STAT("kernel", kernel), /* since 5.18 */
	STAT("slab_reclaimable", slab_reclaimable),
	STAT("slab_unreclaimable", slab_unreclaimable),
	STAT("sock", socket),
};

void cgroupfs_parse_stat(const char *text, bool v2, struct cgroup_stat *ret,
			 struct parse_notes *notes)
{
	if (v2)
		keyvalue_parse(text, "memory.stat", v2_fields, ARRAY_SIZE(v2_fields), ret, NULL,
			       notes);
	else
		keyvalue_parse(text, "memory.stat", v1_fields, ARRAY_SIZE(v1_fields), ret, NULL,
			       notes);
}

int cgroupfs_stat(const struct cgroupfs *cg, const char *path, struct cgroup_stat *ret,
		  struct parse_notes *notes, struct err *err)
{
	const char *rel = path + strspn(path, "/");
	_cleanup_free_ char *stat_path = xasprintf("%s/memory.stat", *rel ? rel : ".");
	_cleanup_buf_ struct buf text = BUF_INIT(STAT_MAX);
	bool v2 = cg->mode == CGROUP_V2;
	int r = root_read(&cg->memory, stat_path, &text, err);

	if (r < 0)
		return r;
	memset(ret, 0, sizeof(*ret));
	cgroupfs_parse_stat(text.data ? text.data : "", v2, ret, notes);
	ret->usage = read_value(cg, rel, v2 ? "memory.current" : "memory.usage_in_bytes");
	if (!v2) {
		uint64_t kernel = read_value(cg, rel, "memory.kmem.usage_in_bytes");

		ret->kernel = kernel == UINT64_MAX ? 0 : kernel;
	}
	ret->limit = smallest_limit(cg, rel, v2);
	return 0;
}

int cgroupfs_usage(const struct cgroupfs *cg, const char *path, struct cgroup_usage *ret,
		   struct err *err)
{
	const char *rel = path + strspn(path, "/");
	struct cgroup_stat stat;
	int r = cgroupfs_stat(cg, path, &stat, NULL, err);

	if (r < 0)
		return r;
	ret->inactive_file = stat.inactive_file;
	ret->usage = stat.usage;
	ret->high = cg->mode == CGROUP_V2 ? read_value(cg, rel, "memory.high") : UINT64_MAX;
	ret->limit = stat.limit;
	return 0;
}
