/* SPDX-License-Identifier: Apache-2.0 */
#include "node/births.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/mem.h"

enum {
	SETTLE_MS = 2000, /* a pod's containers come within a second or two of its cgroup */
	PERIOD_MS =
		5 * 60 * 1000, /* for folders that did not exist yet, and events that were lost */
};

static const char *const qos_levels[] = {"burstable", "besteffort"};

struct births {
	struct loop *loop;
	const struct cgroupfs *cg;
	void (*fn)(void *arg);
	void *arg;
	int fd;
	struct loop_timer *settle, *period;
	bool settling;
};

/* Watching a folder that is watched already changes nothing; one that does not exist is tried again. */
static void watch(struct births *births, const char *folder)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", births->cg->memory.path, folder);

	(void)inotify_add_watch(births->fd, path, IN_CREATE | IN_ONLYDIR);
}

/* Where the kubelet makes the cgroups of pods below its root, with either cgroup driver; slices are named after those above. */
static void watch_pods(struct births *births, const char *root)
{
	static const char suffix[] = ".slice";
	size_t n = strlen(root), k = sizeof(suffix) - 1;
	bool slice = n > k && strcmp(root + n - k, suffix) == 0;
	_cleanup_free_ char *prefix = slice ? xasprintf("%.*s-", (int)(n - k), root) : xstrdup("");
	_cleanup_free_ char *folder = xasprintf("%s/kubepods", root);
	_cleanup_free_ char *pods = xasprintf("%s/%skubepods.slice", root, prefix);

	watch(births, folder);
	watch(births, pods);
	for (size_t i = 0; i < ARRAY_SIZE(qos_levels); i++) {
		_cleanup_free_ char *level = xasprintf("%s/%s", folder, qos_levels[i]);
		_cleanup_free_ char *qos =
			xasprintf("%s/%skubepods-%s.slice", pods, prefix, qos_levels[i]);

		watch(births, level);
		watch(births, qos);
	}
}

/* The kubelet's root is the topmost cgroup, or one below it (cgroupRoot: kind has /kubelet). */
static void watch_folders(struct births *births)
{
	DIR *dir = opendir(births->cg->memory.path);
	struct dirent *entry;

	watch(births, "");
	watch_pods(births, "");
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] != '.' && entry->d_type == DT_DIR)
			watch_pods(births, entry->d_name);
	}
	if (dir)
		(void)closedir(dir);
}

static void on_settled(void *arg)
{
	struct births *births = arg;

	births->settling = false;
	watch_folders(births);
	births->fn(births->arg);
}

static void on_period(void *arg)
{
	struct births *births = arg;

	loop_timer_arm(births->period, PERIOD_MS);
	on_settled(births);
}

static void on_readable(void *arg, int fd)
{
	struct births *births = arg;
	char events[4096];

	/* What was made does not matter: all of it is listed again. */
	while (read(fd, events, sizeof(events)) > 0)
		;
	if (births->settling)
		return;
	births->settling = true;
	loop_timer_arm(births->settle, SETTLE_MS);
}

int births_new(struct loop *loop, const struct cgroupfs *cg, void (*fn)(void *arg), void *arg,
	       struct births **ret, struct err *err)
{
	struct births *births = xcalloc(1, sizeof(*births));
	int r;

	births->loop = loop;
	births->cg = cg;
	births->fn = fn;
	births->arg = arg;
	births->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (births->fd < 0) {
		r = err_set(err, errno, "inotify");
		free(births);
		return r;
	}
	births->settle = loop_timer_new(loop, on_settled, births);
	births->period = loop_timer_new(loop, on_period, births);
	r = loop_watch_fd(loop, births->fd, on_readable, births);
	if (r < 0) {
		births_free(births);
		return err_set(err, -r, "cannot watch for pods");
	}
	loop_timer_arm(births->period, 0);
	*ret = births;
	return 0;
}

void births_free(struct births *births)
{
	if (!births)
		return;
	loop_unwatch_fd(births->loop, births->fd);
	loop_timer_free(births->settle);
	loop_timer_free(births->period);
	(void)close(births->fd);
	free(births);
}
