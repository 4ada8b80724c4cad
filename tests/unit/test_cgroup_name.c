/* SPDX-License-Identifier: Apache-2.0 */
/* What a cgroup's path tells, by a table of paths as nodes have them; and the walk of the tree, in folders made on the spot. */
#include <errno.h>
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
#include "identity/cgroup_name.h"
#include "identity/cgroup_tree.h"
#include "support/folder.h"

#define ID_A  "3f9c0d6be1a24775b8d0c5e2f7a19346d8b02e5c71fa4693bd80e6a5c2f41d97"
#define ID_B  "b7e21f04c9d8536a0e4f1bc27d95a8637f60d1e8a3b54c92780fd6e13c5ba942"
#define UID   "1858680e-b044-4fd5-9dd4-f137e30e2180"
#define UID_  "1858680e_b044_4fd5_9dd4_f137e30e2180"
#define UID_2 "0ec90011-b5ae-4efc-8a54-d9fc34119605"
#define HASH  "81cdabfc720501d9e81b425b15921b4d"
#define SLICE "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID_ ".slice"
#define KIND                                                                \
	"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort" \
	".slice/kubelet-kubepods-besteffort-pod" UID_ ".slice"

#define G  "Guaranteed"
#define BU "Burstable"
#define BE "BestEffort"

