/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMDIAG_KUBE_BASE64_H
#define MEMDIAG_KUBE_BASE64_H

#include <stddef.h>

/*
 * Decodes standard base64 with padding; line breaks are skipped, as Go does, and everything else that is not canonical is
 * refused. The result is NUL-terminated and the caller's to free. -EINVAL: not base64.
 */
int base64_decode(const char *text, char **ret, size_t *ret_len);

#endif
