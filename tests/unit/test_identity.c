/* SPDX-License-Identifier: Apache-2.0 */
/* Mount tables and cgroup files, from trees written on the spot: v1, v2, several mount namespaces. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "identity/block_device.h"
#include "identity/container_view.h"
#include "identity/mounts.h"
#include "instruments/cgroupfs.h"
#include "support/folder.h"

static void put_namespace(const char *dir, int pid, const char *inode, const char *mountinfo)
{
	_cleanup_free_ char *rel = xasprintf("%d/mountinfo", pid);
	_cleanup_free_ char *ns = xasprintf("%s/%d/ns", dir, pid);
	_cleanup_free_ char *link = xasprintf("%s/mnt", ns), *target = xasprintf("mnt:[%s]", inode);

	folder_put(dir, rel, mountinfo);
	assert_int_equal(mkdir(ns, 0755), 0);
	assert_int_equal(symlink(target, link), 0);
}

static void assert_path(const struct mounts *mounts, unsigned int major, unsigned int minor,
			const char *fs_path, const char *expected)
{
	_cleanup_free_ char *path = mounts_host_path(mounts, major, minor, fs_path);

	if (expected)
		assert_string_equal(path ? path : "(null)", expected);
	else
		assert_null(path);
}

static void paths_through_mounts(void **state)
{
	_cleanup_root_ struct root proc = ROOT_INIT;
	struct mounts *mounts = NULL;

	put_namespace(*state, 1, "4026531840",
		      "21 1 254:0 / / rw - ext4 /dev/vda rw\n"
		      "22 21 0:21 / /dev/shm rw - tmpfs tmpfs rw\n"
		      "23 21 8:1 /sub/a /mnt/with\\040space rw shared:1 - xfs /dev/sda1 rw\n"
		      "24 21 8:1 /sub /mnt/wider rw - xfs /dev/sda1 rw\n"
		      "25 21 254:0 /var /srv/bind rw - ext4 /dev/vda rw\n"
		      "bad line\n26 21 x:y / /bad rw - ext4 x rw\n");
	put_namespace(*state, 50, "4026531840", "99 1 0:77 / /never rw - tmpfs tmpfs rw\n");
	put_namespace(*state, 60, "4026532000",
		      "30 1 0:45 / /data rw - tmpfs tmpfs rw\n"
		      "31 1 254:0 / /host rw - ext4 /dev/vda rw\n");
	assert_int_equal(root_open(&proc, *state, NULL), 0);
	assert_int_equal(mounts_read(&proc, &mounts, NULL), 0);

	assert_path(mounts, 254, 0, "/var/log/x", "/var/log/x");
	assert_path(mounts, 254, 0, "/", "/");
	assert_path(mounts, 0, 21, "/seg", "/dev/shm/seg");
	assert_path(mounts, 0, 21, "/", "/dev/shm");
	/* The mount that shows more of the filesystem; a mount of a part hides what is outside of it. */
	assert_path(mounts, 8, 1, "/sub/a/f", "/mnt/wider/a/f");
	assert_path(mounts, 8, 1, "/other/f", NULL);
	assert_path(mounts, 8, 1, "/subway/f", NULL);
	/* Another namespace's mount is reached through one of its processes; one namespace is read once. */
	assert_path(mounts, 0, 45, "/f", "/proc/60/root/data/f");
	assert_path(mounts, 0, 77, "/f", NULL);
	assert_path(mounts, 9, 9, "/f", NULL);
	assert_string_equal(mounts_mount_point(mounts, 0, 21, "/x"), "/dev/shm");
	assert_null(mounts_mount_point(mounts, 0, 45, "/x"));
	mounts_free(mounts);
}