static const struct {
	const char *path;
	enum cgroup_kind kind;
	const char *uid, *id, *qos, *unit;
} table[] = {
	/* The cgroupfs driver; containerd, cri-dockerd and k3s name containers by their id alone. */
	{"/kubepods", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepods/burstable", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepods/pod" UID, CGROUP_KIND_POD, UID, "", G, ""},
	{"/kubepods/pod" UID "/" ID_A, CGROUP_KIND_CONTAINER, UID, ID_A, G, ""},
	{"/kubepods/burstable/pod" UID "/" ID_A, CGROUP_KIND_CONTAINER, UID, ID_A, BU, ""},
	{"/kubepods/besteffort/pod" UID "/" ID_A, CGROUP_KIND_CONTAINER, UID, ID_A, BE, ""},
	{"/kubepods/burstable/pod" UID "/crio-" ID_A, CGROUP_KIND_CONTAINER, UID, ID_A, BU, ""},
	{"/kubepods/burstable/pod" UID "/crio-conmon-" ID_A, CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepods/burstable/pod" UID "/kata_" ID_A, CGROUP_KIND_CONTAINER, UID, ID_A, BU, ""},
	{"/kubepods/burstable/pod" HASH "/" ID_A, CGROUP_KIND_CONTAINER, HASH, ID_A, BU, ""},
	{"kubepods//burstable/pod" UID "/" ID_A "/", CGROUP_KIND_CONTAINER, UID, ID_A, BU, ""},
	/* The systemd driver. */
	{"/kubepods.slice", CGROUP_KIND_UNIT, "", "", "", "kubepods.slice"},
	{"/kubepods.slice/kubepods-burstable.slice", CGROUP_KIND_UNIT, "", "", "",
	 "kubepods-burstable.slice"},
	{SLICE, CGROUP_KIND_POD, UID, "", BU, ""},
	{SLICE "/cri-containerd-" ID_A ".scope", CGROUP_KIND_CONTAINER, UID, ID_A, BU, ""},
	{SLICE "/docker-" ID_A ".scope", CGROUP_KIND_CONTAINER, UID, ID_A, BU, ""},
	{SLICE "/crio-" ID_A ".scope", CGROUP_KIND_CONTAINER, UID, ID_A, BU, ""},
	{SLICE "/crio-" ID_A ".scope/container", CGROUP_KIND_CONTAINER, UID, ID_A, BU, ""},
	{SLICE "/crio-conmon-" ID_A ".scope", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/system.slice/crio-conmon-" ID_A ".scope", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepods.slice/kubepods-pod" UID_ ".slice/crio-" ID_A ".scope", CGROUP_KIND_CONTAINER,
	 UID, ID_A, G, ""},
	{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" UID_ ".slice",
	 CGROUP_KIND_POD, UID, "", BE, ""},
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" HASH
	 ".slice/cri-containerd-" ID_A ".scope",
	 CGROUP_KIND_CONTAINER, HASH, ID_A, BU, ""},
	/* An old kubelet wrote the dashes of the UID as they are. */
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" UID ".slice/docker-" ID_A
	 ".scope",
	 CGROUP_KIND_CONTAINER, UID, ID_A, BU, ""},
	/* Kubelet with one driver, runtime with the other. */
	{"/system.slice/containerd.service/kubepods-besteffort-pod" UID_
	 ".slice:cri-containerd:" ID_A,
	 CGROUP_KIND_CONTAINER, UID, ID_A, BE, ""},
	{"/kubepods-pod" UID_ ".slice:crio:" ID_A, CGROUP_KIND_CONTAINER, UID, ID_A, G, ""},
	{"/kubepods-pod" UID_ ".slice:crio:conmon-" ID_A, CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepods-pod" UID_ ".slice:cri-containerd:", CGROUP_KIND_POD, UID, "", G, ""},
	/* k3s. */
	{"/system.slice/k3s.service", CGROUP_KIND_UNIT, "", "", "", "k3s.service"},
	{"/system.slice/k3s.service" SLICE "/cri-containerd-" ID_A ".scope", CGROUP_KIND_CONTAINER,
	 UID, ID_A, BU, ""},
	{"/k3s", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/docker/" ID_B "/kubepods/besteffort/pod" UID "/" ID_A, CGROUP_KIND_CONTAINER, UID, ID_A,
	 BE, ""},
	/* kind: inside a node, and as the host with docker or podman sees it. */
	{KIND "/cri-containerd-" ID_A ".scope", CGROUP_KIND_CONTAINER, UID, ID_A, BE, ""},
	{"/kubelet/kubepods/burstable/pod" UID "/" ID_A, CGROUP_KIND_CONTAINER, UID, ID_A, BU, ""},
	{"/docker/" ID_B "/kubelet/kubepods/pod" UID "/" ID_A, CGROUP_KIND_CONTAINER, UID, ID_A, G,
	 ""},
	{"/system.slice/docker-" ID_B ".scope" KIND "/cri-containerd-" ID_A ".scope",
	 CGROUP_KIND_CONTAINER, UID, ID_A, BE, ""},
	{"/machine.slice/libpod-" ID_B ".scope/container" KIND "/cri-containerd-" ID_A ".scope",
	 CGROUP_KIND_CONTAINER, UID, ID_A, BE, ""},
	/* --cgroup-root. */
	{"/custom/root/kubepods/burstable/pod" UID "/" ID_A, CGROUP_KIND_CONTAINER, UID, ID_A, BU,
	 ""},
	{"/my.slice/my-root.slice/my-root-kubepods.slice/my-root-kubepods-pod" UID_
	 ".slice/cri-containerd-" ID_A ".scope",
	 CGROUP_KIND_CONTAINER, UID, ID_A, G, ""},
	/* What runs in a container is the container's, whatever it calls itself: systemd, or a cluster of its own. */
	{SLICE "/cri-containerd-" ID_A ".scope/system.slice/nginx.service", CGROUP_KIND_CONTAINER,
	 UID, ID_A, BU, ""},
	{"/kubepods/pod" UID "/" ID_A "/init.scope", CGROUP_KIND_CONTAINER, UID, ID_A, G, ""},
	{"/kubepods/pod" UID "/" ID_A "/kubepods/besteffort/pod" UID_2 "/" ID_B,
	 CGROUP_KIND_CONTAINER, UID, ID_A, G, ""},
	{SLICE "/crio-" ID_A ".scope/crio-conmon-" ID_B ".scope", CGROUP_KIND_CONTAINER, UID, ID_A,
	 BU, ""},
	/* Below a pod, and no container. */
	{"/kubepods/pod" UID "/helper", CGROUP_KIND_POD, UID, "", G, ""},
	{"/kubepods/pod" UID "/helper/" ID_A, CGROUP_KIND_POD, UID, "", G, ""},
	{"/kubepods/pod" UID "/x" ID_A, CGROUP_KIND_POD, UID, "", G, ""},
	{"/kubepods/pod" UID "/3f9c0d6b", CGROUP_KIND_POD, UID, "", G, ""},
	{"/kubepods/pod" UID "/3F9C0D6BE1A24775B8D0C5E2F7A19346D8B02E5C71FA4693BD80E6A5C2F41D97",
	 CGROUP_KIND_POD, UID, "", G, ""},
	/* Units of the host. */
	{"/system.slice", CGROUP_KIND_UNIT, "", "", "", "system.slice"},
	{"/system.slice/containerd.service", CGROUP_KIND_UNIT, "", "", "", "containerd.service"},
	{"/system.slice/nginx.service/worker/1", CGROUP_KIND_UNIT, "", "", "", "nginx.service"},
	{"/system.slice/system-getty.slice/getty@tty1.service", CGROUP_KIND_UNIT, "", "", "",
	 "getty@tty1.service"},
	{"/system.slice/dev-disk-by\\x2duuid-1.swap", CGROUP_KIND_UNIT, "", "", "",
	 "dev-disk-by\\x2duuid-1.swap"},
	{"/system.slice/_cpu.service", CGROUP_KIND_UNIT, "", "", "", "cpu.service"},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice/app-x.service", CGROUP_KIND_UNIT,
	 "", "", "", "user@1000.service"},
	{"/init.scope", CGROUP_KIND_UNIT, "", "", "", "init.scope"},
	{"/-.slice", CGROUP_KIND_UNIT, "", "", "", "-.slice"},
	{"/system.slice/docker-" ID_A ".scope", CGROUP_KIND_UNIT, "", "", "",
	 "docker-" ID_A ".scope"},
	{"/system.slice/docker-" ID_A ".scope/system.slice/a.service", CGROUP_KIND_UNIT, "", "", "",
	 "docker-" ID_A ".scope"},
	/* None of ours. */
	{"", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/", CGROUP_KIND_OTHER, "", "", "", ""},
	{"//////", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/docker/" ID_A, CGROUP_KIND_OTHER, "", "", "", ""},
	{"/docker/" ID_A "/system.slice/a.service", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/pod" UID "/" ID_A, CGROUP_KIND_OTHER, "", "", "", ""},
	{"/burstable/pod" UID, CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepods/other/pod" UID, CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepodsx/pod" UID, CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepods/burstable/burstable/pod" UID, CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepods/pod", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepods/pod..", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepods/pod\x1b[2J", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepods/pod" UID "\n/" ID_A, CGROUP_KIND_OTHER, "", "", "", ""},
	{"/kubepods-pod.slice", CGROUP_KIND_UNIT, "", "", "", "kubepods-pod.slice"},
	{"/kubepods-burstablepod1.slice", CGROUP_KIND_UNIT, "", "", "",
	 "kubepods-burstablepod1.slice"},
	{"/mykubepods-pod1.slice", CGROUP_KIND_UNIT, "", "", "", "mykubepods-pod1.slice"},
	{"/a:b/.slice/.service", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/.slice:x:y", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/_", CGROUP_KIND_OTHER, "", "", "", ""},
	{"/system.slice/\xff\xfe.service", CGROUP_KIND_UNIT, "", "", "", "system.slice"},
};

static void paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		struct cgroup_name name;

		memset(&name, 0x5a, sizeof(name));
		cgroup_name_parse(table[i].path, &name);
		if (name.kind != table[i].kind || strcmp(name.pod_uid, table[i].uid) != 0 ||
		    strcmp(name.container_id, table[i].id) != 0 ||
		    strcmp(name.qos, table[i].qos) != 0 || strcmp(name.unit, table[i].unit) != 0)
			fail_msg("%s: kind %d uid '%s' id '%s' qos '%s' unit '%s'", table[i].path,
				 (int)name.kind, name.pod_uid, name.container_id, name.qos,
				 name.unit);
	}
}

static char *repeat(const char *before, char c, size_t n, const char *after)
{
	char *text = xmalloc(strlen(before) + n + strlen(after) + 1);

	memcpy(text, before, strlen(before));
	memset(text + strlen(before), c, n);
	memcpy(text + strlen(before) + n, after, strlen(after) + 1);
	return text;
}

/* The kernel allows names of 255 bytes, paths as long as it likes; a caller may hand over anything. */
static void overlong_names(void **state)
{
	static const size_t lengths[] = {59, 60,  61,  63,  64,	 65,  71,
					 72, 247, 248, 255, 256, 257, 100000};
	struct cgroup_name name;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		size_t n = lengths[i];
		_cleanup_free_ char *uid = repeat("/kubepods/pod", 'a', n, "/" ID_A);
		_cleanup_free_ char *slice = repeat("/kubepods-pod", '_', n, ".slice/" ID_A);
		_cleanup_free_ char *id = repeat("/kubepods/pod1/", 'a', n, "");
		_cleanup_free_ char *prefix = repeat("/kubepods/pod1/", 'x', n, "-" ID_A);
		_cleanup_free_ char *unit = repeat("/", 'u', n, ".service");
		_cleanup_free_ char *deep = repeat("", '/', n, "a.slice");

		cgroup_name_parse(uid, &name);
		assert_int_equal(name.kind, n < 64 ? CGROUP_KIND_CONTAINER : CGROUP_KIND_OTHER);
		assert_int_equal(strlen(name.pod_uid), n < 64 ? n : 0);
		cgroup_name_parse(slice, &name);
		assert_int_equal(strlen(name.pod_uid), n < 64 ? n : 0);
		/* Cut off, a name could be another's: it is none instead. */
		cgroup_name_parse(id, &name);
		assert_int_equal(name.kind, n == 64 ? CGROUP_KIND_CONTAINER : CGROUP_KIND_POD);
		assert_int_equal(strlen(name.container_id), n == 64 ? 64 : 0);
		cgroup_name_parse(prefix, &name);
		assert_string_equal(name.container_id, ID_A);
		cgroup_name_parse(unit, &name);
		assert_int_equal(strlen(name.unit), n + 8 < 256 ? n + 8 : 0);
		cgroup_name_parse(deep, &name);
		assert_string_equal(name.unit, "a.slice");
	}
}

