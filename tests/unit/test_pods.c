/* SPDX-License-Identifier: Apache-2.0 */
/* Who a cgroup is: the join of tree, runtime, kubelet and history, and the sums of a pod. */
#include <errno.h>
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

#define UID_A "1858680e-b044-4fd5-9dd4-f137e30e2180"
#define UID_B "0ec90011-b5ae-4efc-8a54-d9fc34119605"
#define UID_M "6c1f7a52-93be-4a0d-8f0e-5d2b9c4e7711"
#define HASH  "81cdabfc720501d9e81b425b15921b4d"

/* Container ids: 64 hex digits that end in two of one's own. */
#define ID(nn)	    "00000000000000000000000000000000000000000000000000000000000000" nn
#define POD(uid)    "/kubepods/burstable/pod" uid
#define IN(uid, nn) POD(uid) "/" ID(nn)

/* --- what is joined ------------------------------------------------------------------------------------------------------ */

struct rig {
	struct cgroup_tree tree;
	struct cri_snapshot cri;
	bool has_cri;
	cJSON *list;
	struct history *history;
	struct pods *pods;
	char **texts;
	size_t n_texts;
};

static int setup(void **state)
{
	*state = xcalloc(1, sizeof(struct rig));
	return 0;
}

static char *text(struct rig *rig, const char *s)
{
	rig->texts = xreallocarray(rig->texts, rig->n_texts + 1, sizeof(*rig->texts));
	rig->texts[rig->n_texts] = s ? xstrdup(s) : NULL;
	return rig->texts[rig->n_texts++];
}

static void forget_cri(struct rig *rig)
{
	for (size_t i = 0; i < rig->cri.n_sandboxes; i++)
		cJSON_Delete(rig->cri.sandboxes[i].labels);
	free(rig->cri.sandboxes);
	free(rig->cri.containers);
	rig->cri = (struct cri_snapshot){0};
	rig->has_cri = false;
}

static int teardown(void **state)
{
	struct rig *rig = *state;

	pods_free(rig->pods);
	forget_cri(rig);
	cJSON_Delete(rig->list);
	history_free(rig->history);
	free(rig->tree.nodes);
	for (size_t i = 0; i < rig->n_texts; i++)
		free(rig->texts[i]);
	free(rig->texts);
	free(rig);
	return 0;
}

/* Ids are 10, 20, ... in the order of the calls. */
static void cgroup(struct rig *rig, const char *path)
{
	struct cgroup_tree *tree = &rig->tree;

	tree->nodes = xreallocarray(tree->nodes, tree->n + 1, sizeof(*tree->nodes));
	tree->nodes[tree->n].id = (tree->n + 1) * 10;
	tree->nodes[tree->n++].path = text(rig, path);
}

static cJSON *json(const char *s)
{
	struct err err = {0};
	cJSON *tree = NULL;

	if (tree_parse_json(s, strlen(s), &tree, &err) < 0)
		fail_msg("%s: %s", s, err.msg);
	return tree;
}

static void sandbox(struct rig *rig, const char *id, const char *uid, const char *name, bool ready,
		    const char *labels)
{
	struct cri_snapshot *cri = &rig->cri;

	cri->sandboxes =
		xreallocarray(cri->sandboxes, cri->n_sandboxes + 1, sizeof(*cri->sandboxes));
	cri->sandboxes[cri->n_sandboxes++] = (struct cri_sandbox){
		.id = text(rig, id),
		.name = text(rig, name),
		.uid = text(rig, uid),
		.ns = text(rig, "prod"),
		.ready = ready,
		.labels = labels ? json(labels) : NULL,
	};
	rig->has_cri = true;
}

static void container(struct rig *rig, const char *id, const char *sandbox_id, const char *name,
		      enum cri_state cri_state)
{
	struct cri_snapshot *cri = &rig->cri;

	cri->containers =
		xreallocarray(cri->containers, cri->n_containers + 1, sizeof(*cri->containers));
	cri->containers[cri->n_containers++] = (struct cri_container){
		.id = text(rig, id),
		.sandbox_id = text(rig, sandbox_id),
		.name = text(rig, name),
		.state = cri_state,
	};
	rig->has_cri = true;
}

/* One pod with sandbox 01 and containers 02 "app" and 03 "proxy". */
static void plain_pod(struct rig *rig)
{
	sandbox(rig, ID("01"), UID_A, "web-0", true,
		"{\"app\":\"web\",\"io.kubernetes.pod.name\":\"web-0\"}");
	container(rig, ID("02"), ID("01"), "app", CRI_RUNNING);
	container(rig, ID("03"), ID("01"), "proxy", CRI_RUNNING);
}

static void plain_cgroups(struct rig *rig)
{
	cgroup(rig, "/");
	cgroup(rig, POD(UID_A));
	cgroup(rig, IN(UID_A, "01"));
	cgroup(rig, IN(UID_A, "02"));
	cgroup(rig, IN(UID_A, "03"));
}

