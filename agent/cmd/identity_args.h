/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options that tell whom to ask for the names of pods: shared by run, pods and agent.
 */
#ifndef MEMDIAG_CMD_IDENTITY_ARGS_H
#define MEMDIAG_CMD_IDENTITY_ARGS_H

#include <stdbool.h>

#include "base/err.h"
#include "checks/sources.h"

struct identity_args {
	const char *cri_socket; /* NULL: the well-known ones; "none": do not ask */
	struct kubelet_opts kubelet;
	const char *history_file; /* NULL: names of pods that are gone are not kept */
	struct history *history;
};

enum {
	IDENTITY_OPT_CRI_SOCKET = 768,
	IDENTITY_OPT_KUBELET_URL,
	IDENTITY_OPT_KUBELET_CA,
	IDENTITY_OPT_KUBELET_NAME,
	IDENTITY_OPT_KUBELET_TOKEN,
	IDENTITY_OPT_HISTORY,
};
#define IDENTITY_OPTIONS                                                                     \
	{"cri-socket", required_argument, NULL, IDENTITY_OPT_CRI_SOCKET},                    \
		{"kubelet-url", required_argument, NULL, IDENTITY_OPT_KUBELET_URL},          \
		{"kubelet-ca", required_argument, NULL, IDENTITY_OPT_KUBELET_CA},            \
		{"kubelet-server-name", required_argument, NULL, IDENTITY_OPT_KUBELET_NAME}, \
		{"kubelet-token-file", required_argument, NULL, IDENTITY_OPT_KUBELET_TOKEN}, \
	{                                                                                    \
		"history-file", required_argument, NULL, IDENTITY_OPT_HISTORY                \
	}

/* True when c is one of the above. */
bool identity_args_parse(struct identity_args *args, int c, const char *value);
/* Loads the history when there is a file for it. The caller calls identity_args_done() in any case. */
int identity_args_open(struct identity_args *args, struct err *err);
/* As the run wants it; borrows from args. */
struct identity_opts identity_args_opts(const struct identity_args *args);
/* Writes the history back; a failure is returned, and everything freed all the same. */
int identity_args_done(struct identity_args *args, struct err *err);

#define IDENTITY_HELP                                                                             \
	"      --cri-socket PATH   container runtime to ask for names; none: do not ask "         \
	"(default:\n"                                                                             \
	"                          containerd's, CRI-O's, cri-dockerd's or k3s's, what exists)\n" \
	"      --kubelet-url URL   kubelet to ask for limits and volume names, such as\n"         \
	"                          https://127.0.0.1:10250 (default: do not ask)\n"               \
	"      --kubelet-ca FILE, --kubelet-server-name NAME, --kubelet-token-file FILE\n"        \
	"                          to verify the kubelet, and to be let in\n"                     \
	"      --history-file FILE remembers the names of pods that are gone\n"

#endif
