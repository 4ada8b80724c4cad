/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices that pods come: inotify on the few folders in which the kubelet makes pods' cgroups, and a look every few minutes
 * for what that misses. Holds one inotify descriptor and no cgroup's.
 */
#ifndef MEMDIAG_NODE_BIRTHS_H
#define MEMDIAG_NODE_BIRTHS_H

#include "instruments/cgroupfs.h"
#include "kube/loop.h"

struct births;

/* fn is called about 2 s after the first of a burst of changes, once at the start, and every 5 minutes. */
int births_new(struct loop *loop, const struct cgroupfs *cg, void (*fn)(void *arg), void *arg,
	       struct births **ret, struct err *err);
void births_free(struct births *births);

#endif