#define STATUS(name, nn) "{\"name\":\"" name "\",\"containerID\":\"containerd://" ID(nn) "\"}"
#define MEMORY(name, request, limit)                                                \
	"{\"name\":\"" name "\",\"resources\":{\"requests\":{\"memory\":\"" request \
	"\"},\"limits\":{\"memory\":\"" limit "\"}}}"
#define META(uid, name, more) \
	"\"metadata\":{\"namespace\":\"prod\",\"name\":\"" name "\",\"uid\":\"" uid "\"" more "}"

#define PLAIN_LIST                                                                                                  \
	"{\"items\":[{" META(                                                                                       \
		UID_A, "web-0",                                                                                     \
		",\"labels\":{\"app\":\"web\",\"tier\":\"new\"}") ","                                               \
								  "\"spec\":{\"containers\":"                       \
								  "[" MEMORY("app", "64Mi", "128Mi") "," MEMORY(    \
									  "proxy", "16Mi",                          \
									  "32Mi") "]},\"status\":"                  \
										  "{\"qosClass\":"                  \
										  "\"Burstable\","                  \
										  "\"containerSta"                  \
										  "tuses\":"                        \
										  "[" STATUS(                       \
											  "app",                    \
											  "02") "," STATUS("proxy", \
													   "03") "]}}]}"

static void join(struct rig *rig, const char *list)
{
	pods_free(rig->pods);
	cJSON_Delete(rig->list);
	rig->list = list ? json(list) : NULL;
	rig->pods = pods_join(&rig->tree, rig->has_cri ? &rig->cri : NULL, rig->list, rig->history);
}

static const char *or_dash(const char *s)
{
	return s ? s : "-";
}

/* "source ns/pod/container uid request limit", "-" for what is unknown. */
static void assert_item(const struct pod_cgroup *item, const char *expected)
{
	_cleanup_free_ char *have = NULL;

	assert_non_null(item);
	have = xasprintf("%s %s/%s/%s %s %" PRIu64 " %" PRIu64, pod_source_names[item->source],
			 or_dash(item->ns), or_dash(item->pod), or_dash(item->container),
			 or_dash(item->pod_uid), item->memory_request_bytes,
			 item->memory_limit_bytes);
	assert_string_equal(have, expected);
}

static const struct pod_cgroup *at(const struct rig *rig, const char *path)
{
	for (size_t i = 0; i < rig->pods->n; i++) {
		if (strcmp(rig->pods->items[i].cgroup, path) == 0)
			return &rig->pods->items[i];
	}
	return NULL;
}

#define expect(rig, path, expected) assert_item(at(rig, path), expected)

/* --- the join ------------------------------------------------------------------------------------------------------------ */

static void runtime_alone(void **state)
{
	struct rig *rig = *state;

	plain_cgroups(rig);
	cgroup(rig, IN(UID_A, "02") "/init.scope");
	cgroup(rig, "/system.slice/containerd.service");
	cgroup(rig, "/docker/" ID("77"));
	plain_pod(rig);
	rig->cri.runtime = text(rig, "containerd 2.1.9");
	rig->cri.dropped = 5;
	join(rig, NULL);
	assert_int_equal(rig->pods->n, 6);
	expect(rig, POD(UID_A), "cri prod/web-0/- " UID_A " 0 0");
	expect(rig, IN(UID_A, "01"), "cri prod/web-0/(sandbox) " UID_A " 0 0");
	expect(rig, IN(UID_A, "02"), "cri prod/web-0/app " UID_A " 0 0");
	expect(rig, IN(UID_A, "02") "/init.scope", "cri prod/web-0/app " UID_A " 0 0");
	expect(rig, IN(UID_A, "03"), "cri prod/web-0/proxy " UID_A " 0 0");
	expect(rig, "/system.slice/containerd.service", "cgroup -/-/- - 0 0");
	assert_string_equal(at(rig, "/system.slice/containerd.service")->name.unit,
			    "containerd.service");
	assert_string_equal(at(rig, POD(UID_A))->name.qos, "Burstable");
	assert_string_equal(rig->pods->runtime, "containerd 2.1.9");
	assert_int_equal(rig->pods->dropped, 5);
	/* The pod's labels, without those that the kubelet puts on sandboxes. */
	assert_string_equal(tree_str(at(rig, POD(UID_A))->labels, "app"), "web");
	assert_int_equal(cJSON_GetArraySize(at(rig, POD(UID_A))->labels), 1);
}

static void kubelet_alone(void **state)
{
	struct rig *rig = *state;

	plain_cgroups(rig);
	join(rig, PLAIN_LIST);
	expect(rig, POD(UID_A), "kubelet prod/web-0/- " UID_A " 83886080 167772160");
	expect(rig, IN(UID_A, "02"), "kubelet prod/web-0/app " UID_A " 67108864 134217728");
	expect(rig, IN(UID_A, "03"), "kubelet prod/web-0/proxy " UID_A " 16777216 33554432");
	/* The list has no sandboxes; the path still names the pod. */
	expect(rig, IN(UID_A, "01"), "kubelet prod/web-0/- " UID_A " 0 0");
	assert_int_equal(at(rig, IN(UID_A, "01"))->name.kind, CGROUP_KIND_CONTAINER);
	assert_null(rig->pods->runtime);
}

