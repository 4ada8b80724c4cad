/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel and its drivers write about who holds memory: fdinfo, maps, bufinfo, vmallocinfo, cgroup files. */
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "identity/process_cgroup.h"
#include "instruments/allocinfo.h"
#include "instruments/kmem_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_buffer(void *arg, uint64_t inode, const char *exporter, uint64_t bytes)
{
	uint64_t *sum = arg;

	*sum += inode + bytes + (uint64_t)exporter[0];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size);
	struct kmem_reading *reading = xcalloc(1, sizeof(*reading));
	struct kmem_owners owners = {0};
	struct kmem_drm drm;
	uint64_t v;
	char word[16];

	(void)proc_field(text, "memlock", &v);
	(void)proc_field_text(text, "exp_name", word, sizeof(word));
	(void)proc_link_inode(text, "socket:[", &v);
	(void)kmem_uring_bytes(text, 4096);
	(void)kmem_maps_bytes(text, "anon_inode:[perf_event]", &v);
	(void)kmem_drm_parse(text, &drm);
	kmem_dma_buf_parse(text, on_buffer, &v);
	kmem_vmalloc_parse(text, 4096, &owners);
	kmem_owners_merge(&owners);
	kmem_owners_done(&owners);
	reading->recorded = true;
	kmem_procnet_queues(reading, size % 2 ? KMEM_TCP : KMEM_UDP, text);
	kmem_procnet_packets(reading, text);
	kmem_owners_done(&reading->owners);
	free(reading);
	allocinfo_free(allocinfo_parse(text, NULL));
	free(process_cgroup_parse(text, CGROUP_V1));
	free(process_cgroup_parse(text, CGROUP_V2));
	free(text);
	return 0;
}
