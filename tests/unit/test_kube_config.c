/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "kube/base64.h"
#include "kube/config.h"
#include "support/folder.h"

/* base64 of "-----BEGIN X-----\n" */
#define PEM64 "LS0tLS1CRUdJTiBYLS0tLS0K"
#define PEM   "-----BEGIN X-----\n"

static char *dir;

static int setup(void **state)
{
	(void)state;
	dir = folder_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return folder_teardown((void **)&dir);
}

static char *write_file(const char *name, const char *text)
{
	char *path = xasprintf("%s/%s", dir, name);

	folder_put(dir, name, text);
	return path;
}

/* A kubeconfig around what one cluster and one user hold. */
static int load(const char *cluster, const char *user, struct kube_config *config, struct err *err)
{
	_cleanup_free_ char *text =
		xasprintf("apiVersion: v1\nkind: Config\ncurrent-context: here\n"
			  "clusters:\n- name: other\n  cluster: {server: 'https://other:1'}\n"
			  "- name: c\n  cluster: {%s}\n"
			  "users:\n- name: u\n  user: {%s}\n"
			  "contexts:\n- name: here\n  context: {cluster: c, user: u}\n",
			  cluster, user);
	_cleanup_free_ char *path = write_file("config", text);

	return kube_config_load(path, "/nowhere", config, err);
}

static void test_kubeconfig_with_data(void **state)
{
	struct kube_config c;
	struct err err = {0};

	(void)state;
	assert_int_equal(load("server: 'https://10.0.0.1:6443/', tls-server-name: kubernetes, "
			      "certificate-authority: x.crt, certificate-authority-data: " PEM64,
			      "client-certificate-data: " PEM64 ", client-key-data: " PEM64
			      ", token: abc",
			      &c, &err),
			 0);
	assert_string_equal(c.server, "https://10.0.0.1:6443");
	assert_string_equal(c.ca_pem, PEM);
	assert_null(c.ca_file);
	assert_string_equal(c.cert_pem, PEM);
	assert_string_equal(c.key_pem, PEM);
	assert_string_equal(c.token, "abc");
	assert_null(c.token_file);
	assert_string_equal(c.tls_server_name, "kubernetes");
	kube_config_done(&c);
	assert_null(c.server);
}

static void test_kubeconfig_with_files(void **state)
{
	_cleanup_free_ char *ca = xasprintf("%s/pki/ca.crt", dir);
	_cleanup_free_ char *token = xasprintf("%s/token", dir);
	struct kube_config c;
	struct err err = {0};

	(void)state;
	assert_int_equal(load("server: 'https://[::1]:6443', certificate-authority: pki/ca.crt",
			      "client-certificate: /a/c.crt, client-key: /a/c.key, "
			      "tokenFile: token, token: ignored",
			      &c, &err),
			 0);
	assert_string_equal(c.server, "https://[::1]:6443");
	assert_string_equal(c.ca_file, ca);
	assert_string_equal(c.cert_file, "/a/c.crt");
	assert_string_equal(c.key_file, "/a/c.key");
	assert_string_equal(c.token_file, token);
	assert_null(c.token);
	kube_config_done(&c);
}

/* What is off or empty is not refused. */
static void test_harmless_fields(void **state)
{
	struct kube_config c;
	struct err err = {0};

	(void)state;
	assert_int_equal(load("server: 'https://a/k8s/clusters/c-1', proxy-url: '', "
			      "insecure-skip-tls-verify: false, extensions: []",
			      "exec: null, username: '', as-groups: [], as-user-extra: {}", &c,
			      &err),
			 0);
	assert_string_equal(c.server, "https://a/k8s/clusters/c-1");
	kube_config_done(&c);
}

static void assert_refused(const char *cluster, const char *user, const char *field)
{
	struct kube_config c = {0};
	struct err err = {0};

	assert_int_equal(load(cluster, user, &c, &err), -EINVAL);
	assert_null(c.server); /* untouched */
	if (!strstr(err.msg, field))
		fail_msg("\"%s\" does not name %s", err.msg, field);
	assert_non_null(strstr(err.msg, dir));
}

static void test_refused_fields(void **state)
{
	static const char server[] = "server: 'https://a:1'";

	(void)state;
	assert_refused("server: 'https://a:1', insecure-skip-tls-verify: true", "",
		       "cluster \"c\": insecure-skip-tls-verify: ");
	assert_refused("server: 'https://a:1', proxy-url: 'http://p'", "", "proxy-url: ");
	assert_refused(server, "exec: {command: aws}", "user \"u\": exec: ");
	assert_refused(server, "auth-provider: {name: gcp}", "auth-provider: ");
	assert_refused(server, "username: a", "username: ");
	assert_refused(server, "password: b", "password: ");
	assert_refused(server, "as: root", "as: ");
	assert_refused(server, "as-uid: '1'", "as-uid: ");
	assert_refused(server, "as-groups: [x]", "as-groups: ");
	assert_refused(server, "as-user-extra: {a: [b]}", "as-user-extra: ");
	assert_refused(server, "token: 12", "token: must be a string");
	assert_refused(server, "client-certificate: a", "client-key: missing");
	assert_refused(server, "client-key: a", "client-certificate: missing");
	assert_refused(server, "client-key-data: '***'", "client-key-data: not base64");
	assert_refused(server, "client-key-data: aGVsbG8=", "client-key-data: not PEM");
	assert_refused("server: 'https://a:1', certificate-authority-data: aGVsbG8", "",
		       "certificate-authority-data: not base64");
}