static void runtime_and_kubelet(void **state)
{
	struct rig *rig = *state;

	plain_cgroups(rig);
	cgroup(rig, IN(UID_B, "11"));
	plain_pod(rig);
	sandbox(rig, ID("10"), UID_B, "new", true, NULL);
	container(rig, ID("11"), ID("10"), "c", CRI_RUNNING);
	join(rig, PLAIN_LIST);
	expect(rig, POD(UID_A), "kubelet prod/web-0/- " UID_A " 83886080 167772160");
	expect(rig, IN(UID_A, "01"), "kubelet prod/web-0/(sandbox) " UID_A " 0 0");
	expect(rig, IN(UID_A, "02"), "kubelet prod/web-0/app " UID_A " 67108864 134217728");
	/* A sandbox's labels are those of its start; the list has the ones of now. */
	assert_string_equal(tree_str(at(rig, POD(UID_A))->labels, "tier"), "new");
	/* A pod that the kubelet's answer does not have yet. */
	expect(rig, IN(UID_B, "11"), "cri prod/new/c " UID_B " 0 0");
	assert_null(at(rig, IN(UID_B, "11"))->labels);
}

static void neither(void **state)
{
	struct rig *rig = *state;

	plain_cgroups(rig);
	join(rig, NULL);
	expect(rig, POD(UID_A), "cgroup -/-/- " UID_A " 0 0");
	expect(rig, IN(UID_A, "02"), "cgroup -/-/- " UID_A " 0 0");
	assert_string_equal(at(rig, IN(UID_A, "02"))->name.container_id, ID("02"));
	join(rig, "{\"items\":[]}");
	expect(rig, IN(UID_A, "02"), "cgroup -/-/- " UID_A " 0 0");
	rig->tree.n = 0;
	join(rig, NULL);
	assert_int_equal(rig->pods->n, 0);
}

static void history_names_what_is_gone(void **state)
{
	struct rig *rig = *state;
	struct pod_cgroup scratch;

	rig->history = history_new();
	plain_cgroups(rig);
	plain_pod(rig);
	container(rig, ID("04"), ID("01"), "init", CRI_EXITED);
	join(rig, NULL);
	assert_int_equal(history_count(rig->history), 5);
	/* Runtime and kubelet are gone: names, and nothing else. */
	forget_cri(rig);
	join(rig, NULL);
	expect(rig, POD(UID_A), "history prod/web-0/- " UID_A " 0 0");
	expect(rig, IN(UID_A, "01"), "history prod/web-0/(sandbox) " UID_A " 0 0");
	expect(rig, IN(UID_A, "02"), "history prod/web-0/app " UID_A " 0 0");
	assert_null(at(rig, IN(UID_A, "02"))->labels);
	/* The cgroups are gone as well: their paths still tell. 04 never had one when we looked. */
	assert_item(pods_find(rig->pods, 999, IN(UID_A, "04"), rig->history, &scratch),
		    "history prod/web-0/init " UID_A " 0 0");
	assert_string_equal(scratch.cgroup, IN(UID_A, "04"));
	assert_int_equal(scratch.cgroup_id, 999);
	pod_cgroup_done(&scratch);
	/* A container that nobody knows in a pod that is remembered; one in a pod that is not. */
	assert_item(pods_find(NULL, 999, IN(UID_A, "05"), rig->history, &scratch),
		    "history prod/web-0/- " UID_A " 0 0");
	pod_cgroup_done(&scratch);
	assert_item(pods_find(NULL, 999, IN(UID_B, "05"), rig->history, &scratch),
		    "cgroup -/-/- " UID_B " 0 0");
	pod_cgroup_done(&scratch);
	assert_item(pods_find(NULL, 999, IN(UID_A, "02"), NULL, &scratch),
		    "cgroup -/-/- " UID_A " 0 0");
	pod_cgroup_done(&scratch);
}

static void what_is_there_wins_over_history(void **state)
{
	struct rig *rig = *state;
	struct history_entry old = {
		.container_id = ID("05"),
		.pod_uid = UID_A,
		.ns = "old",
		.pod = "old",
		.container = "collected",
	};

	rig->history = history_new();
	history_note(rig->history, &old);
	plain_cgroups(rig);
	cgroup(rig, IN(UID_A, "05"));
	plain_pod(rig);
	join(rig, NULL);
	/* The pod is known by its UID; the runtime has forgotten this container of it. */
	expect(rig, IN(UID_A, "05"), "cri prod/web-0/collected " UID_A " 0 0");
}

