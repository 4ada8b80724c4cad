/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/cri_internal.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "identity/cri.pb-c.h"

enum {
	RUNTIME_MAX = 128, /* bytes of name and version together */
	LABELS_MAX = 256,  /* of one pod; the API server bounds them by object size only */
};

/* Heap of one decoding. */
struct budget {
	size_t left;
	bool exceeded;
};

/* Each block carries its size, so that what is freed can be used again. */
union block {
	size_t size;
	max_align_t align;
};

static void *budget_alloc(void *arg, size_t size)
{
	struct budget *budget = arg;
	union block *block;

	if (size > budget->left) {
		budget->exceeded = true;
		return NULL;
	}
	block = xmalloc(sizeof(*block) + size);
	block->size = size;
	budget->left -= size;
	return block + 1;
}

static void budget_free(void *arg, void *data)
{
	struct budget *budget = arg;
	union block *block = data;

	if (!block)
		return;
	block--;
	budget->left += block->size;
	free(block);
}

struct decoding {
	struct budget budget;
	ProtobufCAllocator allocator;
	ProtobufCMessage *message;
};

static int decode(struct decoding *d, const ProtobufCMessageDescriptor *descriptor,
		  const void *data, size_t n, struct err *err)
{
	d->budget = (struct budget){.left = CRI_MAX_DECODED};
	d->allocator = (ProtobufCAllocator){budget_alloc, budget_free, &d->budget};
	/* An empty message has no bytes to point to. */
	d->message = protobuf_c_message_unpack(descriptor, &d->allocator, n,
					       n > 0 ? data : (const void *)"");
	if (d->message)
		return 0;
	if (d->budget.exceeded)
		return err_say(err, EFBIG, "%s of %zu bytes takes more than %d MiB of memory",
			       descriptor->short_name, n, CRI_MAX_DECODED >> 20);
	return err_say(err, EPROTO, "%s of %zu bytes does not decode", descriptor->short_name, n);
}

static void decoding_done(struct decoding *d)
{
	if (d->message)
		protobuf_c_message_free_unpacked(d->message, &d->allocator);
}

int cri_decode_version(const void *data, size_t n, struct cri_snapshot *snapshot, struct err *err)
{
	struct decoding d;
	int r = decode(&d, &runtime__v1__version_response__descriptor, data, n, err);

	if (r == 0) {
		const Runtime__V1__VersionResponse *m = (const void *)d.message;
		_cleanup_free_ char *text = xasprintf("%s %s", m->runtime_name, m->runtime_version);

		snapshot->runtime = text_plain(text, strlen(text));
		text_shorten_end(snapshot->runtime, RUNTIME_MAX);
	}
	decoding_done(&d);
	return r;
}

static cJSON *labels_tree(const Runtime__V1__PodSandbox *m)
{
	cJSON *labels = cJSON_CreateObject();

	/* Not tree_add_str(): a label may be empty. */
	for (size_t i = 0; i < m->n_labels && i < LABELS_MAX; i++) {
		const char *key = m->labels[i]->key, *value = m->labels[i]->value;
		_cleanup_free_ char *name = text_plain(key, strlen(key));
		_cleanup_free_ char *text = text_plain(value, strlen(value));

		cJSON_AddItemToObject(labels, name, cJSON_CreateString(text));
	}
	return labels;
}

static void sandbox_fill(struct cri_sandbox *out, const Runtime__V1__PodSandbox *m)
{
	const Runtime__V1__PodSandboxMetadata *metadata = m->metadata;

	out->id = xstrdup(m->id);
	out->name = xstrdup(metadata ? metadata->name : "");
	out->uid = xstrdup(metadata ? metadata->uid : "");
	out->ns = xstrdup(metadata ? metadata->namespace_ : "");
	out->ready = m->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY;
	out->labels = labels_tree(m);
}

int cri_decode_sandboxes(const void *data, size_t n, struct cri_snapshot *snapshot, struct err *err)
{
	struct decoding d;
	int r = decode(&d, &runtime__v1__list_pod_sandbox_response__descriptor, data, n, err);

	if (r == 0) {
		const Runtime__V1__ListPodSandboxResponse *m = (const void *)d.message;
		size_t kept = m->n_items < CRI_MAX_CONTAINERS ? m->n_items : CRI_MAX_CONTAINERS;

		snapshot->sandboxes = xcalloc(kept, sizeof(*snapshot->sandboxes));
		/* The ready ones first, so that they are not those beyond the ceiling. */
		for (int ready = 1; ready >= 0; ready--) {
			for (size_t i = 0; i < m->n_items && snapshot->n_sandboxes < kept; i++) {
				if ((m->items[i]->state ==
				     RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY) == ready)
					sandbox_fill(&snapshot->sandboxes[snapshot->n_sandboxes++],
						     m->items[i]);
			}
		}
		snapshot->dropped += m->n_items - kept;
	}
	decoding_done(&d);
	return r;
}

static enum cri_state container_state(const Runtime__V1__Container *m)
{
	/* Open enum: a number of a newer CRI may come. */
	return (unsigned int)m->state <= CRI_UNKNOWN ? (enum cri_state)m->state : CRI_UNKNOWN;
}

static void container_fill(struct cri_container *out, const Runtime__V1__Container *m)
{
	out->id = xstrdup(m->id);
	out->sandbox_id = xstrdup(m->pod_sandbox_id);
	out->name = xstrdup(m->metadata ? m->metadata->name : "");
	out->state = container_state(m);
	out->created_ns = m->created_at > 0 ? (uint64_t)m->created_at : 0;
}

int cri_decode_containers(const void *data, size_t n, struct cri_snapshot *snapshot,
			  struct err *err)
{
	struct decoding d;
	int r = decode(&d, &runtime__v1__list_containers_response__descriptor, data, n, err);

	if (r == 0) {
		const Runtime__V1__ListContainersResponse *m = (const void *)d.message;
		size_t kept = m->n_containers < CRI_MAX_CONTAINERS ? m->n_containers
								   : CRI_MAX_CONTAINERS;

		snapshot->containers = xcalloc(kept, sizeof(*snapshot->containers));
		for (int running = 1; running >= 0; running--) {
			for (size_t i = 0; i < m->n_containers && snapshot->n_containers < kept;
			     i++) {
				if ((container_state(m->containers[i]) == CRI_RUNNING) == running)
					container_fill(
						&snapshot->containers[snapshot->n_containers++],
						m->containers[i]);
			}
		}
		snapshot->dropped += m->n_containers - kept;
	}
	decoding_done(&d);
	return r;
}

int cri_decode_mounts(const void *data, size_t n, struct cri_mount **ret, size_t *ret_n,
		      struct err *err)
{
	struct decoding d;
	int r = decode(&d, &runtime__v1__container_status_response__descriptor, data, n, err);

	if (r == 0) {
		const Runtime__V1__ContainerStatusResponse *m = (const void *)d.message;
		size_t all = m->status ? m->status->n_mounts : 0;
		size_t kept = all < CRI_MAX_CONTAINERS ? all : CRI_MAX_CONTAINERS;
		struct cri_mount *mounts = xcalloc(kept, sizeof(*mounts));

		for (size_t i = 0; i < kept; i++) {
			mounts[i].container_path = xstrdup(m->status->mounts[i]->container_path);
			mounts[i].host_path = xstrdup(m->status->mounts[i]->host_path);
		}
		*ret = mounts;
		*ret_n = kept;
	}
	decoding_done(&d);
	return r;
}
