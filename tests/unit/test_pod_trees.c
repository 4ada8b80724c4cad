/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The trees in tests/fixtures/trees, each made as folders, walked, joined with its snapshots and compared line by line. Their
 * README has the format.
 */
#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "identity/cgroup_tree.h"
#include "identity/pods_internal.h"
#include "support/folder.h"

/* --- the files of a fixture ---------------------------------------------------------------------------------------------- */

/* The folder of the fixtures: beside this file's, wherever the test is started from. */
static char *fixtures_dir(void)
{
	static const char file[] = __FILE__;
	const char *slash = strrchr(file, '/');

	return xasprintf("%.*s/../fixtures/trees", slash ? (int)(slash - file) : 1,
			 slash ? file : ".");
}

/* NULL: the fixture has no such file. */
static char *read_text(const struct root *root, const char *rel)
{
	struct buf text = BUF_INIT(1 << 20);

	if (faccessat(root->fd, rel, R_OK, 0) < 0)
		return NULL;
	assert_int_equal(root_read(root, rel, &text, NULL), 0);
	return buf_take(&text);
}

static cJSON *read_json(const struct root *root, const char *rel)
{
	_cleanup_free_ char *text = read_text(root, rel);
	struct err err = {0};
	cJSON *tree = NULL;

	if (text && tree_parse_json(text, strlen(text), &tree, &err) < 0)
		fail_msg("%s/%s: %s", root->path, rel, err.msg);
	return tree;
}

static enum cri_state state_of(const char *name)
{
	static const char *const names[] = {"CREATED", "RUNNING", "EXITED", "UNKNOWN"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(name, names[i]) == 0)
			return (enum cri_state)i;
	}
	fail_msg("no container state: %s", name);
	return CRI_UNKNOWN;
}

static char *member(const cJSON *object, const char *name)
{
	const char *s = tree_str(object, name);

	if (!s)
		fail_msg("%s is missing", name);
	return xstrdup(s);
}

static struct cri_snapshot *parse_cri(const cJSON *tree)
{
	struct cri_snapshot *cri = xcalloc(1, sizeof(*cri));
	const cJSON *sandboxes = tree_get(tree, "sandboxes"), *item;
	const cJSON *containers = tree_get(tree, "containers");

	cri->runtime = member(tree, "runtime");
	cri->sandboxes =
		xcalloc((size_t)cJSON_GetArraySize(sandboxes) + 1, sizeof(*cri->sandboxes));
	cJSON_ArrayForEach (item, sandboxes) {
		cri->sandboxes[cri->n_sandboxes++] = (struct cri_sandbox){
			.id = member(item, "id"),
			.name = member(item, "name"),
			.uid = member(item, "uid"),
			.ns = member(item, "namespace"),
			.ready = cJSON_IsTrue(tree_get(item, "ready")),
			.labels = cJSON_Duplicate(tree_get(item, "labels"), true),
		};
	}
	cri->containers =
		xcalloc((size_t)cJSON_GetArraySize(containers) + 1, sizeof(*cri->containers));
	cJSON_ArrayForEach (item, containers) {
		cri->containers[cri->n_containers++] = (struct cri_container){
			.id = member(item, "id"),
			.sandbox_id = member(item, "sandbox"),
			.name = member(item, "name"),
			.state = state_of(tree_str_or_empty(item, "state")),
		};
	}
	return cri;
}

/* --- the tree ------------------------------------------------------------------------------------------------------------ */

/* Makes a folder for each line (parents come first) and walks them as if they were cgroups. */
static struct cgroup_tree *make_and_walk(char *paths)
{
	_cleanup_free_ char *dir = folder_new();
	struct cgroupfs cg = {.mode = CGROUP_V2, .memory = ROOT_INIT};
	struct cgroup_tree *tree = NULL;
	size_t n = 1;

	for (char *line; (line = strsep(&paths, "\n"));) {
		_cleanup_free_ char *path = NULL;

		if (*line != '/')
			continue;
		path = xasprintf("%s%s", dir, line);
		if (mkdir(path, 0755) < 0)
			fail_msg("cannot make %s", path);
		n++;
	}
	assert_int_equal(root_open(&cg.memory, dir, NULL), 0);
	assert_int_equal(cgroup_tree_read(&cg, &tree, NULL), 0);
	cgroupfs_close(&cg);
	assert_int_equal(folder_remove(dir), 0);
	assert_int_equal(tree->n, n);
	return tree;
}

