/* SPDX-License-Identifier: Apache-2.0 */
/* The first byte says which reply; the rest is its message. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "identity/cri_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct cri_snapshot *s)
{
	size_t bytes = 0;

	for (size_t i = 0; i < s->n_sandboxes; i++) {
		_cleanup_free_ char *json = tree_print_json(s->sandboxes[i].labels, false);

		/* Labels reach reports as they are. */
		if (!text_is_utf8(json, strlen(json)))
			abort();
		bytes += strlen(s->sandboxes[i].id) + strlen(s->sandboxes[i].name) +
			 strlen(s->sandboxes[i].uid) + strlen(s->sandboxes[i].ns);
	}
	for (size_t i = 0; i < s->n_containers; i++)
		bytes += strlen(s->containers[i].id) + strlen(s->containers[i].sandbox_id) +
			 strlen(s->containers[i].name) + (s->containers[i].state > CRI_UNKNOWN);
	if (s->n_sandboxes > CRI_MAX_CONTAINERS || s->n_containers > CRI_MAX_CONTAINERS ||
	    bytes > CRI_MAX_DECODED)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cri_snapshot *s = xcalloc(1, sizeof(*s));
	struct cri_mount *mounts = NULL;
	size_t n_mounts = 0;
	struct err err;

	if (size > 0) {
		switch (data[0]) {
		case 0:
			(void)cri_decode_version(data + 1, size - 1, s, &err);
			break;
		case 1:
			(void)cri_decode_sandboxes(data + 1, size - 1, s, &err);
			break;
		case 2:
			(void)cri_decode_containers(data + 1, size - 1, s, &err);
			break;
		default:
			(void)cri_decode_mounts(data + 1, size - 1, &mounts, &n_mounts, &err);
		}
	}
	check(s);
	cri_mounts_free(mounts, n_mounts);
	cri_snapshot_free(s);
	return 0;
}