static void found_by_id_or_by_path(void **state)
{
	struct rig *rig = *state;
	struct pod_cgroup scratch;

	plain_cgroups(rig);
	cgroup(rig, "/system.slice/a.service");
	plain_pod(rig);
	container(rig, ID("04"), ID("01"), "app", CRI_EXITED);
	join(rig, NULL);
	assert_ptr_equal(pods_find(rig->pods, 40, NULL, NULL, &scratch), at(rig, IN(UID_A, "02")));
	/* Nothing is left to release. */
	assert_null(scratch.cgroup);
	pod_cgroup_done(&scratch);
	assert_null(pods_find(rig->pods, 999, NULL, NULL, &scratch));
	assert_null(pods_find(rig->pods, 999, "/docker/x", NULL, &scratch));
	assert_null(pods_find(rig->pods, 10, "/", NULL, &scratch));
	pod_cgroup_done(&scratch);
	/* A removed cgroup of a container that exited, of a pod that runs: labels and all. */
	assert_item(pods_find(rig->pods, 999, IN(UID_A, "04"), NULL, &scratch),
		    "cri prod/web-0/app " UID_A " 0 0");
	assert_non_null(scratch.labels);
	pod_cgroup_done(&scratch);
	assert_item(pods_find(rig->pods, 999, "/system.slice/b.service/x", NULL, &scratch),
		    "cgroup -/-/- - 0 0");
	assert_string_equal(scratch.name.unit, "b.service");
	pod_cgroup_done(&scratch);
}

/* --- awkward pods -------------------------------------------------------------------------------------------------------- */

#define MIRROR_LIST(annotations)                                                            \
	"{\"items\":[{" META(                                                               \
		UID_M, "etcd-n1",                                                           \
		annotations) ","                                                            \
			     "\"spec\":{\"containers\":[" MEMORY(                           \
				     "etcd", "100Mi",                                       \
				     "100Mi") "]},"                                         \
					      "\"status\":{\"containerStatuses\":[" STATUS( \
						      "etcd", "22") "]}}]}"
#define MIRROR ",\"annotations\":{\"kubernetes.io/config.mirror\":\"" HASH "\"}"

static void static_pod_cgroups(struct rig *rig)
{
	cgroup(rig, POD(HASH));
	cgroup(rig, IN(HASH, "21"));
	cgroup(rig, IN(HASH, "22"));
	cgroup(rig, IN(HASH, "29"));
}

static void static_pod(struct rig *rig)
{
	sandbox(rig, ID("21"), HASH, "etcd-n1", true, "{}");
	container(rig, ID("22"), ID("21"), "etcd", CRI_RUNNING);
}

/* The cgroups have the manifest's hash, the API has the mirror's UID; with and without the annotation that ties them. */
static void mirror_pod(void **state)
{
	struct rig *rig = *state;

	static_pod_cgroups(rig);
	static_pod(rig);
	join(rig, NULL);
	expect(rig, POD(HASH), "cri prod/etcd-n1/- " HASH " 0 0");
	for (int tied = 0; tied < 2; tied++) {
		join(rig, tied ? MIRROR_LIST(MIRROR) : MIRROR_LIST(""));
		expect(rig, POD(HASH), "kubelet prod/etcd-n1/- " UID_M " 104857600 104857600");
		expect(rig, IN(HASH, "21"), "kubelet prod/etcd-n1/(sandbox) " UID_M " 0 0");
		expect(rig, IN(HASH, "22"),
		       "kubelet prod/etcd-n1/etcd " UID_M " 104857600 104857600");
		expect(rig, IN(HASH, "29"), "kubelet prod/etcd-n1/- " UID_M " 0 0");
	}
}

static void mirror_pod_without_runtime(void **state)
{
	struct rig *rig = *state;
	struct pod_cgroup scratch;

	rig->history = history_new();
	static_pod_cgroups(rig);
	for (int tied = 0; tied < 2; tied++) {
		join(rig, tied ? MIRROR_LIST(MIRROR) : MIRROR_LIST(""));
		expect(rig, POD(HASH), "kubelet prod/etcd-n1/- " UID_M " 104857600 104857600");
		expect(rig, IN(HASH, "21"), "kubelet prod/etcd-n1/- " UID_M " 0 0");
		expect(rig, IN(HASH, "22"),
		       "kubelet prod/etcd-n1/etcd " UID_M " 104857600 104857600");
	}
	/* The hash is remembered: it is what the path of a removed cgroup has. */
	assert_item(pods_find(NULL, 1, POD(HASH), rig->history, &scratch),
		    "history prod/etcd-n1/- " HASH " 0 0");
	pod_cgroup_done(&scratch);
}

/* The kubelet lists the static pod under its hash, the API server its mirror; a list may have both in any order. */
static void static_pod_and_mirror(void **state)
{
	static const char *const lists[] = {
		"{\"items\":[{" META(HASH, "etcd-n1", "") "},{" META(UID_M, "etcd-n1",
								     MIRROR) "}]}",
		"{\"items\":[{" META(UID_M, "etcd-n1", MIRROR) "},{" META(HASH, "etcd-n1",
									  "") "}]}",
	};
	struct rig *rig = *state;

	static_pod_cgroups(rig);
	static_pod(rig);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		join(rig, lists[i]);
		expect(rig, IN(HASH, "22"), "kubelet prod/etcd-n1/etcd " UID_M " 0 0");
	}
	join(rig, "{\"items\":[{" META(HASH, "etcd-n1", "") "}]}");
	expect(rig, IN(HASH, "22"), "kubelet prod/etcd-n1/etcd " HASH " 0 0");
}