/* Every beginning of every path of the table, in memory of just that size. */
static void cut_off_paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		for (size_t n = 0; n < strlen(table[i].path); n++) {
			_cleanup_free_ char *path = xstrndup(table[i].path, n);
			struct cgroup_name name;

			cgroup_name_parse(path, &name);
			assert_true(strlen(name.pod_uid) < sizeof(name.pod_uid));
			assert_true(name.kind != CGROUP_KIND_CONTAINER ||
				    strlen(name.container_id) == 64);
		}
	}
}

/* --- the walk ------------------------------------------------------------------------------------------------------------ */

static int setup(void **state)
{
	(void)folder_setup(state);
	folder_put(*state, "cgroup.controllers", "memory\n");
	return 0;
}

static void make(const char *dir, const char *rel)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, rel);

	assert_int_equal(mkdir(path, 0755), 0);
}

static struct cgroup_tree *read_tree(const char *dir)
{
	struct cgroupfs cg = CGROUPFS_INIT;
	struct cgroup_tree *tree = NULL;
	struct err err = {0};

	assert_int_equal(cgroupfs_open(&cg, dir, &err), 0);
	assert_int_equal(cgroup_tree_read(&cg, &tree, &err), 0);
	cgroupfs_close(&cg);
	return tree;
}

