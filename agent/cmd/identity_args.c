/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/identity_args.h"

#include <string.h>

bool identity_args_parse(struct identity_args *args, int c, const char *value)
{
	switch (c) {
	case IDENTITY_OPT_CRI_SOCKET:
		/* The identity room's word for "do not ask" is the empty string. */
		args->cri_socket = strcmp(value, "none") == 0 ? "" : value;
		return true;
	case IDENTITY_OPT_KUBELET_URL:
		args->kubelet.url = value;
		return true;
	case IDENTITY_OPT_KUBELET_CA:
		args->kubelet.ca_file = value;
		return true;
	case IDENTITY_OPT_KUBELET_NAME:
		args->kubelet.server_name = value;
		return true;
	case IDENTITY_OPT_KUBELET_TOKEN:
		args->kubelet.token_file = value;
		return true;
	case IDENTITY_OPT_HISTORY:
		args->history_file = value;
		return true;
	default:
		return false;
	}
}

int identity_args_open(struct identity_args *args, struct err *err)
{
	args->history = history_new();
	if (!args->history_file)
		return 0;
	return history_load(args->history, args->history_file, NULL, err);
}

struct identity_opts identity_args_opts(const struct identity_args *args)
{
	return (struct identity_opts){
		.cri_socket = args->cri_socket,
		.kubelet = args->kubelet.url ? &args->kubelet : NULL,
		.history = args->history,
	};
}

int identity_args_done(struct identity_args *args, struct err *err)
{
	int r = 0;

	if (args->history && args->history_file)
		r = history_save(args->history, args->history_file, err);
	history_free(args->history);
	args->history = NULL;
	return r;
}