/* Whoever may make a pod may write the annotation: it must not rename another's. */
static void forged_mirror(void **state)
{
	static const char list[] = "{\"items\":[{" META(
		UID_B, "thief",
		",\"annotations\":{\"kubernetes.io/config.mirror\":\"" UID_A
		"\"}") "},{" META(UID_A, "web-0", "") ","
						      "\"status\":{\"containerStatuses\":[" STATUS(
							      "app", "02") "]}}]}";
	struct rig *rig = *state;

	plain_cgroups(rig);
	cgroup(rig, POD(UID_B));
	join(rig, list);
	expect(rig, POD(UID_A), "kubelet prod/web-0/- " UID_A " 0 0");
	expect(rig, IN(UID_A, "02"), "kubelet prod/web-0/app " UID_A " 0 0");
	expect(rig, POD(UID_B), "kubelet prod/thief/- " UID_B " 0 0");
	plain_pod(rig);
	join(rig, "{\"items\":[{" META(UID_B, "thief",
				       ",\"annotations\":{\"kubernetes.io/config.mirror\":\"" UID_A
				       "\"}") "}]}");
	expect(rig, IN(UID_A, "02"), "cri prod/web-0/app " UID_A " 0 0");
	expect(rig, POD(UID_B), "kubelet prod/thief/- " UID_B " 0 0");
}

static void init_and_exited_containers(void **state)
{
	static const char list[] = "{\"items\":[{" META(
		UID_A, "web-0",
		"") ",\"spec\":{"
		    "\"initContainers\":[" MEMORY(
			    "setup", "1Gi",
			    "1Gi") "],"
				   "\"containers\":[" MEMORY(
					   "app", "1Mi",
					   "2Mi") "]},\"status\":{"
						  "\"initContainerStatuses\":[{\"name\":\"setup\","
						  "\"state\":{\"terminated\":{"
						  "\"containerID\":\"cri-o://" ID(
							  "05") "\"}}}],"
								"\"ephemeralContainerStatuses\":"
								"[" STATUS(
									"debug",
									"06") "],"
									      "\"containerStatuses"
									      "\":[{\"name\":"
									      "\"app\","
									      "\"containerID\":"
									      "\"docker://" ID(
										      "02") "\","
											    "\"last"
											    "State"
											    "\":{"
											    "\"term"
											    "inated"
											    "\":{"
											    "\"cont"
											    "ainerI"
											    "D\":"
											    "\"dock"
											    "er:/"
											    "/" ID("04") "\"}}}]}}]}";
	struct rig *rig = *state;

	plain_cgroups(rig);
	cgroup(rig, IN(UID_A, "04"));
	cgroup(rig, IN(UID_A, "05"));
	cgroup(rig, IN(UID_A, "06"));
	join(rig, list);
	expect(rig, POD(UID_A), "kubelet prod/web-0/- " UID_A " 1073741824 1073741824");
	expect(rig, IN(UID_A, "02"), "kubelet prod/web-0/app " UID_A " 1048576 2097152");
	expect(rig, IN(UID_A, "04"), "kubelet prod/web-0/app " UID_A " 1048576 2097152");
	expect(rig, IN(UID_A, "05"), "kubelet prod/web-0/setup " UID_A " 1073741824 1073741824");
	expect(rig, IN(UID_A, "06"), "kubelet prod/web-0/debug " UID_A " 0 0");
	/* The runtime keeps exited ones too, and the sandbox of an earlier attempt. */
	plain_pod(rig);
	sandbox(rig, ID("00"), UID_A, "web-0", false, "{\"app\":\"old\"}");
	container(rig, ID("05"), ID("00"), "setup", CRI_EXITED);
	join(rig, NULL);
	expect(rig, IN(UID_A, "05"), "cri prod/web-0/setup " UID_A " 0 0");
	assert_string_equal(tree_str(at(rig, IN(UID_A, "05"))->labels, "app"), "web");
}

static void current_sandbox_has_the_labels(void **state)
{
	struct rig *rig = *state;

	plain_cgroups(rig);
	sandbox(rig, ID("00"), UID_A, "web-0", false, "{\"app\":\"old\"}");
	plain_pod(rig);
	join(rig, NULL);
	assert_string_equal(tree_str(at(rig, POD(UID_A))->labels, "app"), "web");
}

