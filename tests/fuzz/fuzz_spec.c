/* SPDX-License-Identifier: Apache-2.0 */
/* A file for `memdiag run -f`, and the same as an object of the API server. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/tree.h"
#include "spec/spec.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	tree_init();
	return 0;
}

static void decode(const cJSON *doc, enum spec_mode mode)
{
	_cleanup_spec_ struct spec *spec = NULL;
	struct faults faults = {0};
	int r = spec_decode(doc, mode, &spec, &faults);

	/* Either a spec or at least one fault. */
	if ((r == 0) != (spec != NULL) || (r < 0) != (faults.n > 0))
		abort();
	faults_done(&faults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_tree_ cJSON *doc = NULL;
	struct err err;

	if (tree_parse_yaml((const char *)data, size, &doc, &err) < 0)
		return 0;
	decode(doc, SPEC_FROM_FILE);
	decode(doc, SPEC_FROM_API);
	return 0;
}
