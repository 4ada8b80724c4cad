/* SPDX-License-Identifier: Apache-2.0 */
/* /proc/kallsyms, and look-ups in what came of it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "instruments/ksyms.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct parse_notes notes = {0};
	char out[KSYMS_NAME_MAX];
	struct ksyms *k = NULL;
	uint64_t address = 0;
	FILE *f;

	if (size == 0)
		return 0;
	f = fmemopen((void *)(uintptr_t)data, size, "r");
	if (!f)
		return 0;
	if (ksyms_read(f, "kallsyms", &k, &notes, NULL) == 0) {
		memcpy(&address, data, size < sizeof(address) ? size : sizeof(address));
		(void)ksyms_name(k, address, out, sizeof(out));
		(void)ksyms_name(k, ksyms_address(k, "a"), out, 1 + size % sizeof(out));
		(void)ksyms_function(k, UINT64_MAX);
		ksyms_free(k);
	}
	(void)fclose(f);
	return 0;
}
