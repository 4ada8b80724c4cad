/* SPDX-License-Identifier: Apache-2.0 */
#include "support/page_size.h"

#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"

size_t page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

size_t huge_page_bytes(void)
{
	_cleanup_fclose_ FILE *f =
		fopen("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "re");
	size_t bytes = 0;

	return f && fscanf(f, "%zu", &bytes) == 1 ? bytes : (size_t)2 << 20;
}
