/* SPDX-License-Identifier: Apache-2.0 */
/* Pods that come are noticed, wherever the kubelet makes their cgroups. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "node/births.h"

struct rig {
	char folder[32];
	struct cgroupfs cg;
	struct loop *loop;
	const char *pod; /* made when all is watched */
	int calls;
};

/* Makes folder/path, and what is above it. */
static void make(const char *folder, const char *path)
{
	_cleanup_free_ char *all = xasprintf("%s/%s", folder, path);

	for (char *slash = strchr(all + strlen(folder) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(all, 0755);
		*slash = '/';
	}
	assert_int_equal(mkdir(all, 0755), 0);
}

static int setup(void **state)
{
	struct rig *rig = xcalloc(1, sizeof(*rig));

	(void)snprintf(rig->folder, sizeof(rig->folder), "/tmp/memdiag-births-XXXXXX");
	assert_non_null(mkdtemp(rig->folder));
	make(rig->folder, "memory");
	rig->cg = (struct cgroupfs)CGROUPFS_INIT;
	*state = rig;
	return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int teardown(void **state)
{
	struct rig *rig = *state;
	int r;

	cgroupfs_close(&rig->cg);
	r = nftw(rig->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(rig);
	return r;
}

/* The first call is at the start, when all is watched; the second is the pod's. */
static void on_birth(void *arg)
{
	struct rig *rig = arg;

	if (++rig->calls == 1)
		make(rig->folder, rig->pod);
	else
		loop_stop(rig->loop);
}

static void on_timeout(void *arg)
{
	loop_stop(arg);
}

static void expect_noticed(struct rig *rig, const char *above, const char *pod)
{
	_cleanup_free_ char *file = xasprintf("%s/memory/memory.stat", rig->folder);
	struct births *births = NULL;
	struct loop_timer *timeout;
	FILE *f;

	make(rig->folder, above);
	f = fopen(file, "w");
	assert_non_null(f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(cgroupfs_open(&rig->cg, rig->folder, NULL), 0);
	rig->pod = pod;
	assert_int_equal(loop_new(&rig->loop, NULL), 0);
	assert_int_equal(births_new(rig->loop, &rig->cg, on_birth, rig, &births, NULL), 0);
	timeout = loop_timer_new(rig->loop, on_timeout, rig->loop);
	loop_timer_arm(timeout, 20000);
	assert_int_equal(loop_run(rig->loop, NULL), 0);
	assert_int_equal(rig->calls, 2);
	loop_timer_free(timeout);
	births_free(births);
	loop_free(rig->loop);
}

static void guaranteed(void **state)
{
	expect_noticed(*state, "memory/kubepods", "memory/kubepods/pod1");
}

static void slices(void **state)
{
	expect_noticed(
		*state, "memory/kubepods.slice/kubepods-besteffort.slice",
		"memory/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice");
}

/* The kubelet's cgroupRoot. */
static void below_a_root(void **state)
{
	expect_noticed(*state, "memory/kubelet/kubepods/burstable",
		       "memory/kubelet/kubepods/burstable/pod1");
}

static void slices_below_a_root(void **state)
{
	expect_noticed(
		*state,
		"memory/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice",
		"memory/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
		"pod1");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(guaranteed),
		TEST(slices),
		TEST(below_a_root),
		TEST(slices_below_a_root),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