static void container_paths(void **state)
{
	char table[] = "1 0 0:50 / / rw - overlay overlay "
		       "rw,lowerdir=7/fs:/abs/l2,upperdir=/snap/9/fs,workdir=/w\n"
		       "2 1 254:0 /srv/logs /logs rw - ext4 /dev/vda rw\n"
		       "3 1 254:0 /srv/logs/deep /logs/over rw - ext4 /dev/vda rw\n"
		       "4 1 0:60 / /cache rw - tmpfs x rw\n";
	_cleanup_root_ struct root proc = ROOT_INIT;
	struct mounts *mounts = NULL;
	struct container_view view = {0};
	struct cri_mount bind = {(char *)"/data", (char *)"/var/lib/vol"};
	const char *point = NULL;
	static const struct {
		unsigned int major, minor;
		const char *fs_path, *expected;
	} rows[] = {
		{254, 0, "/srv/logs/a.log", "/logs/a.log"},
		{254, 0, "/srv/logs/deep/b", "/logs/over/b"},
		{0, 60, "/x", "/cache/x"},
		{254, 0, "/snap/9/fs/etc/x", "/etc/x"},
		{254, 0, "/snap/7/fs/bin/sh", "/bin/sh"}, /* a short name of a layer */
		{254, 0, "/abs/l2/lib/y", "/lib/y"},
		{254, 0, "/etc/passwd", NULL},
		{254, 0, "/snap/9/fs", NULL},
		{254, 0, "/var/lib/vol/z", "/data/z"},
		/* Layers on a data disk that is mounted elsewhere as a whole, and a folder of it where the runtime looks. */
		{8, 1, "/containerd/9/fs/etc/x", "/etc/x"},
		{8, 1, "/other/9/fs/etc/x", NULL},
		/* Layers that were named in the runtime's own mount namespace. */
		{8, 2, "/9/fs/etc/x", "/etc/x"},
		{8, 3, "/9/fs/etc/x", NULL},
	};

	put_namespace(*state, 1, "4026531840",
		      "21 1 254:0 / / rw - ext4 /dev/vda rw\n"
		      "22 21 8:1 / /mnt/disk rw - ext4 /dev/sda1 rw\n"
		      "23 21 8:1 /containerd /snap rw - ext4 /dev/sda1 rw\n");
	put_namespace(*state, 60, "4026532000", "30 1 8:2 / /snap rw - ext4 /dev/sda2 rw\n");
	assert_int_equal(root_open(&proc, *state, NULL), 0);
	assert_int_equal(mounts_read(&proc, &mounts, NULL), 0);
	mountinfo_parse(&view.info, table);
	assert_int_equal(view.info.n, 4);
	container_view_set_layers(&view, view.info.lines[0].options);
	view.binds = &bind;
	view.n_binds = 1;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *path = container_view_path(
			&view, mounts, rows[i].major, rows[i].minor, rows[i].fs_path, &point);

		if (rows[i].expected)
			assert_string_equal(path ? path : "(null)", rows[i].expected);
		else
			assert_null(path);
	}
	mounts_free(mounts);
	mountinfo_done(&view.info);
	for (size_t i = 0; i < view.n_layers; i++)
		free(view.layers[i]);
	free(view.layers);
}

