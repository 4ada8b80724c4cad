/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kubelet's view: GET /pods. Optional: it adds what the runtime does not know (volume names, limits, QoS class).
 */
#ifndef MEMDIAG_IDENTITY_KUBELET_H
#define MEMDIAG_IDENTITY_KUBELET_H

#include "base/err.h"
#include "base/tree.h"

struct kubelet_opts {
	const char *
		url; /* "https://127.0.0.1:10250"; http only to loopback, and then without the token */
	const char *
		ca_file; /* verifies the kubelet's certificate; never skipped; NULL: the system's CAs */
	const char *
		server_name; /* name in the certificate when it is not the host of url; NULL: that one */
	const char *token_file; /* read for every call; NULL: none */
};

enum {
	KUBELET_TIMEOUT_MS = 5000,
	KUBELET_MAX_REPLY = 32 << 20, /* 500 pods of 64 KiB */
};

/*
 * A v1.PodList; items may be missing or null when there are no pods. The caller frees it with cJSON_Delete(). Errors name the
 * URL and what is wrong: -EACCES (401, 403), -EPROTO (not a PodList, HTML, a redirect, 5xx), -EKEYREJECTED (the certificate
 * does not verify), -ETIMEDOUT, -ECONNREFUSED, -EFBIG, -EINVAL (the options), or what the token file says.
 */
int kubelet_read_pods(const struct kubelet_opts *opts, cJSON **ret, struct err *err);

#endif
