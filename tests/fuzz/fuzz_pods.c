/* SPDX-License-Identifier: Apache-2.0 */
/* {"cgroups": [PATH...], "list": v1.PodList}: cgroups joined with what the kubelet says and with a recorded runtime. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "identity/cgroup_tree.h"
#include "identity/cri_internal.h"
#include "identity/pods.h"
#include "support/cri_recorded.h"

enum { CGROUPS_MAX = 64 };

static struct cri_snapshot *cri;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	tree_init();
	cri = xcalloc(1, sizeof(*cri));
	if (cri_decode_version(recorded_version, sizeof(recorded_version), cri, NULL) < 0 ||
	    cri_decode_containers(recorded_containers, sizeof(recorded_containers), cri, NULL) <
		    0 ||
	    cri_decode_sandboxes(recorded_sandboxes, sizeof(recorded_sandboxes), cri, NULL) < 0)
		abort();
	return 0;
}

static struct cgroup_tree make_tree(const cJSON *paths, struct cgroup_node *nodes)
{
	struct cgroup_tree tree = {.nodes = nodes};
	const cJSON *path;

	cJSON_ArrayForEach (path, paths) {
		if (!cJSON_IsString(path) || tree.n == CGROUPS_MAX)
			continue;
		nodes[tree.n].path = path->valuestring;
		nodes[tree.n].id = tree.n + 1;
		tree.n++;
	}
	return tree;
}

/* Every cgroup of the table is found, and one that is gone is found or not. */
static void look_up(const struct pods *pods, const struct history *history,
		    const struct cgroup_tree *tree, const cJSON *selector)
{
	for (size_t i = 0; i < pods->n; i++) {
		struct pod_cgroup scratch = {0};

		if (pods_find(pods, pods->items[i].cgroup_id, NULL, history, &scratch) !=
		    &pods->items[i])
			abort();
		pod_cgroup_done(&scratch);
		(void)pod_matches(&pods->items[i], NULL, selector);
	}
	for (size_t i = 0; i < tree->n; i++) {
		struct pod_cgroup scratch = {0};

		(void)pods_find(pods, 1000 + i, tree->nodes[i].path, history, &scratch);
		pod_cgroup_done(&scratch);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_tree_ cJSON *doc = NULL;
	struct cgroup_node nodes[CGROUPS_MAX];
	struct cgroup_tree tree;
	struct history *history;
	struct pods *pods;
	struct err err;

	if (tree_parse_json((const char *)data, size, &doc, &err) < 0)
		return 0;
	tree = make_tree(tree_get(doc, "cgroups"), nodes);
	history = history_new();
	pods = pods_join(&tree, size % 2 ? cri : NULL, tree_get(doc, "list"), history);
	if (!pods)
		abort();
	look_up(pods, history, &tree, tree_get(doc, "selector"));
	pods_free(pods);
	history_free(history);
	return 0;
}
