/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the API server is and who we are: in-cluster (a ServiceAccount's mounted folder) or a kubeconfig.
 */
#ifndef MEMDIAG_KUBE_CONFIG_H
#define MEMDIAG_KUBE_CONFIG_H

#include "base/err.h"

#define KUBE_SERVICEACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

/* Owned strings; NULL when absent. Files stay files: they are read again when they rotate. */
struct kube_config {
	char *server; /* https://host:port, without a trailing '/' */
	char *ca_file;
	char *ca_pem; /* certificate-authority-data, decoded */
	char *cert_file, *key_file;
	char *cert_pem, *key_pem;
	char *token;	  /* a fixed token */
	char *token_file; /* read again every 60 s and on 401 */
	char *tls_server_name;
};

/*
 * kubeconfig path given: that file's current-context. NULL: $KUBERNETES_SERVICE_HOST/_PORT and serviceaccount_dir.
 * TLS is always verified: insecure-skip-tls-verify, exec and auth-provider users are refused with a reason that names the
 * field. -EINVAL: the file's content; -ENOENT: neither kubeconfig nor in-cluster environment.
 */
int kube_config_load(const char *kubeconfig, const char *serviceaccount_dir,
		     struct kube_config *ret, struct err *err);
void kube_config_done(struct kube_config *config);

#endif
