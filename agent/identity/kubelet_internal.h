/* SPDX-License-Identifier: Apache-2.0 */
/* Private to identity/ and its tests. */
#ifndef MEMDIAG_IDENTITY_KUBELET_INTERNAL_H
#define MEMDIAG_IDENTITY_KUBELET_INTERNAL_H

#include <stdint.h>

/* Of one call; KUBELET_TIMEOUT_MS unless a test is in a hurry. */
extern uint32_t kubelet_timeout_ms;

#endif
