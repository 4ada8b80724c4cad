/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CPU that it takes to name every cgroup of a full node: 1,000 real cgroups below the memory controller's mount (250 pods with
 * a sandbox and two containers) are walked and joined with what a runtime would list. Needs root.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/mem.h"
#include "identity/cgroup_tree.h"
#include "identity/pods_internal.h"
#include "support/median.h"

#define ROUNDS	   41
#define PODS	   250
#define CONTAINERS 3 /* the sandbox is one */
#define LIMIT_MS   20.0

struct bench {
	struct cgroupfs cg;
	char **made; /* paths below the mount, parents first */
	size_t n_made;
	struct cri_snapshot cri;
	struct history *history;
};

/* --- what is planted ----------------------------------------------------------------------------------------------------- */

static void plant(struct bench *b, char *path)
{
	b->made = xreallocarray(b->made, b->n_made + 1, sizeof(*b->made));
	b->made[b->n_made++] = path;
	if (mkdirat(b->cg.memory.fd, path, 0755) < 0)
		fail_msg("cannot make %s/%s: %s", b->cg.memory.path, path, strerror(errno));
}

static void plant_pod(struct bench *b, const char *top, unsigned int n)
{
	struct cri_snapshot *cri = &b->cri;
	char *uid = xasprintf("%08x-b044-4fd5-9dd4-f137e30e2180", n);
	char *pod = xasprintf("%s/pod%s", top, uid);
	char *sandbox = NULL;

	plant(b, pod);
	for (unsigned int c = 0; c < CONTAINERS; c++) {
		/* Ids are random in nature: spread them. */
		char *id = xasprintf("%016llx%048x", (n * 4ULL + c + 1) * 0x9e3779b97f4a7c15ULL, c);

		plant(b, xasprintf("%s/%s", pod, id));
		if (c == 0) {
			sandbox = id;
			cri->sandboxes[cri->n_sandboxes++] = (struct cri_sandbox){
				.id = id,
				.name = xasprintf("web-%u", n),
				.uid = uid,
				.ns = xstrdup("prod"),
				.ready = true,
				.labels = cJSON_CreateObject(),
			};
			cJSON_AddStringToObject(cri->sandboxes[n].labels, "app", "web");
			cJSON_AddStringToObject(cri->sandboxes[n].labels, "pod-template-hash", "x");
			cJSON_AddStringToObject(cri->sandboxes[n].labels, "io.kubernetes.pod.uid",
						uid);
			continue;
		}
		cri->containers[cri->n_containers++] = (struct cri_container){
			.id = id,
			.sandbox_id = xstrdup(sandbox),
			.name = xasprintf("container-%u", c),
			.state = CRI_RUNNING,
		};
	}
}

static void plant_node(struct bench *b)
{
	char *top = xasprintf("memdiag-bench-%d", getpid());
	char *kubepods = xasprintf("%s/kubepods", top);
	char *burstable = xasprintf("%s/burstable", kubepods);

	b->cri.sandboxes = xcalloc(PODS, sizeof(*b->cri.sandboxes));
	b->cri.containers = xcalloc(PODS * CONTAINERS, sizeof(*b->cri.containers));
	plant(b, top);
	plant(b, kubepods);
	plant(b, burstable);
	for (unsigned int n = 0; n < PODS; n++)
		plant_pod(b, burstable, n);
}

/* Signals wait until the cgroups are away again. */
static int setup(void **state)
{
	struct bench *b = xcalloc(1, sizeof(*b));
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGINT);
	(void)sigaddset(&set, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	b->cg = (struct cgroupfs)CGROUPFS_INIT;
	b->history = history_new();
	*state = b;
	return 0;
}

static int teardown(void **state)
{
	struct bench *b = *state;
	int left = 0;

	for (size_t i = b->n_made; i-- > 0;) {
		left += unlinkat(b->cg.memory.fd, b->made[i], AT_REMOVEDIR) < 0 && errno != ENOENT;
		free(b->made[i]);
	}
	free(b->made);
	for (size_t i = 0; i < b->cri.n_sandboxes; i++) {
		free(b->cri.sandboxes[i].id);
		free(b->cri.sandboxes[i].name);
		free(b->cri.sandboxes[i].uid);
		free(b->cri.sandboxes[i].ns);
		cJSON_Delete(b->cri.sandboxes[i].labels);
	}
	for (size_t i = 0; i < b->cri.n_containers; i++) {
		free(b->cri.containers[i].id);
		free(b->cri.containers[i].sandbox_id);
		free(b->cri.containers[i].name);
	}
	free(b->cri.sandboxes);
	free(b->cri.containers);
	history_free(b->history);
	cgroupfs_close(&b->cg);
	free(b);
	return left;
}

/* --- the figure ---------------------------------------------------------------------------------------------------------- */

static size_t count_named(const struct pods *pods)
{
	size_t n = 0;

	for (size_t i = 0; i < pods->n; i++)
		n += pods->items[i].pod && strncmp(pods->items[i].pod, "web-", 4) == 0;
	return n;
}

static void bench_identity(void **state)
{
	struct bench *b = *state;
	double walk[ROUNDS], join[ROUNDS], both[ROUNDS], all;
	struct err err = {0};
	size_t cgroups = 0;

	if (cgroupfs_open(&b->cg, "/sys/fs/cgroup", &err) < 0)
		fail_msg("%s", err.msg);
	assert_true(b->cg.mode != CGROUP_NONE);
	plant_node(b);
	for (size_t i = 0; i < ROUNDS; i++) {
		struct cgroup_tree *tree = NULL;
		struct pods *pods;
		uint64_t start = clock_thread_cpu_ns(), middle, end;

		assert_int_equal(cgroup_tree_read(&b->cg, &tree, &err), 0);
		middle = clock_thread_cpu_ns();
		pods = pods_join(tree, &b->cri, NULL, b->history);
		end = clock_thread_cpu_ns();
		walk[i] = (double)(middle - start) / 1e6;
		join[i] = (double)(end - middle) / 1e6;
		both[i] = walk[i] + join[i];
		cgroups = tree->n;
		assert_int_equal(count_named(pods), PODS * (CONTAINERS + 1));
		pods_free(pods);
		cgroup_tree_free(tree);
	}
	all = median(both, ROUNDS);
	printf("identity: %zu cgroups, %d of pods: %.2f ms CPU (walk %.2f, join %.2f; medians of "
	       "%d "
	       "rounds; limit %.0f ms)\n",
	       cgroups, PODS * (CONTAINERS + 1), all, median(walk, ROUNDS), median(join, ROUNDS),
	       ROUNDS, LIMIT_MS);
	assert_true(all <= LIMIT_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(bench_identity, setup, teardown),
	};

	return cmocka_run_group_tests_name("bench_identity", tests, NULL, NULL);
}