static void volumes_by_path(void **state)
{
	static const struct {
		const char *path, *expected;
	} rows[] = {
		{"/var/lib/kubelet/pods/u1/volumes/kubernetes.io~empty-dir/cache/x", "cache"},
		{"/var/lib/kubelet/pods/u1/volumes/kubernetes.io~csi/pvc-1/mount/y", "pvc-1"},
		{"/var/lib/kubelet/pods/u1/volume-subpaths/conf/app/0", "conf"},
		{"/var/lib/kubelet/pods/u1/volumes/kubernetes.io~empty-dir", NULL},
		{"/var/lib/kubelet/pods/u1/etc-hosts", NULL},
		{"/srv/pods/", NULL},
		{"/", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		_cleanup_free_ char *name = container_volume_of_path(rows[i].path);

		if (rows[i].expected)
			assert_string_equal(name ? name : "(null)", rows[i].expected);
		else
			assert_null(name);
	}
}

static void no_process_one_is_an_error(void **state)
{
	_cleanup_root_ struct root proc = ROOT_INIT;
	struct mounts *mounts = NULL;
	struct err err = {0};

	assert_int_equal(root_open(&proc, *state, NULL), 0);
	assert_int_equal(mounts_read(&proc, &mounts, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "1/mountinfo"));
}

static void assert_device(const struct root *sys, unsigned int minor, const char *expected)
{
	_cleanup_free_ char *name = block_device_name(sys, 8, minor);

	if (expected)
		assert_string_equal(name ? name : "(null)", expected);
	else
		assert_null(name);
}

/* The name goes into a command: what is no plain path below /dev is none. */
static void block_devices_have_names(void **state)
{
	_cleanup_root_ struct root sys = ROOT_INIT;

	folder_put(*state, "dev/block/8:1/uevent",
		   "MAJOR=8\nMINOR=1\nDEVNAME=sda1\nDEVTYPE=partition\n");
	folder_put(*state, "dev/block/8:2/uevent", "DEVNAME=cciss/c0d0p1\n");
	folder_put(*state, "dev/block/8:3/uevent", "MAJOR=8\nDISKNAME=sda\n");
	folder_put(*state, "dev/block/8:4/uevent", "DEVNAME=\n");
	folder_put(*state, "dev/block/8:5/uevent", "DEVNAME=a;reboot\n");
	folder_put(*state, "dev/block/8:6/uevent", "DEVNAME=../etc/passwd\n");
	assert_int_equal(root_open(&sys, *state, NULL), 0);
	assert_device(&sys, 1, "sda1");
	assert_device(&sys, 2, "cciss/c0d0p1");
	for (unsigned int minor = 3; minor <= 7; minor++)
		assert_device(&sys, minor, NULL);
}

static void cgroup_v1(void **state)
{
	struct cgroupfs cg = CGROUPFS_INIT;
	struct cgroup_usage usage;

	folder_put(*state, "memory/memory.stat", "cache 5\ntotal_inactive_file 7\n");
	folder_put(*state, "memory/memory.usage_in_bytes", "1000\n");
	folder_put(*state, "memory/memory.limit_in_bytes", "9223372036854771712\n");
	folder_put(*state, "memory/a/memory.stat", "inactive_file 1\ntotal_inactive_file 30\n");
	folder_put(*state, "memory/a/memory.limit_in_bytes", "400\n");
	folder_put(*state, "memory/a/b/memory.stat", "total_inactive_file 20\n");
	folder_put(*state, "memory/a/b/memory.usage_in_bytes", "100\n");
	folder_put(*state, "memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
	assert_int_equal(cgroupfs_open(&cg, *state, NULL), 0);
	assert_int_equal(cg.mode, CGROUP_V1);
	/* The smallest limit of all ancestors counts. */
	assert_int_equal(cgroupfs_usage(&cg, "/a/b", &usage, NULL), 0);
	assert_int_equal(usage.usage, 100);
	assert_int_equal(usage.inactive_file, 20);
	assert_int_equal(usage.limit, 400);
	assert_true(usage.high == UINT64_MAX);
	assert_int_equal(cgroupfs_usage(&cg, "/", &usage, NULL), 0);
	assert_int_equal(usage.usage, 1000);
	assert_true(usage.limit == UINT64_MAX);
	assert_int_equal(cgroupfs_usage(&cg, "/gone", &usage, NULL), -ENOENT);
	assert_true(cgroupfs_has(&cg, "/a/b", "memory.usage_in_bytes"));
	assert_false(cgroupfs_has(&cg, "/a", "memory.usage_in_bytes"));
	assert_false(cgroupfs_has(&cg, "/gone", "memory.stat"));
	assert_true(cgroupfs_has(&cg, "/", "memory.limit_in_bytes"));
	cgroupfs_close(&cg);
	folder_put(*state, "unified/cgroup.procs", "");
	assert_int_equal(cgroupfs_open(&cg, *state, NULL), 0);
	assert_string_equal(cgroup_mode_name(cg.mode), "hybrid");
	cgroupfs_close(&cg);
}

static void cgroup_v2(void **state)
{
	struct cgroupfs cg = CGROUPFS_INIT;
	struct cgroup_usage usage;

	folder_put(*state, "cgroup.controllers", "cpu io memory pids\n");
	folder_put(*state, "memory.stat", "inactive_file 3\n");
	folder_put(*state, "k.slice/memory.stat", "anon 5\ninactive_file 42\ninactive_file_x 9\n");
	folder_put(*state, "k.slice/memory.current", "77\n");
	folder_put(*state, "k.slice/memory.max", "max\n");
	folder_put(*state, "k.slice/memory.high", "60\n");
	assert_int_equal(cgroupfs_open(&cg, *state, NULL), 0);
	assert_int_equal(cg.mode, CGROUP_V2);
	assert_int_equal(cgroupfs_usage(&cg, "/k.slice", &usage, NULL), 0);
	assert_int_equal(usage.usage, 77);
	assert_int_equal(usage.inactive_file, 42);
	assert_int_equal(usage.high, 60);
	assert_true(usage.limit == UINT64_MAX);
	/* The root of v2 has neither memory.current nor limits. */
	assert_int_equal(cgroupfs_usage(&cg, "/", &usage, NULL), 0);
	assert_true(usage.usage == UINT64_MAX);
	cgroupfs_close(&cg);
}

static void no_memory_controller(void **state)
{
	struct cgroupfs cg = CGROUPFS_INIT;

	folder_put(*state, "cgroup.controllers", "cpu io\n");
	assert_int_equal(cgroupfs_open(&cg, *state, NULL), 0);
	assert_int_equal(cg.mode, CGROUP_NONE);
	cgroupfs_close(&cg);
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_folder(paths_through_mounts),
		in_folder(no_process_one_is_an_error),
		in_folder(container_paths),
		in_folder(volumes_by_path),
		in_folder(block_devices_have_names),
		in_folder(cgroup_v1),
		in_folder(cgroup_v2),
		in_folder(no_memory_controller),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
