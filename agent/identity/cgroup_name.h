/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a cgroup's path alone tells: kubelet's and the runtimes' naming, with both cgroup drivers, and systemd's units.
 */
#ifndef MEMDIAG_IDENTITY_CGROUP_NAME_H
#define MEMDIAG_IDENTITY_CGROUP_NAME_H

enum cgroup_kind {
	CGROUP_KIND_OTHER,
	CGROUP_KIND_POD,       /* a pod's own cgroup */
	CGROUP_KIND_CONTAINER, /* a container's, or one below it (crun's "container", systemd inside) */
	CGROUP_KIND_UNIT,      /* a systemd service, scope or slice */
};

struct cgroup_name {
	enum cgroup_kind kind;
	char pod_uid[64];      /* with '-', as the API has it; a static pod's is its config hash */
	char container_id[72]; /* 64 hex digits; "" for a pod's own */
	const char *qos;       /* "Guaranteed", "Burstable", "BestEffort"; "" when it is no pod */
	char unit[256];	       /* "containerd.service"; "" when it is none */
};

/*
 * Never fails: what is not recognised is CGROUP_KIND_OTHER. Knows kubepods[.slice] with cgroupfs and systemd driver, the
 * prefixes cri-containerd-, crio-, docker-, kind's "kubelet-" slices, k3s, cri-dockerd; crio-conmon-* is OTHER.
 */
void cgroup_name_parse(const char *path, struct cgroup_name *ret);

#endif