static void ids_that_appear_twice(void **state)
{
	static const char list[] = "{\"items\":[{" META(
		UID_A, "web-0",
		"") ","
		    "\"status\":{\"containerStatuses\":[" STATUS(
			    "app", "02") "]}},"
					 "{" META(UID_B, "thief",
						  "") ","
						      "\"status\":{\"containerStatuses\":[" STATUS(
							      "mine", "02") "]}}]}";
	struct rig *rig = *state;

	/* In the tree: below another pod's UID, and nested. The id wins. */
	plain_cgroups(rig);
	cgroup(rig, IN(UID_B, "02"));
	cgroup(rig, POD(UID_B));
	cgroup(rig, IN(UID_A, "02") "/container");
	plain_pod(rig);
	sandbox(rig, ID("08"), UID_B, "other", true, NULL);
	/* From the runtime: the running one counts, whichever comes first. */
	container(rig, ID("03"), ID("01"), "stale", CRI_EXITED);
	container(rig, ID("04"), ID("01"), "stale", CRI_EXITED);
	container(rig, ID("04"), ID("01"), "now", CRI_RUNNING);
	container(rig, ID("01"), ID("01"), "not the sandbox", CRI_EXITED);
	cgroup(rig, IN(UID_A, "04"));
	join(rig, NULL);
	expect(rig, IN(UID_B, "02"), "cri prod/web-0/app " UID_A " 0 0");
	expect(rig, POD(UID_B), "cri prod/other/- " UID_B " 0 0");
	expect(rig, IN(UID_A, "02") "/container", "cri prod/web-0/app " UID_A " 0 0");
	expect(rig, IN(UID_A, "03"), "cri prod/web-0/proxy " UID_A " 0 0");
	expect(rig, IN(UID_A, "04"), "cri prod/web-0/now " UID_A " 0 0");
	expect(rig, IN(UID_A, "01"), "cri prod/web-0/(sandbox) " UID_A " 0 0");
	/* From the kubelet: the first pod that has it, or the runtime's. */
	join(rig, list);
	expect(rig, IN(UID_A, "02"), "kubelet prod/web-0/app " UID_A " 0 0");
	expect(rig, POD(UID_B), "kubelet prod/thief/- " UID_B " 0 0");
	forget_cri(rig);
	sandbox(rig, ID("01"), UID_A, "web-0", true, NULL);
	container(rig, ID("02"), ID("01"), "app", CRI_RUNNING);
	join(rig, list);
	expect(rig, IN(UID_A, "02"), "kubelet prod/web-0/app " UID_A " 0 0");
	expect(rig, POD(UID_B), "kubelet prod/thief/- " UID_B " 0 0");
	forget_cri(rig);
	join(rig, list);
	expect(rig, IN(UID_A, "02"), "kubelet prod/web-0/app " UID_A " 0 0");
}

static void container_without_sandbox(void **state)
{
	struct rig *rig = *state;

	plain_cgroups(rig);
	container(rig, ID("02"), ID("99"), "lost", CRI_RUNNING);
	container(rig, ID("03"), NULL, "lost", CRI_RUNNING);
	sandbox(rig, "", UID_B, "no id", true, NULL);
	sandbox(rig, ID("98"), NULL, "no uid", true, NULL);
	container(rig, "", ID("01"), "no id", CRI_RUNNING);
	join(rig, NULL);
	expect(rig, IN(UID_A, "02"), "cgroup -/-/lost " UID_A " 0 0");
	/* Its path names the pod. */
	join(rig, "{\"items\":[{" META(UID_A, "web-0", "") "}]}");
	expect(rig, IN(UID_A, "03"), "kubelet prod/web-0/lost " UID_A " 0 0");
}

static void lists_that_are_none(void **state)
{
	static const char *const lists[] = {
		"null",
		"[]",
		"{\"items\":7}",
		"{\"items\":[null,7,\"x\",[],{}]}",
		"{\"items\":[{\"metadata\":7,\"spec\":[],\"status\":\"x\"}]}",
		"{\"items\":[{\"metadata\":{\"uid\":7,\"name\":{}}}]}",
		"{\"items\":[{" META(
			UID_B, "x",
			",\"labels\":7,\"annotations\":[]") ","
							    "\"spec\":{\"containers\":{\"a\":7},"
							    "\"overhead\":[],\"resources\":1},"
							    "\"status\":{\"qosClass\":\"Best\","
							    "\"containerStatuses\":[7,null,{"
							    "\"name\":7,"
							    "\"containerID\":8,\"state\":[]},{"
							    "\"containerID\":\"://"
							    "\"},{\"containerID\":\"x://\"}]}}]}",
	};
	struct rig *rig = *state;

	plain_cgroups(rig);
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		join(rig, lists[i]);
		expect(rig, POD(UID_A), "cgroup -/-/- " UID_A " 0 0");
		expect(rig, IN(UID_A, "02"), "cgroup -/-/- " UID_A " 0 0");
	}
}

static void assert_volume(const struct rig *rig, const char *path, const char *point,
			  const char *expected)
{
	_cleanup_free_ char *name = pods_volume_name(rig->pods, at(rig, path)->cgroup_id, point);

	assert_string_equal(or_dash(name), expected);
}

