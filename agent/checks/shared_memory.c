/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/shared_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "checks/cache_finding.h"

static const char reason[] = "SharedMemoryHigh";

/* The directory's path on the host as bytes; NULL when there is none. The caller frees it. */
static char *directory_path(const struct cache_facts *facts, const struct pages_directory *dir)
{
	if (dir->kernel_mount || !facts->mounts)
		return NULL;
	return mounts_host_path(facts->mounts, dir->dev_major, dir->dev_minor, dir->path);
}

/* The directory's name for people, escaped. The caller frees it. */
static char *directory_name(const struct cache_facts *facts, const struct pages_directory *dir)
{
	_cleanup_free_ char *path = directory_path(facts, dir), *escaped = NULL;
	char *name;

	if (dir->kernel_mount)
		return xstrdup("(memfd, SysV and shared anonymous memory)");
	escaped = text_escape_name(path ? path : dir->path, strlen(path ? path : dir->path));
	if (path)
		name = take_ptr(escaped);
	else
		name = xasprintf("(%s %u:%u, not mounted)%s", dir->fstype, dir->dev_major,
				 dir->dev_minor, escaped);
	text_shorten_middle(name, 1024);
	return name;
}

static void add_directories(const struct cache_facts *facts, cJSON *result)
{
	cJSON *list = tree_add_array(result, "directories");

	for (size_t i = 0; i < facts->pages->n_shmem_directories && i < facts->spec->top; i++) {
		const struct pages_directory *dir = &facts->pages->shmem_directories[i];
		_cleanup_free_ char *name = directory_name(facts, dir);
		cJSON *row = tree_push_object(list);
		char device[32];

		(void)snprintf(device, sizeof(device), "%u:%u", dir->dev_major, dir->dev_minor);
		tree_add_str(row, "path", name);
		tree_add_str(row, "filesystem", dir->fstype);
		tree_add_str(row, "device", device);
		tree_add_u64(row, "files", dir->files);
		tree_add_u64(row, "bytes", dir->bytes);
	}
}

/* The directory that holds the cgroup's largest shared memory file; NULL when it is not among the largest. */
static const struct pages_directory *find_directory(const struct cache_case *c)
{
	const struct pages_file *file = c->top;
	const char *slash = file && file->path ? strrchr(file->path, '/') : NULL;
	size_t n = slash ? (size_t)(slash - file->path) : 0;

	if (!slash || file->kernel_mount)
		return NULL;
	for (size_t i = 0; i < c->facts->pages->n_shmem_directories; i++) {
		const struct pages_directory *dir = &c->facts->pages->shmem_directories[i];
		const char *path = strcmp(dir->path, "/") == 0 ? "" : dir->path;

		if (dir->dev_major == file->dev_major && dir->dev_minor == file->dev_minor &&
		    strlen(path) == n && memcmp(path, file->path, n) == 0)
			return dir;
	}
	return NULL;
}

static void directory_facts(const struct cache_case *c, const struct pages_directory *dir,
			    struct hint_facts *facts)
{
	_cleanup_free_ char *path = directory_path(c->facts, dir);
	/* A quarter more than what is used, in whole MiB: room to work, an end to a leak. */
	uint64_t bound = (((dir->bytes + dir->bytes / 4) >> 20) + 1) << 20;
	_cleanup_free_ char *quoted = NULL, *name = NULL;
	char text[NUM_TEXT_MAX];
	const char *mount;

	if (!path)
		return;
	mount = mounts_mount_point(c->facts->mounts, dir->dev_major, dir->dev_minor, dir->path);
	quoted = text_shell_quote(path, strlen(path));
	name = text_escape_name(path, strlen(path));
	text_shorten_middle(name, 80);
	facts->conditions |= HINT_DIRECTORY;
	hint_facts_set(facts, "directory_q", "%s", quoted);
	hint_facts_set(facts, "directory", "%s", name);
	hint_facts_set(facts, "directory_files", "%" PRIu64, dir->files);
	hint_facts_set(facts, "directory_size", "%s", num_format_bytes(dir->bytes, text));
	hint_facts_set(facts, "bound_bytes", "%" PRIu64, bound);
	hint_facts_set(facts, "bound_size", "%s", num_format_bytes(bound, text));
	if (mount) {
		_cleanup_free_ char *mount_quoted = text_shell_quote(mount, strlen(mount));

		hint_facts_set(facts, "mount_q", "%s", mount_quoted);
	}
}

static char *message(const struct cache_case *c, const struct pages_directory *dir)
{
	_cleanup_free_ char *share = cache_case_share(c), *path = NULL, *name = NULL;
	char size[NUM_TEXT_MAX], part[NUM_TEXT_MAX];

	(void)num_format_bytes(c->bytes, size);
	path = dir ? directory_path(c->facts, dir) : NULL;
	if (path) {
		name = text_escape_name(path, strlen(path));
		text_shorten_middle(name, 200);
		return xasprintf("%s of shared memory, %s; %s holds %s in %" PRIu64 " files", size,
				 share, name, num_format_bytes(dir->bytes, part), dir->files);
	}
	name = c->top ? cache_file_name(c->facts, c->top) : xstrdup("");
	if (*name)
		return xasprintf("%s of shared memory, %s; largest segment %s (%s)", size, share,
				 name, num_format_bytes(c->top->cached_bytes, part));
	return xasprintf("%s of shared memory, %s", size, share);
}

static void judge_memcg(const struct cache_facts *facts, size_t i, struct findings *findings)
{
	struct cache_case c;
	enum severity severity = cache_case_open(facts, i, true, reason, &c);
	struct hint_facts hint_facts = {0};
	const struct pages_directory *dir;
	struct finding *finding;
	char text[NUM_TEXT_MAX];

	if (severity == SEVERITY_NONE)
		return;
	dir = find_directory(&c);
	finding = findings_add(findings);
	finding->check = CHECK_SHARED_MEMORY;
	finding->severity = severity;
	finding->reason = reason;
	cache_case_fill(&c, finding);
	/* Nothing here can be freed behind its owner's back: reclaimable_bytes stays 0. */
	finding->message = message(&c, dir);
	cache_case_hint_facts(&c, &hint_facts);
	hint_facts_set(&hint_facts, "shmem_size", "%s", num_format_bytes(c.bytes, text));
	if (dir)
		directory_facts(&c, dir, &hint_facts);
	hints_apply(&hint_facts, finding);
	hint_facts_done(&hint_facts);
}

void shared_memory_judge(const struct cache_facts *facts, struct check_result *result)
{
	const struct pages_snapshot *pages = facts->pages;

	cache_describe(facts, result);
	result->result = cJSON_CreateObject();
	tree_add_u64(result->result, "totalBytes", pages->shmem_bytes);
	tree_add_u64(result->result, "unresolvedBytes", pages->shmem_unresolved_bytes);
	tree_add_u64(result->result, "ungroupedBytes", pages->shmem_ungrouped_bytes);
	cache_add_files(facts, true, result->result);
	add_directories(facts, result->result);
	cache_add_containers(facts, true, result->result);
	for (size_t i = 0; i < facts->n_usages; i++)
		judge_memcg(facts, i, &result->findings);
}

static int finish(const struct check_env *env, void *self, struct check_result *result,
		  struct err *err)
{
	(void)self;
	return cache_read_and_judge(env, shared_memory_judge, result, err);
}

const struct check check_shared_memory = {
	.type = CHECK_SHARED_MEMORY,
	.needs = CHECK_NEEDS_PAGE_SCAN,
	.probe = check_probe_pages,
	.finish = finish,
};