/* --- what came out ------------------------------------------------------------------------------------------------------- */

static int compare_paths(const void *a, const void *b)
{
	const struct pod_cgroup *const *x = a, *const *y = b;

	return strcmp((*x)->cgroup, (*y)->cgroup);
}

static const char *or_dash(const char *s)
{
	return s ? s : "-";
}

static void print_bytes(struct buf *out, uint64_t bytes, const char *end)
{
	assert_int_equal(bytes ? buf_printf(out, "%" PRIu64 "%s", bytes, end)
			       : buf_printf(out, "-%s", end),
			 0);
}

static char *print_pods(const struct pods *pods)
{
	const struct pod_cgroup **sorted = xcalloc(pods->n + 1, sizeof(const struct pod_cgroup *));
	struct buf out = BUF_INIT(1 << 20);

	for (size_t i = 0; i < pods->n; i++)
		sorted[i] = &pods->items[i];
	qsort((void *)sorted, pods->n, sizeof(sorted[0]), compare_paths);
	for (size_t i = 0; i < pods->n; i++) {
		const struct pod_cgroup *item = sorted[i];

		if (item->name.kind == CGROUP_KIND_UNIT) {
			assert_int_equal(
				buf_printf(&out, "%s\tunit\t%s\n", item->cgroup, item->name.unit),
				0);
			continue;
		}
		assert_int_equal(buf_printf(&out, "%s\t%s\t%s/%s/%s\t%s\t%s\t", item->cgroup,
					    pod_source_names[item->source], or_dash(item->ns),
					    or_dash(item->pod), or_dash(item->container),
					    or_dash(item->pod_uid), item->name.qos),
				 0);
		print_bytes(&out, item->memory_request_bytes, "\t");
		print_bytes(&out, item->memory_limit_bytes, "\n");
	}
	free((void *)sorted);
	return buf_take(&out);
}

/* Line by line, so that a failure shows the line. */
static void assert_same_text(const char *name, char *have, char *expected)
{
	char *h, *e;

	do {
		h = strsep(&have, "\n");
		e = strsep(&expected, "\n");
		if (!h || !e || strcmp(h, e) != 0)
			fail_msg("%s:\n  have     %s\n  expected %s", name, or_dash(h), or_dash(e));
	} while (have || expected);
}

static void resolve_fixture(const struct root *fixtures, const char *name)
{
	_cleanup_free_ char *dir = xasprintf("%s/%s", fixtures->path, name);
	_cleanup_free_ char *paths = NULL, *expected = NULL, *have = NULL;
	_cleanup_tree_ cJSON *cri_json = NULL, *pod_list = NULL;
	_cleanup_root_ struct root root = ROOT_INIT;
	struct cri_snapshot *cri = NULL;
	struct cgroup_tree *tree;
	struct pods *pods;

	assert_int_equal(root_open(&root, dir, NULL), 0);
	paths = read_text(&root, "cgroups.txt");
	expected = read_text(&root, "expected.txt");
	assert_true(paths && expected);
	cri_json = read_json(&root, "cri.json");
	cri = cri_json ? parse_cri(cri_json) : NULL;
	pod_list = read_json(&root, "pods.json");
	tree = make_and_walk(paths);
	pods = pods_join(tree, cri, pod_list, NULL);
	cgroup_tree_free(tree);
	if (cri)
		cri_snapshot_free(cri);
	have = print_pods(pods);
	assert_same_text(name, have, expected);
	assert_int_equal(pods->dropped, 0);
	pods_free(pods);
}

static void every_tree_resolves_exactly(void **state)
{
	_cleanup_free_ char *path = fixtures_dir();
	_cleanup_root_ struct root fixtures = ROOT_INIT;
	const struct dirent *entry;
	DIR *dir = opendir(path);
	int n = 0;

	(void)state;
	assert_non_null(dir);
	assert_int_equal(root_open(&fixtures, path, NULL), 0);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || entry->d_type == DT_REG)
			continue;
		resolve_fixture(&fixtures, entry->d_name);
		n++;
	}
	(void)closedir(dir);
	assert_true(n >= 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_tree_resolves_exactly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