static void volumes_of_a_container(void **state)
{
	struct rig *rig = *state;

	plain_cgroups(rig);
	plain_pod(rig);
	join(rig,
	     "{\"items\":[{" META(UID_A, "web-0",
				  "") ",\"spec\":{\"containers\":[{\"name\":\"app\","
				      "\"volumeMounts\":[7,{\"mountPath\":\"/"
				      "odd\"},{\"name\":\"data\",\"mountPath\":\"/var/data/\"},"
				      "{\"name\":\"root\",\"mountPath\":\"/"
				      "\"}]},{\"name\":\"proxy\",\"volumeMounts\":7}]},"
				      "\"status\":{\"containerStatuses\":[" STATUS(
					      "app", "02") "," STATUS("proxy", "03") "]}}]}");
	assert_volume(rig, IN(UID_A, "02"), "/var/data", "data");
	assert_volume(rig, IN(UID_A, "02"), "/var/data//", "data");
	assert_volume(rig, IN(UID_A, "02"), "/", "root");
	assert_volume(rig, IN(UID_A, "02"), "/var", "-");
	assert_volume(rig, IN(UID_A, "02"), "/odd", "-");
	assert_volume(rig, IN(UID_A, "02"), "", "-");
	assert_volume(rig, IN(UID_A, "02"), NULL, "-");
	assert_volume(rig, IN(UID_A, "03"), "/var/data", "-");
	assert_volume(rig, POD(UID_A), "/var/data", "-");
	assert_null(pods_volume_name(rig->pods, 9999, "/var/data"));
	assert_null(pods_volume_name(NULL, 10, "/var/data"));
}

/* --- size ---------------------------------------------------------------------------------------------------------------- */

static void many(struct rig *rig, int pods, int containers)
{
	for (int p = 0; p < pods; p++) {
		_cleanup_free_ char *uid =
			xasprintf("%08x-b044-4fd5-9dd4-f137e30e2180", (unsigned int)p);
		_cleanup_free_ char *box = xasprintf("%064x", (unsigned int)p << 8);
		_cleanup_free_ char *name = xasprintf("pod-%d", p);
		_cleanup_free_ char *path = xasprintf("/kubepods/pod%s", uid);

		cgroup(rig, path);
		sandbox(rig, box, uid, name, true, "{\"a\":\"b\"}");
		for (int c = 1; c <= containers; c++) {
			_cleanup_free_ char *id = xasprintf("%064x", (unsigned int)(p << 8 | c));
			_cleanup_free_ char *child = xasprintf("%s/%s", path, id);

			cgroup(rig, child);
			container(rig, id, box, "main", CRI_RUNNING);
		}
	}
}

static void a_thousand_cgroups(void **state)
{
	struct rig *rig = *state;
	int complete = 0;

	rig->history = history_new();
	many(rig, 250, 3);
	join(rig, NULL);
	assert_int_equal(rig->pods->n, 1000);
	assert_int_equal(rig->pods->dropped, 0);
	for (size_t i = 0; i < rig->pods->n; i++) {
		const struct pod_cgroup *item = &rig->pods->items[i];
		_cleanup_free_ char *pod = xasprintf("pod-%zu", i / 4);

		complete += strcmp(item->pod, pod) == 0 && (i % 4 == 0) == !item->container;
	}
	assert_int_equal(complete, 1000);
	assert_int_equal(history_count(rig->history), 1250);
}

static void ceilings(void **state)
{
	struct rig *rig = *state;
	struct pod_cgroup scratch;

	many(rig, PODS_INDEX_MAX_PODS + 10, 1);
	rig->tree.dropped = 3;
	join(rig, NULL);
	/* Ten pods are not known by name; what their paths say is there. */
	assert_int_equal(rig->pods->dropped, 13);
	assert_item(pods_find(rig->pods, rig->tree.n * 10, NULL, NULL, &scratch),
		    "cgroup -/-/main 00001009-b044-4fd5-9dd4-f137e30e2180 0 0");
	assert_string_equal(rig->pods->items[0].pod, "pod-0");
}

/* --- sums ------------------------------------------------------------------------------------------------- */

/* What the kubelet writes into the pod's cgroup. */
static void sums_of_a_pod(void **state)
{
	static const struct {
		const char *spec;
		const char *expected;
	} cases[] = {
		/* One container without a limit: the pod has none. */
		{"\"containers\":[" MEMORY("a", "1k", "2k") ",{\"name\":\"b\"}]", "1000 0"},
		{"\"containers\":[]", "0 0"},
		/* The largest init container, if that is more than all of the others. */
		{"\"initContainers\":[" MEMORY("i", "9k", "9k") "," MEMORY(
			 "j", "3k", "3k") "],"
					  "\"containers\":[" MEMORY("a", "1k", "2k") "," MEMORY(
						  "b", "1k", "2k") "]",
		 "9000 9000"},
		/* A sidecar runs beside the init containers after it and beside the others. */
		{"\"initContainers\":[" MEMORY(
			 "i", "3k", "3k") ",{\"restartPolicy\":\"Always\",\"name\":\"s\","
					  "\"resources\":{\"requests\":{\"memory\":\"5k\"},"
					  "\"limits\":{\"memory\":\"6k\"}}}," MEMORY(
						  "j", "4k",
						  "4k") "],\"containers\":[" MEMORY("a", "1k",
										    "2k") "]",
		 "9000 10000"},
		{"\"overhead\":{\"memory\":\"1k\"},\"containers\":[" MEMORY("a", "1k", "2k") "]",
		 "2000 3000"},
		{"\"overhead\":{\"memory\":\"1k\"},\"containers\":[{\"name\":\"a\"}]", "1000 0"},
		/* Limits of the pod itself. */
		{"\"resources\":{\"limits\":{\"memory\":\"7k\"}},\"containers\":[{\"name\":\"a\"}]",
		 "0 7000"},
		/* Not a quantity: none. The sum saturates. */
		{"\"containers\":[" MEMORY("a", "lots", "-1") "]", "0 0"},
	};
	struct rig *rig = *state;

	cgroup(rig, POD(UID_A));
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *list = xasprintf("{\"items\":[{%s,\"spec\":{%s}}]}",
						      META(UID_A, "p", ""), cases[i].spec);
		_cleanup_free_ char *expected =
			xasprintf("kubelet prod/p/- " UID_A " %s", cases[i].expected);

		join(rig, list);
		expect(rig, POD(UID_A), expected);
	}
}