static void test_servers(void **state)
{
	static const char *const good[] = {"http://127.0.0.1:8001", "http://127.1.2.3",
					   "http://[::1]:8001", "http://localhost:8001"};
	static const char *const bad[] = {"http://10.0.0.1:8001",
					  "http://[::2]:1",
					  "http://127.0.0.1.example.com",
					  "http://localhost.example.com",
					  "10.0.0.1:6443",
					  "ftp://127.0.0.1",
					  "https://user:pw@a:1",
					  "http://127.0.0.1@evil.example.com:1",
					  "https://a:1?x=y",
					  "https://a:99999",
					  "https://",
					  ""};
	struct kube_config c;
	struct err err = {0};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		_cleanup_free_ char *cluster = xasprintf("server: '%s'", good[i]);

		assert_int_equal(load(cluster, "", &c, &err), 0);
		assert_string_equal(c.server, good[i]);
		kube_config_done(&c);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		_cleanup_free_ char *cluster = xasprintf("server: '%s'", bad[i]);

		assert_refused(cluster, "", "server: ");
	}
}

static void assert_bad_file(const char *text, const char *part)
{
	_cleanup_free_ char *path = write_file("config", text);
	struct kube_config c;
	struct err err = {0};

	assert_int_equal(kube_config_load(path, "/nowhere", &c, &err), -EINVAL);
	if (!strstr(err.msg, part))
		fail_msg("\"%s\" lacks \"%s\"", err.msg, part);
}

static void test_bad_files(void **state)
{
	struct kube_config c;
	struct err err = {0};

	(void)state;
	assert_bad_file("", "kubeconfig ");
	assert_bad_file("{a: [", "kubeconfig ");
	assert_bad_file("clusters: []\n", "current-context: not set");
	assert_bad_file("current-context: x\n", "contexts: no context is called \"x\"");
	assert_bad_file("current-context: x\ncontexts: [{name: x, context: {cluster: c}}]\n",
			"clusters: no cluster is called \"c\"");
	assert_bad_file(
		"current-context: x\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
		"clusters: [{name: c, cluster: {server: 'https://a'}}]\n",
		"users: no user is called \"u\"");
	assert_int_equal(kube_config_load("/nowhere/config", "/nowhere", &c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "/nowhere/config"));
}

static void test_in_cluster(void **state)
{
	_cleanup_free_ char *ca = write_file("ca.crt", PEM);
	_cleanup_free_ char *token = write_file("token", "t\n");
	struct kube_config c;
	struct err err = {0};

	(void)state;
	setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	assert_int_equal(kube_config_load(NULL, dir, &c, &err), 0);
	assert_string_equal(c.server, "https://10.96.0.1:443");
	assert_string_equal(c.ca_file, ca);
	assert_string_equal(c.token_file, token);
	kube_config_done(&c);
	setenv("KUBERNETES_SERVICE_HOST", "fd00::1", 1);
	assert_int_equal(kube_config_load(NULL, dir, &c, &err), 0);
	assert_string_equal(c.server, "https://[fd00::1]:443");
	kube_config_done(&c);
	setenv("KUBERNETES_SERVICE_PORT", "443x", 1);
	assert_int_equal(kube_config_load(NULL, dir, &c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "KUBERNETES_SERVICE_PORT"));
	setenv("KUBERNETES_SERVICE_PORT", "443", 1);
	setenv("KUBERNETES_SERVICE_HOST", "a b", 1);
	assert_int_equal(kube_config_load(NULL, dir, &c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "KUBERNETES_SERVICE_HOST"));
	setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1", 1);
	assert_int_equal(unlink(token), 0);
	assert_int_equal(kube_config_load(NULL, dir, &c, &err), -EINVAL);
	assert_non_null(strstr(err.msg, token));
	unsetenv("KUBERNETES_SERVICE_HOST");
	assert_int_equal(kube_config_load(NULL, dir, &c, &err), -ENOENT);
	unsetenv("KUBERNETES_SERVICE_PORT");
}

static void test_base64(void **state)
{
	static const struct {
		const char *text, *bytes; /* NULL: refused */
	} cases[] = {
		{"", ""},
		{"Zg==", "f"},
		{"Zm8=", "fo"},
		{"Zm9v", "foo"},
		{"Zm9v\r\nYg==", "foob"},
		{"+/+/", "\xfb\xff\xbf"},
		{"Zg=", NULL},
		{"Zg", NULL},
		{"Zh==", NULL},
		{"Zm9=", NULL},
		{"Zg==Zg==", NULL},
		{"Z===", NULL},
		{"====", NULL},
		{"Zm 9v", NULL},
		{"-_-_", NULL},
		{"Zm9v=", NULL},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_free_ char *out = NULL;
		size_t len;
		int r = base64_decode(cases[i].text, &out, &len);

		if (r != (cases[i].bytes ? 0 : -EINVAL))
			fail_msg("\"%s\": %d", cases[i].text, r);
		if (cases[i].bytes) {
			assert_int_equal(len, strlen(cases[i].bytes));
			assert_string_equal(out, cases[i].bytes);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kubeconfig_with_data),
		cmocka_unit_test(test_kubeconfig_with_files),
		cmocka_unit_test(test_harmless_fields),
		cmocka_unit_test(test_refused_fields),
		cmocka_unit_test(test_servers),
		cmocka_unit_test(test_bad_files),
		cmocka_unit_test(test_in_cluster),
		cmocka_unit_test(test_base64),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
