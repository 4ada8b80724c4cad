/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/cmd.h"

void cmd_print_faults(const struct faults *faults)
{
	for (size_t i = 0; i < faults->n; i++)
		(void)fprintf(stderr, "memdiag: %s\n", faults->lines[i]);
	if (faults->dropped > 0)
		(void)fprintf(stderr, "memdiag: and %zu more faults\n", faults->dropped);
}
