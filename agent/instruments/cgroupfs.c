/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/cgroupfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static bool has_controller(const struct root *root, const char *rel, const char *name)
{
	_cleanup_buf_ struct buf text = BUF_INIT(4096);

	return root_read(root, rel, &text, NULL) == 0 && text.data && strstr(text.data, name);
}

/* On v1 each controller has a hierarchy of its own, unless the unified one took it. */
static void open_hugetlb(const struct root *top, const char *path, struct root *ret)
{
	_cleanup_free_ char *v1 = xasprintf("%s/hugetlb", path),
			    *unified = xasprintf("%s/unified", path);

	if (exists(top, "hugetlb/cgroup.procs"))
		(void)root_open(ret, v1, NULL);
	else if (has_controller(top, "unified/cgroup.controllers", "hugetlb"))
		(void)root_open(ret, unified, NULL);
}

int cgroupfs_open(struct cgroupfs *cg, const char *path, struct err *err)
{
	_cleanup_free_ char *memory = xasprintf("%s/memory", path);
	_cleanup_root_ struct root top = ROOT_INIT;
	int r = root_open(&top, path, err);

	if (r < 0)
		return r;
	if (exists(&top, "memory/memory.stat")) {
		open_hugetlb(&top, path, &cg->hugetlb);
		cg->mode = exists(&top, "unified/cgroup.procs") ? CGROUP_HYBRID : CGROUP_V1;
		return root_open(&cg->memory, memory, err);
	}
	if (exists(&top, "cgroup.controllers")) {
		cg->mode = has_controller(&top, "cgroup.controllers", "memory") ? CGROUP_V2
										: CGROUP_NONE;
	}
	return root_open(&cg->memory, path, err);
}

void cgroupfs_close(struct cgroupfs *cg)
{
	root_close(&cg->memory);
	root_close(&cg->hugetlb);
	cg->mode = CGROUP_NONE;
}

bool cgroupfs_has(const struct cgroupfs *cg, const char *path, const char *file)
{
	_cleanup_free_ char *rel = xasprintf("%s/%s", path + strspn(path, "/"), file);

	return exists(&cg->memory, rel + strspn(rel, "/"));
}

/* Reads path/file; UINT64_MAX when it does not exist (the root has no limits) or holds no number. */
static uint64_t read_value(const struct cgroupfs *cg, const char *path, const char *file)
{
	_cleanup_free_ char *rel = xasprintf("%s/%s", *path ? path : ".", file);
	unsigned long long v;

	return root_read_u64(&cg->memory, rel, &v, NULL) < 0 ? UINT64_MAX : v;
}

static uint64_t read_or_zero(const struct cgroupfs *cg, const char *path, const char *file)
{
	uint64_t v = read_value(cg, path, file);

	return v <= KEYVALUE_MAX ? v : 0;
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
	STAT("total_writeback", writeback),
	STAT("total_swapcached", swap_cached), /* since 6.5 */
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
	STAT("file_writeback", writeback),
	STAT("swapcached", swap_cached), /* since 5.12 */
	STAT("kernel", kernel),		 /* since 5.18 */
	STAT("slab_reclaimable", slab_reclaimable),
	STAT("slab_unreclaimable", slab_unreclaimable),
	STAT("kernel_stack", kernel_stack),
	STAT("pagetables", page_tables),	 /* since 5.11 */
	STAT("sec_pagetables", sec_page_tables), /* since 6.1 */
	STAT("percpu", percpu),			 /* since 5.9 */
	STAT("vmalloc", vmalloc),		 /* since 5.18 */
	STAT("zswap", zswap),			 /* since 5.19 */
	STAT("sock", socket),
	STAT("hugetlb", hugetlb_inside), /* since 6.13 */
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
		ret->kernel = read_or_zero(cg, rel, "memory.kmem.usage_in_bytes");
		ret->socket = read_or_zero(cg, rel, "memory.kmem.tcp.usage_in_bytes");
	}
	ret->limit = smallest_limit(cg, rel, v2);
	return 0;
}

void cgroupfs_events(const struct cgroupfs *cg, const char *path, struct cgroup_events *ret)
{
	static const struct keyvalue_field fields[] = {
		{"oom_kill", offsetof(struct cgroup_events, oom_kills), 1, false},
		{"max", offsetof(struct cgroup_events, at_limit), 1, false}, /* v2 */
	};
	const char *rel = path + strspn(path, "/");
	bool v2 = cg->mode == CGROUP_V2;
	_cleanup_free_ char *file =
		xasprintf("%s/%s", *rel ? rel : ".", v2 ? "memory.events" : "memory.oom_control");
	_cleanup_buf_ struct buf text = BUF_INIT(STAT_MAX);

	*ret = (struct cgroup_events){UINT64_MAX, UINT64_MAX};
	if (root_read(&cg->memory, file, &text, NULL) == 0 && text.data)
		keyvalue_parse(text.data, file, fields, ARRAY_SIZE(fields), ret, NULL, NULL);
	if (!v2)
		ret->at_limit = read_value(cg, rel, "memory.failcnt");
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

/* "hugetlb.2MB.current", not "hugetlb.2MB.rsvd.current". */
static bool is_hugetlb_usage(const char *name)
{
	static const char prefix[] = "hugetlb.";
	const char *end;

	if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
		return false;
	end = strchr(name + sizeof(prefix) - 1, '.');
	return end && (strcmp(end, ".current") == 0 || strcmp(end, ".usage_in_bytes") == 0);
}

uint64_t cgroupfs_hugetlb(const struct cgroupfs *cg, const char *path)
{
	const struct root *root = cg->hugetlb.fd >= 0 ? &cg->hugetlb : &cg->memory;
	const char *rel = path + strspn(path, "/");
	int fd = openat(root->fd, *rel ? rel : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	uint64_t sum = 0;

	if (!dir) {
		if (fd >= 0)
			(void)close(fd);
		return 0;
	}
	while ((entry = readdir(dir))) {
		_cleanup_free_ char *file = NULL;
		unsigned long long v;

		if (!is_hugetlb_usage(entry->d_name))
			continue;
		file = xasprintf("%s/%s", *rel ? rel : ".", entry->d_name);
		if (root_read_u64(root, file, &v, NULL) == 0 && v <= KEYVALUE_MAX - sum)
			sum += v;
	}
	(void)closedir(dir);
	return sum;
}
