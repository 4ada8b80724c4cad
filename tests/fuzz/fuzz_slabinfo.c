/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/slabinfo. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "instruments/slabs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = xstrndup((const char *)data, size);
	struct slabs_snapshot *s = slabs_parse(text, 4096);
	uint64_t bytes = 0;

	for (size_t i = 0; i < s->n; i++) {
		assert(s->caches[i].name[0] && memchr(s->caches[i].name, '\0', SLABS_NAME));
		assert(i == 0 || s->caches[i - 1].bytes >= s->caches[i].bytes);
		bytes += s->caches[i].bytes;
	}
	assert(s->dropped > 0 || bytes == s->bytes);
	slabs_snapshot_free(s);
	free(text);
	return 0;
}