static void walk_finds_all(void **state)
{
	static const char *const made[] = {"a", "a/b", "a/b/c", "with space", "odd\nname", "z"};
	_cleanup_free_ char *link = xasprintf("%s/link", (char *)*state);
	struct cgroup_tree *tree;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(made); i++)
		make(*state, made[i]);
	assert_int_equal(symlink("a", link), 0);
	tree = read_tree(*state);
	assert_int_equal(tree->n, ARRAY_SIZE(made) + 1);
	assert_int_equal(tree->dropped, 0);
	for (size_t i = 1; i < tree->n; i++)
		assert_true(tree->nodes[i - 1].id < tree->nodes[i].id);
	assert_int_equal(stat(*state, &st), 0);
	assert_string_equal(cgroup_tree_find(tree, st.st_ino)->path, "/");
	for (size_t i = 0; i < ARRAY_SIZE(made); i++) {
		_cleanup_free_ char *path = xasprintf("%s/%s", (char *)*state, made[i]);

		assert_int_equal(stat(path, &st), 0);
		assert_non_null(cgroup_tree_find(tree, st.st_ino));
		assert_string_equal(cgroup_tree_find(tree, st.st_ino)->path + 1, made[i]);
	}
	assert_null(cgroup_tree_find(tree, 0));
	cgroup_tree_free(tree);
}

static void walk_is_bounded_in_depth(void **state)
{
	_cleanup_free_ char *rel = xstrdup("d");
	struct cgroup_tree *tree;

	for (int i = 0; i < 70; i++) {
		char *deeper = xasprintf("%s/d", rel);

		make(*state, rel);
		free(rel);
		rel = deeper;
	}
	tree = read_tree(*state);
	assert_int_equal(tree->n, 65); /* the root and 64 levels */
	assert_int_equal(tree->dropped, 1);
	cgroup_tree_free(tree);
}

static void no_controller_no_cgroups(void **state)
{
	_cleanup_free_ char *file = xasprintf("%s/cgroup.controllers", (char *)*state);
	struct cgroup_tree *tree;

	make(*state, "a");
	assert_int_equal(truncate(file, 0), 0);
	tree = read_tree(*state);
	assert_int_equal(tree->n, 0);
	assert_null(cgroup_tree_find(tree, 1));
	cgroup_tree_free(tree);
}

static void unreadable_tree_is_an_error(void **state)
{
	struct cgroupfs cg = {.mode = CGROUP_V2, .memory = ROOT_INIT};
	struct cgroup_tree *tree = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(cgroup_tree_read(&cg, &tree, &err), -EBADF);
	assert_null(tree);
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, setup, folder_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(overlong_names),
		cmocka_unit_test(cut_off_paths),
		in_folder(walk_finds_all),
		in_folder(walk_is_bounded_in_depth),
		in_folder(no_controller_no_cgroups),
		in_folder(unreadable_tree_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
