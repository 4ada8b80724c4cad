/* SPDX-License-Identifier: Apache-2.0 */
/* Private to identity/ and its tests. */
#ifndef MEMDIAG_IDENTITY_KUBELET_INTERNAL_H
#define MEMDIAG_IDENTITY_KUBELET_INTERNAL_H

#include <stdint.h>

/* Of one call; KUBELET_TIMEOUT_MS unless a test is in a hurry. */
extern uint32_t kubelet_timeout_ms;

/*
 * The server of a URL, without slashes at its end. A manifest can't put brackets round a node's address for IPv6 alone:
 * https://$(NODE_IP):10250 may be https://fd00::1:10250, which is meant as https://[fd00::1]:10250. The caller frees it.
 */
char *kubelet_server(const char *url);

#endif
