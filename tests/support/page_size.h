/* SPDX-License-Identifier: Apache-2.0 */
/* 4 KiB and 2 MiB on x86-64; arm64 has pages of 16 KiB (huge ones of 32 MiB) and of 64 KiB, too. */
#ifndef MEMDIAG_TESTS_SUPPORT_PAGE_SIZE_H
#define MEMDIAG_TESTS_SUPPORT_PAGE_SIZE_H

#include <stddef.h>

size_t page_bytes(void);
/* Of a transparent huge page; 2 MiB where the kernel has none. */
size_t huge_page_bytes(void);

#endif
