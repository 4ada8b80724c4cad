/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/cri.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "identity/cri.pb-c.h"
#include "identity/cri_internal.h"
#include "identity/grpc.h"

uint32_t cri_timeout_ms = CRI_TIMEOUT_MS;

/* As the host has them, and where manifests/base/agent.yaml mounts the host's /run for the agent. */
static const char *const well_known[] = {
	"/run/containerd/containerd.sock",
	"/run/crio/crio.sock",
	"/run/cri-dockerd.sock",
	"/run/k3s/containerd/containerd.sock",
	"/host/run/containerd/containerd.sock",
	"/host/run/crio/crio.sock",
	"/host/run/cri-dockerd.sock",
	"/host/run/k3s/containerd/containerd.sock",
};

static int call(const char *socket, const char *method, const void *request, size_t request_len,
		struct buf *ret_reply, struct err *err)
{
	const struct grpc_call c = {
		.socket = socket,
		.method = method,
		.request = request,
		.request_len = request_len,
		.timeout_ms = cri_timeout_ms,
		.max_reply = CRI_MAX_REPLY,
	};

	return grpc_unary(&c, ret_reply, err);
}

typedef int decode_fn(const void *data, size_t n, struct cri_snapshot *snapshot, struct err *err);

static int call_and_decode(const char *method, decode_fn *decode, struct cri_snapshot *snapshot,
			   struct err *err)
{
	_cleanup_buf_ struct buf reply = BUF_INIT(0);
	/* A request without fields is no bytes at all. */
	int r = call(snapshot->socket, method, "", 0, &reply, err);

	if (r < 0)
		return r;
	r = decode(reply.data, reply.len, snapshot, err);
	if (r < 0)
		(void)err_wrap(err, "%s", method);
	return r;
}

static int read_socket(const char *socket, struct cri_snapshot **ret, struct err *err)
{
	_cleanup_(cri_snapshot_cleanup) struct cri_snapshot *s = xcalloc(1, sizeof(*s));
	int r;

	s->socket = xstrdup(socket);
	r = call_and_decode("runtime.v1.RuntimeService/Version", cri_decode_version, s, err);
	/* Sandboxes last: a pod that starts in between has one for each container that is listed; one that ends keeps it. */
	if (r == 0)
		r = call_and_decode("runtime.v1.RuntimeService/ListContainers",
				    cri_decode_containers, s, err);
	if (r == 0)
		r = call_and_decode("runtime.v1.RuntimeService/ListPodSandbox",
				    cri_decode_sandboxes, s, err);
	if (r < 0) {
		(void)err_wrap(err, "%s", socket);
		return r;
	}
	*ret = take_ptr(s);
	return 0;
}

static int read_well_known(struct cri_snapshot **ret, struct err *err)
{
	struct err first = {0};

	for (size_t i = 0; i < ARRAY_SIZE(well_known); i++) {
		struct err this = {0};
		struct stat st;

		if (stat(well_known[i], &st) < 0)
			continue;
		if (read_socket(well_known[i], ret, &this) == 0)
			return 0;
		if (first.code == 0)
			first = this;
	}
	if (first.code != 0)
		return err_say(err, first.code, "%s", first.msg);
	return err_say(err, ENOENT, "no container runtime: none of its sockets is there (%s, …)",
		       well_known[0]);
}

int cri_read(const char *socket, struct cri_snapshot **ret, struct err *err)
{
	struct stat st;

	if (!socket)
		return read_well_known(ret, err);
	if (stat(socket, &st) < 0)
		return err_set(err, errno, "%s", socket);
	return read_socket(socket, ret, err);
}

void cri_snapshot_free(struct cri_snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_sandboxes; i++) {
		free(s->sandboxes[i].id);
		free(s->sandboxes[i].name);
		free(s->sandboxes[i].uid);
		free(s->sandboxes[i].ns);
		cJSON_Delete(s->sandboxes[i].labels);
	}
	for (size_t i = 0; i < s->n_containers; i++) {
		free(s->containers[i].id);
		free(s->containers[i].sandbox_id);
		free(s->containers[i].name);
	}
	free(s->sandboxes);
	free(s->containers);
	free(s->runtime);
	free(s->socket);
	free(s);
}

int cri_mounts(const char *socket, const char *container_id, struct cri_mount **ret, size_t *ret_n,
	       struct err *err)
{
	static const char method[] = "runtime.v1.RuntimeService/ContainerStatus";
	Runtime__V1__ContainerStatusRequest m = RUNTIME__V1__CONTAINER_STATUS_REQUEST__INIT;
	_cleanup_buf_ struct buf reply = BUF_INIT(0);
	_cleanup_free_ uint8_t *request = NULL;
	int r;

	m.container_id = (char *)(uintptr_t)container_id; /* only read */
	request = xmalloc(protobuf_c_message_get_packed_size(&m.base));
	r = call(socket, method, request, protobuf_c_message_pack(&m.base, request), &reply, err);
	if (r < 0)
		return r;
	r = cri_decode_mounts(reply.data, reply.len, ret, ret_n, err);
	if (r < 0)
		(void)err_wrap(err, "%s", method);
	return r;
}

void cri_mounts_free(struct cri_mount *mounts, size_t n)
{
	for (size_t i = 0; mounts && i < n; i++) {
		free(mounts[i].container_path);
		free(mounts[i].host_path);
	}
	free(mounts);
}
