/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What made a pod, as far as its name alone tells: a pod that is gone has no ownerReferences any more.
 */
#ifndef MEMDIAG_IDENTITY_POD_CONTROLLER_H
#define MEMDIAG_IDENTITY_POD_CONTROLLER_H

struct pod_controller {
	/* "CronJob", "Deployment", "StatefulSet"; "" when several kinds name their pods so, or none does. */
	const char *kind;
	char name[254]; /* the pod's own name when it does not tell */
};

/*
 * nightly-28391640-x7k2p (CronJob nightly), api-7c9f8b6d5-x2x4z (Deployment api), db-0 (StatefulSet db), and name-x7k2p, which is
 * a Job's, a DaemonSet's or a ReplicaSet's. A name that happens to end like one is taken for one.
 */
void pod_controller_of(const char *pod, struct pod_controller *ret);

#endif