/* A pod that was resized in place: the status has what is in force. */
static void resized_container(void **state)
{
	struct rig *rig = *state;

	plain_cgroups(rig);
	join(rig,
	     "{\"items\":[{" META(UID_A, "p",
				  "") ","
				      "\"spec\":{\"containers\":[" MEMORY(
					      "app", "1k",
					      "9k") "]},"
						    "\"status\":{\"containerStatuses\":[{\"name\":"
						    "\"app\",\"containerID\":\"x://" ID(
							    "02") "\",\"resources\":{\"limits\":{"
								  "\"memory\":\"4k\"}}}]}}]}");
	expect(rig, IN(UID_A, "02"), "kubelet prod/p/app " UID_A " 0 4000");
	expect(rig, POD(UID_A), "kubelet prod/p/- " UID_A " 0 4000");
}

static void kubelet_says_the_class(void **state)
{
	struct rig *rig = *state;

	cgroup(rig, "/kubepods/pod" UID_A);
	join(rig,
	     "{\"items\":[{" META(UID_A, "p", "") ",\"status\":{\"qosClass\":\"BestEffort\"}}]}");
	assert_string_equal(rig->pods->items[0].name.qos, "BestEffort");
	join(rig,
	     "{\"items\":[{" META(UID_A, "p", "") ",\"status\":{\"qosClass\":\"guaranteed\"}}]}");
	assert_string_equal(rig->pods->items[0].name.qos, "Guaranteed"); /* the path's */
}

/* --- reading ------------------------------------------------------------------------------------------------------------- */

static void reading_says_what_is_missing(void **state)
{
	struct host host = HOST_INIT;
	struct kubelet_opts kubelet = {.url = "https://127.0.0.1:1",
				       .ca_file = "/nonexistent",
				       .token_file = "/nonexistent"};
	struct pods_opts opts = {.host = &host, .cri_socket = ""};
	_cleanup_free_ char *dir = folder_new(), *file = NULL;
	struct pods *pods = NULL;
	struct err err = {0};

	(void)state;
	file = xasprintf("%s/kubepods", dir);
	assert_int_equal(mkdir(file, 0755), 0);
	assert_int_equal(root_open(&host.cgroups.memory, dir, &err), 0);
	host.cgroups.mode = CGROUP_V2;

	assert_int_equal(pods_read(&opts, &pods, &err), 0);
	assert_string_equal(pods->runtime_problem, "the container runtime is not asked");
	assert_null(pods->kubelet_problem);
	pods_free(pods);

	opts.cri_socket = "/nonexistent/memdiag.sock";
	opts.kubelet = &kubelet;
	assert_int_equal(pods_read(&opts, &pods, &err), 0);
	assert_non_null(strstr(pods->runtime_problem, "memdiag.sock"));
	assert_true(strlen(pods->kubelet_problem) > 0);
	assert_null(pods->runtime);
	pods_free(pods);

	assert_int_equal(folder_remove(dir), 0);
	root_close(&host.cgroups.memory);
	pods = NULL;
	assert_int_equal(pods_read(&opts, &pods, &err), -EBADF);
	assert_null(pods);
	pods_free(NULL);
}

#define with_rig(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		with_rig(runtime_alone),
		with_rig(kubelet_alone),
		with_rig(runtime_and_kubelet),
		with_rig(neither),
		with_rig(history_names_what_is_gone),
		with_rig(what_is_there_wins_over_history),
		with_rig(found_by_id_or_by_path),
		with_rig(mirror_pod),
		with_rig(mirror_pod_without_runtime),
		with_rig(static_pod_and_mirror),
		with_rig(forged_mirror),
		with_rig(init_and_exited_containers),
		with_rig(current_sandbox_has_the_labels),
		with_rig(ids_that_appear_twice),
		with_rig(container_without_sandbox),
		with_rig(lists_that_are_none),
		with_rig(volumes_of_a_container),
		with_rig(a_thousand_cgroups),
		with_rig(ceilings),
		with_rig(sums_of_a_pod),
		with_rig(resized_container),
		with_rig(kubelet_says_the_class),
		cmocka_unit_test(reading_says_what_is_missing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
