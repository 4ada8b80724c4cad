/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is refused here is refused on purpose: a field that is ignored in silence would connect as somebody else (exec, as),
 * somewhere else (proxy-url) or without knowing to whom (insecure-skip-tls-verify).
 */
#include "kube/config.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/tree.h"
#include "kube/base64.h"
#include "kube/file.h"

enum {
	KUBECONFIG_MAX = 1 << 20, /* bytes; one with hundreds of clusters is about 1 MiB */
};

struct refused {
	const char *field, *why;
};

static const struct refused refused_of_cluster[] = {
	{"insecure-skip-tls-verify", "TLS is always verified"},
	{"proxy-url", "proxies are not supported"},
	{NULL, NULL},
};

static const struct refused refused_of_user[] = {
	{"exec", "no program is run for credentials; use a certificate, token or tokenFile"},
	{"auth-provider", "use a certificate, token or tokenFile"},
	{"username", "basic authentication is not supported"},
	{"password", "basic authentication is not supported"},
	{"as", "impersonation is not supported"},
	{"as-uid", "impersonation is not supported"},
	{"as-groups", "impersonation is not supported"},
	{"as-user-extra", "impersonation is not supported"},
	{NULL, NULL},
};

static void wipe(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void kube_config_done(struct kube_config *config)
{
	free(config->server);
	free(config->ca_file);
	free(config->ca_pem);
	free(config->cert_file);
	free(config->key_file);
	free(config->cert_pem);
	wipe(config->key_pem);
	wipe(config->token);
	free(config->token_file);
	free(config->tls_server_name);
	memset(config, 0, sizeof(*config));
}

/* host as curl_url_get() gives it: an IPv6 address is in brackets. */
static bool is_loopback(const char *host)
{
	struct in6_addr v6;
	struct in_addr v4;
	char bare[INET6_ADDRSTRLEN];
	size_t n = strlen(host);

	if (strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return (ntohl(v4.s_addr) >> 24) == 127;
	if (n < 3 || n - 2 >= sizeof(bare) || host[0] != '[')
		return false;
	memcpy(bare, host + 1, n - 2);
	bare[n - 2] = '\0';
	return inet_pton(AF_INET6, bare, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6);
}

static bool url_has(CURLU *url, CURLUPart part)
{
	char *text = NULL;
	bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK && text && *text;

	curl_free(text);
	return has;
}

DEFINE_CLEANUP(curlu, CURLU *, curl_url_cleanup);
DEFINE_CLEANUP(curl_text, char *, curl_free);

/* Checks the URL and hands it out without a '/' at its end. */
static int server_check(const char *server, char **ret, struct err *err)
{
	_cleanup_(curlu_cleanup) CURLU *url = curl_url();
	_cleanup_(curl_text_cleanup) char *scheme = NULL;
	_cleanup_(curl_text_cleanup) char *host = NULL;
	size_t n = strlen(server);

	if (strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0)
		return err_say(err, EINVAL, "server: \"%s\" must begin with https://", server);
	if (!url || curl_url_set(url, CURLUPART_URL, server, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
	    curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK)
		return err_say(err, EINVAL, "server: \"%s\" is no URL", server);
	if (url_has(url, CURLUPART_USER) || url_has(url, CURLUPART_PASSWORD) ||
	    url_has(url, CURLUPART_QUERY) || url_has(url, CURLUPART_FRAGMENT))
		return err_say(err, EINVAL, "server: must be scheme, host, port and path alone");
	if (strcmp(scheme, "http") == 0 && !is_loopback(host))
		return err_say(
			err, EINVAL,
			"server: \"%s\" is without TLS, which only a loopback address may be",
			server);
	while (n > 0 && server[n - 1] == '/')
		n--;
	*ret = xstrndup(server, n);
	return 0;
}

/* A string member; *ret stays NULL when it is missing, null or empty. */
static int take_string(const cJSON *object, const char *field, char **ret, struct err *err)
{
	const cJSON *item = tree_member(object, field);

	if (!item || cJSON_IsNull(item))
		return 0;
	if (!cJSON_IsString(item))
		return err_say(err, EINVAL, "%s: must be a string", field);
	if (item->valuestring[0])
		*ret = xstrdup(item->valuestring);
	return 0;
}

/* A path, relative to the kubeconfig's folder as kubectl has it. */
static int take_path(const cJSON *object, const char *field, const char *kubeconfig, char **ret,
		     struct err *err)
{
	const char *slash = strrchr(kubeconfig, '/');
	_cleanup_free_ char *path = NULL;
	int r = take_string(object, field, &path, err);

	if (r < 0 || !path)
		return r;
	if (path[0] == '/' || !slash)
		*ret = take_ptr(path);
	else
		*ret = xasprintf("%.*s/%s", (int)(slash - kubeconfig), kubeconfig, path);
	return 0;
}

/* base64 of PEM. */
static int take_pem(const cJSON *object, const char *field, char **ret, struct err *err)
{
	_cleanup_free_ char *text = NULL;
	char *pem;
	size_t len;
	int r = take_string(object, field, &text, err);

	if (r < 0 || !text)
		return r;
	if (base64_decode(text, &pem, &len) < 0)
		return err_say(err, EINVAL, "%s: not base64", field);
	if (strlen(pem) != len || !strstr(pem, "-----BEGIN ")) {
		wipe(pem);
		return err_say(err, EINVAL, "%s: not PEM in base64", field);
	}
	*ret = pem;
	return 0;
}

static bool is_set(const cJSON *item)
{
	if (!item || cJSON_IsNull(item) || cJSON_IsFalse(item))
		return false;
	if (cJSON_IsString(item))
		return item->valuestring[0] != '\0';
	return !(cJSON_IsArray(item) || cJSON_IsObject(item)) || item->child;
}

static int refuse(const cJSON *object, const struct refused *refused, struct err *err)
{
	for (; refused->field; refused++)
		if (is_set(tree_member(object, refused->field)))
			return err_say(err, EINVAL, "%s: refused: %s", refused->field,
				       refused->why);
	return 0;
}

/* The member `kind` of the entry of list that is called name. */
static int find_named(const cJSON *file, const char *list, const char *name, const char *kind,
		      const cJSON **ret, struct err *err)
{
	const cJSON *entry;

	cJSON_ArrayForEach (entry, tree_member(file, list)) {
		const char *its = tree_str(entry, "name");

		if (its && strcmp(its, name) == 0 && cJSON_IsObject(tree_member(entry, kind))) {
			*ret = tree_member(entry, kind);
			return 0;
		}
	}
	return err_say(err, EINVAL, "%s: no %s is called \"%s\"", list, kind, name);
}

static int take_cluster(const cJSON *cluster, const char *path, struct kube_config *c,
			struct err *err)
{
	_cleanup_free_ char *server = NULL;
	int r = refuse(cluster, refused_of_cluster, err);

	if (r == 0)
		r = take_string(cluster, "server", &server, err);
	if (r == 0 && !server)
		r = err_say(err, EINVAL, "server: missing");
	if (r == 0)
		r = server_check(server, &c->server, err);
	if (r == 0)
		r = take_pem(cluster, "certificate-authority-data", &c->ca_pem, err);
	if (r == 0 && !c->ca_pem)
		r = take_path(cluster, "certificate-authority", path, &c->ca_file, err);
	if (r == 0)
		r = take_string(cluster, "tls-server-name", &c->tls_server_name, err);
	return r;
}

/* Data wins over files, and tokenFile over token, as in client-go. */
static int take_user(const cJSON *user, const char *path, struct kube_config *c, struct err *err)
{
	int r = refuse(user, refused_of_user, err);

	if (r == 0)
		r = take_pem(user, "client-certificate-data", &c->cert_pem, err);
	if (r == 0 && !c->cert_pem)
		r = take_path(user, "client-certificate", path, &c->cert_file, err);
	if (r == 0)
		r = take_pem(user, "client-key-data", &c->key_pem, err);
	if (r == 0 && !c->key_pem)
		r = take_path(user, "client-key", path, &c->key_file, err);
	if (r == 0)
		r = take_path(user, "tokenFile", path, &c->token_file, err);
	if (r == 0 && !c->token_file)
		r = take_string(user, "token", &c->token, err);
	if (r < 0)
		return r;
	if ((c->cert_pem || c->cert_file) && !c->key_pem && !c->key_file)
		return err_say(err, EINVAL, "client-key: missing beside client-certificate");
	if ((c->key_pem || c->key_file) && !c->cert_pem && !c->cert_file)
		return err_say(err, EINVAL, "client-certificate: missing beside client-key");
	return 0;
}

static int take_kubeconfig(const cJSON *file, const char *path, struct kube_config *c,
			   struct err *err)
{
	const char *current = tree_str_or_empty(file, "current-context");
	const cJSON *context, *cluster, *user;
	const char *name;
	int r;

	if (!*current)
		return err_say(err, EINVAL, "current-context: not set");
	r = find_named(file, "contexts", current, "context", &context, err);
	if (r < 0)
		return r;
	name = tree_str_or_empty(context, "cluster");
	r = find_named(file, "clusters", name, "cluster", &cluster, err);
	if (r == 0)
		r = take_cluster(cluster, path, c, err);
	if (r < 0)
		return err_wrap(err, "cluster \"%s\"", name);
	name = tree_str_or_empty(context, "user");
	if (!*name)
		return 0; /* anonymous */
	r = find_named(file, "users", name, "user", &user, err);
	if (r == 0)
		r = take_user(user, path, c, err);
	return r < 0 ? err_wrap(err, "user \"%s\"", name) : 0;
}

static int load_kubeconfig(const char *path, struct kube_config *c, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(KUBECONFIG_MAX);
	_cleanup_tree_ cJSON *file = NULL;
	struct err reason = {0};

	if (kube_file_read(path, &text, &reason) < 0)
		return err_say(err, EINVAL, "kubeconfig: %s", reason.msg);
	if (tree_parse_yaml(text.data ? text.data : "", text.len, &file, &reason) < 0 ||
	    take_kubeconfig(file, path, c, &reason) < 0)
		return err_say(err, EINVAL, "kubeconfig %s: %s", path, reason.msg);
	return 0;
}

static int load_in_cluster(const char *dir, struct kube_config *c, struct err *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	const char *port = getenv("KUBERNETES_SERVICE_PORT");
	_cleanup_free_ char *server = NULL;
	uint64_t number;
	int r;

	if (!host || !*host || !port || !*port)
		return err_say(err, ENOENT,
			       "no kubeconfig given, and KUBERNETES_SERVICE_HOST and _PORT are not "
			       "set as they are in a pod");
	if (num_u64(port, 1, UINT16_MAX, &number) < 0)
		return err_say(err, EINVAL, "KUBERNETES_SERVICE_PORT: \"%s\" is no port", port);
	server = xasprintf(strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
	r = server_check(server, &c->server, err);
	if (r < 0)
		return err_wrap(err, "KUBERNETES_SERVICE_HOST");
	c->ca_file = xasprintf("%s/ca.crt", dir);
	c->token_file = xasprintf("%s/token", dir);
	if (access(c->ca_file, R_OK) < 0)
		return err_say(err, EINVAL, "cannot read %s: %s", c->ca_file, strerror(errno));
	if (access(c->token_file, R_OK) < 0)
		return err_say(err, EINVAL, "cannot read %s: %s", c->token_file, strerror(errno));
	return 0;
}

int kube_config_load(const char *kubeconfig, const char *serviceaccount_dir,
		     struct kube_config *ret, struct err *err)
{
	struct kube_config config = {0};
	int r = kubeconfig ? load_kubeconfig(kubeconfig, &config, err)
			   : load_in_cluster(serviceaccount_dir, &config, err);

	if (r < 0) {
		kube_config_done(&config);
		return r;
	}
	*ret = config;
	return 0;
}
