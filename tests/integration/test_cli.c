/* SPDX-License-Identifier: Apache-2.0 */
/* The program as a person runs it: exit codes, one line per fault, output that parses. $MEMDIAG_BIN names it. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/tree.h"

static char dir[] = "/tmp/memdiag-cli-XXXXXX";

/* Runs `memdiag ARGS`; returns its exit status, and what it wrote to standard output or error. */
static int run(const char *args, bool errors, struct buf *out)
{
	const char *bin = getenv("MEMDIAG_BIN");
	_cleanup_free_ char *command = xasprintf("%s %s %s", bin ? bin : "build/san/memdiag", args,
						 errors ? "2>&1 >/dev/null" : "2>/dev/null");
	FILE *pipe = popen(command, "r");
	char chunk[4096];
	size_t n;
	int status;

	assert_non_null(pipe);
	while ((n = fread(chunk, 1, sizeof(chunk), pipe)) > 0)
		assert_int_equal(buf_append(out, chunk, n), 0);
	status = pclose(pipe);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The run must end with 2 and say exactly one line that holds all of these words. */
static void assert_refused(const char *args, const char *a, const char *b)
{
	_cleanup_buf_ struct buf out = BUF_INIT(1 << 20);
	int status = run(args, true, &out);
	const char *text = out.data ? out.data : "";

	if (status != 2 || !strstr(text, a) || !strstr(text, b) || !strchr(text, '\n') ||
	    strchr(text, '\n')[1] != '\0')
		fail_msg("memdiag %s: exit %d: %s", args, status, text);
}

static void write_file(const char *name, const void *data, size_t n)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(data, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void assert_file_refused(const char *name, const char *a, const char *b)
{
	_cleanup_free_ char *args = xasprintf("run -f %s/%s", dir, name);

	assert_refused(args, a, b);
}

static void bad_arguments(void **state)
{
	(void)state;
	assert_refused("run --top 0", "spec.top: \"0\"", "1 to 50");
	assert_refused("run --top 1000000000", "spec.top: \"1000000000\"", "1 to 50");
	assert_refused("run --top ten", "spec.top: \"ten\"", "1 to 50");
	assert_refused("run --window 3x", "spec.window: \"3x\"", "1s to 10m");
	assert_refused("run --check PageCash", "spec.checks[0].type: \"PageCash\"", "PageCache");
	assert_refused("run -o xml", "--output: \"xml\"", "table, json or yaml");
	assert_refused("run --fail-on never", "--fail-on: \"never\"", "warning or critical");
	assert_refused("run now", "\"now\"", "options only");
	assert_refused("runn", "\"runn\"", "--help");
	assert_refused("agent --metrics-captures reclaim,slab", "--metrics-captures: \"slab\"",
		       "run_queue or stalls");
	assert_refused("agent --metrics-captures ''", "--metrics-captures: \"\"",
		       "run_queue or stalls");
	assert_refused("agent --log-level loud", "\"loud\"", "error, warn, info or debug");
}

static void bad_files(void **state)
{
	static const char head[] = "apiVersion: memdiag.io/v1alpha1\nkind: MemoryDiagnosis\n";
	static const char bomb[] = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n"
				   "c: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c]\n";
	_cleanup_free_ char *big = xasprintf("%s/big", dir);
	_cleanup_free_ char *field = xasprintf("%sspec: {windw: 5s}\n", head);
	_cleanup_free_ char *pod = xasprintf("%sspec: {target: {namespaces: a}}\n", head);
	int fd;

	(void)state;
	write_file("empty", "", 0);
	assert_file_refused("empty", "/empty: ", "is empty");
	fd = open(big, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 100 << 20), 0);
	assert_int_equal(close(fd), 0);
	assert_file_refused("big", "/big: ", "1 MiB");
	write_file("bomb", bomb, sizeof(bomb) - 1);
	assert_file_refused("bomb", "/bomb: ", "aliases");
	write_file("latin1", "a: caf\xe9\n", 8);
	assert_file_refused("latin1", "/latin1: ", "UTF-8");
	write_file("field", field, strlen(field));
	assert_file_refused("field", "spec.windw: unknown field", "window");
	write_file("pod", pod, strlen(pod));
	assert_file_refused("pod", "spec.target.namespaces", "list");
	assert_file_refused("missing", "/missing: ", "No such file");
}

/* A file whose name is hostile, mapped and locked so that it stays in the cache; its path undone is the name. */
static void hostile_names_keep_json_valid(void **state)
{
	static const char name[] = "new\nline \xff\xfe \"quote\\";
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	const size_t size = 64 << 20;
	_cleanup_buf_ struct buf out = BUF_INIT(16 << 20);
	_cleanup_tree_ cJSON *report = NULL;
	const cJSON *file, *found = NULL;
	struct err err = {0};
	char *data;
	int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);

	(void)state;
	assert_true(fd >= 0);
	data = xmalloc(size);
	memset(data, 'x', size);
	assert_int_equal(write(fd, data, size), size);
	free(data);
	data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(data, MAP_FAILED);
	assert_int_equal(mlock(data, size), 0);
	assert_int_equal(run("run --check PageCache --top 50 -o json", false, &out), 0);
	assert_int_equal(munmap(data, size), 0);
	assert_int_equal(close(fd), 0);

	if (tree_parse_json(out.data, out.len, &report, &err) < 0)
		fail_msg("%s", err.msg);
	assert_string_equal(tree_str(report, "kind"), "MemoryDiagnosisReport");
	cJSON_ArrayForEach (file, tree_get(cJSON_GetArrayItem(tree_get(report, "checks"), 0),
					   "pageCache.files")) {
		if (strstr(tree_str_or_empty(file, "path"), "new\\x0aline \\xff\\xfe \"quote\\\\"))
			found = file;
	}
	assert_non_null(found);
	assert_int_equal(tree_int_or(found, "cachedBytes", 0), size);
}

static void yaml_says_what_json_says(void **state)
{
	_cleanup_buf_ struct buf out = BUF_INIT(16 << 20);
	_cleanup_tree_ cJSON *report = NULL;
	struct err err = {0};

	(void)state;
	assert_int_equal(run("run -o yaml --check SharedMemory", false, &out), 0);
	if (tree_parse_yaml(out.data, out.len, &report, &err) < 0)
		fail_msg("%s\n%s", err.msg, out.data);
	assert_string_equal(tree_str(report, "apiVersion"), "memdiag.io/v1alpha1");
	assert_int_equal(cJSON_GetArraySize(tree_get(report, "checks")), 1);
	assert_string_equal(tree_str(cJSON_GetArrayItem(tree_get(report, "checks"), 0), "type"),
			    "SharedMemory");
}

static void exit_codes(void **state)
{
	static const char strict[] =
		"apiVersion: memdiag.io/v1alpha1\nkind: MemoryDiagnosis\nspec:\n"
		"  window: 1s\n  thresholds: [{reason: PageCacheHigh, critical: 4Ki}]\n";
	_cleanup_buf_ struct buf out = BUF_INIT(16 << 20);
	_cleanup_free_ char *fail_on = xasprintf("run -f %s/strict --fail-on critical", dir);
	_cleanup_free_ char *without = xasprintf("run -f %s/strict", dir);
	_cleanup_free_ char *nowhere = xasprintf("run --check PageCache --proc %s", dir);

	(void)state;
	write_file("strict", strict, sizeof(strict) - 1);
	assert_int_equal(run(fail_on, false, &out), 3);
	assert_non_null(strstr(out.data, "PageCacheHigh/"));
	assert_non_null(strstr(out.data, "$ "));
	assert_int_equal(run(without, false, &out), 0);
	/* When nothing worked, the run has failed. */
	assert_int_equal(run(nowhere, false, &out), 1);
	assert_int_equal(
		run("run --check RunQueueLatency --check SchedulingStall --window 1s", false, &out),
		0);
	assert_non_null(strstr(out.data, "contention"));
	assert_non_null(strstr(out.data, "SchedulingStall: Complete"));
	assert_int_equal(run("run --help", false, &out), 0);
	assert_int_equal(run("checks", false, &out), 0);
	assert_non_null(strstr(out.data, "RunQueueLatency"));
	assert_int_equal(run("version", false, &out), 0);
	assert_int_equal(run("", false, &out), 2);
}

/* Names of files that do not exist, planted while it runs: the report names their directory, with what to do. */
static void slab_cache_names_the_directory(void **state)
{
	static const char spec[] =
		"apiVersion: memdiag.io/v1alpha1\nkind: MemoryDiagnosis\nspec:\n"
		"  window: 1s\n  checks: [{type: SlabCache}]\n"
		"  thresholds: [{reason: NegativeDentries, critical: \"40000\"}]\n";
	_cleanup_free_ char *command = xasprintf("run -f %s/slab -o json", dir);
	_cleanup_buf_ struct buf out = BUF_INIT(16 << 20);
	_cleanup_tree_ cJSON *report = NULL;
	const cJSON *check, *row, *found = NULL, *finding;
	char path[256], disk[] = "/var/tmp/memdiag-cli-XXXXXX"; /* a tmpfs keeps no such names */

	(void)state;
	assert_non_null(mkdtemp(disk));
	write_file("slab", spec, sizeof(spec) - 1);
	for (int i = 0; i < 50000; i++) {
		(void)snprintf(path, sizeof(path), "%s/missing-%d", disk, i);
		assert_int_equal(access(path, F_OK), -1);
	}
	assert_int_equal(run(command, false, &out), 0);
	assert_int_equal(rmdir(disk), 0);
	assert_int_equal(tree_parse_json(out.data, out.len, &report, NULL), 0);
	check = cJSON_GetArrayItem(tree_get(report, "checks"), 0);
	assert_string_equal(tree_str_or_empty(check, "type"), "SlabCache");
	assert_string_equal(tree_str_or_empty(check, "state"), "Complete");
	assert_string_equal(tree_str_or_empty(check, "method"), "bpf-slab-walk");
	assert_true(cJSON_GetArraySize(tree_get(check, "slabCache.caches")) > 5);
	cJSON_ArrayForEach (row, tree_get(check, "slabCache.dentries.directories")) {
		if (strcmp(tree_str_or_empty(row, "path"), disk) == 0)
			found = row;
	}
	assert_non_null(found);
	assert_in_range(tree_int_or(found, "negative", 0), 49000, 50100);
	finding = cJSON_GetArrayItem(tree_get(report, "findings"), 0);
	assert_string_equal(tree_str_or_empty(finding, "reason"), "NegativeDentries");
	assert_string_equal(tree_str_or_empty(finding, "id"), "NegativeDentries/node");
	assert_non_null(strstr(out.data, "grep -F "));
	assert_non_null(strstr(out.data, "echo 2 > /proc/sys/vm/drop_caches"));
}

/* In a process of its own, two seconds from now: names that do not exist on a disk, and files of a tmpfs. */
/* Objects of a cache that are free: they are used before it grows. */
static int free_objects(const char *cache)
{
	FILE *f = fopen("/proc/slabinfo", "re");
	char line[512], name[64];
	int active, all, n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %d %d", name, &active, &all) == 3 &&
		    strcmp(name, cache) == 0)
			n = all - active;
	}
	(void)fclose(f);
	return n;
}

static pid_t grow_later(const char *disk, const char *tmpfs)
{
	pid_t pid = fork();
	char path[256];
	int names, files;

	if (pid != 0)
		return pid;
	(void)sleep(2); /* what earlier tests gave back is free only after a while */
	names = 40000 + free_objects("dentry");
	files = 8000 + free_objects("shmem_inode_cache");
	for (int i = 0; i < names; i++) {
		(void)snprintf(path, sizeof(path), "%s/missing-%d", disk, i);
		(void)access(path, F_OK);
	}
	for (int i = 0; i < files; i++) {
		(void)snprintf(path, sizeof(path), "%s/file-%d", tmpfs, i);
		if (mknod(path, S_IFREG | 0600, 0) < 0)
			_exit(1);
	}
	_exit(0);
}

static const cJSON *finding_of(const cJSON *report, const char *reason)
{
	const cJSON *finding;

	cJSON_ArrayForEach (finding, tree_get(report, "findings")) {
		if (strcmp(tree_str_or_empty(finding, "reason"), reason) == 0)
			return finding;
	}
	return NULL;
}

/* By how much a cache grew in the window. */
static int64_t grown(const cJSON *report, const char *cache)
{
	const cJSON *check = cJSON_GetArrayItem(tree_get(report, "checks"), 0), *row;

	cJSON_ArrayForEach (row, tree_get(check, "slabCache.caches")) {
		if (strcmp(tree_str_or_empty(row, "name"), cache) == 0)
			return tree_int_or(row, "grownBytes", 0);
	}
	return 0;
}

/* What grows while the run observes: names can be reclaimed, a tmpfs's inodes cannot. */
static void growth_within_the_window_is_found(void **state)
{
	static const char spec[] =
		"apiVersion: memdiag.io/v1alpha1\nkind: MemoryDiagnosis\nspec:\n"
		"  window: 6s\n  checks: [{type: SlabCache}]\n  thresholds:\n"
		"  - {reason: SlabGrowth, warning: 2Mi, critical: 1Gi}\n"
		"  - {reason: SlabUnreclaimableGrowth, warning: 2Mi, critical: 1Gi}\n";
	char disk[] = "/var/tmp/memdiag-cli-XXXXXX", tmpfs[] = "/dev/shm/memdiag-cli-XXXXXX";
	_cleanup_free_ char *command = xasprintf("run -f %s/growth --top 50 -o json", dir);
	_cleanup_free_ char *clean = NULL;
	_cleanup_buf_ struct buf out = BUF_INIT(16 << 20);
	_cleanup_tree_ cJSON *report = NULL;
	const cJSON *names, *inodes;
	int status, r;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(disk));
	assert_non_null(mkdtemp(tmpfs));
	clean = xasprintf("rm -rf %s %s", disk, tmpfs);
	write_file("growth", spec, sizeof(spec) - 1);
	pid = grow_later(disk, tmpfs);
	r = run(command, false, &out);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(system(clean), 0);
	assert_int_equal(status, 0);
	assert_int_equal(r, 0);
	assert_int_equal(tree_parse_json(out.data, out.len, &report, NULL), 0);
	names = finding_of(report, "SlabGrowth");
	inodes = finding_of(report, "SlabUnreclaimableGrowth");
	assert_non_null(names);
	assert_non_null(inodes);
	/* 40,000 of 192 bytes, and 8,000 of some 700; objects that were free before are used first. */
	assert_true(tree_int_or(names, "bytes", 0) >= 4 << 20);
	assert_true(tree_int_or(inodes, "bytes", 0) >= 4 << 20);
	assert_true(grown(report, "dentry") >= 4 << 20);
	assert_true(grown(report, "shmem_inode_cache") >= 4 << 20);
}

/* Without privileges nothing is tried, and the report says what is missing. */
static void missing_privileges_are_named(void **state)
{
	const char *bin = getenv("MEMDIAG_BIN");
	_cleanup_free_ char *command =
		xasprintf("setpriv --bounding-set -all --inh-caps -all --reuid 65534 "
			  "--clear-groups %s run --check PageCache",
			  bin ? bin : "build/san/memdiag");
	FILE *pipe = popen(command, "r");
	char text[8192];
	size_t n;

	(void)state;
	assert_non_null(pipe);
	n = fread(text, 1, sizeof(text) - 1, pipe);
	text[n] = '\0';
	assert_int_equal(WEXITSTATUS(pclose(pipe)), 1);
	assert_non_null(strstr(text, "PageCache: Skipped"));
	assert_non_null(strstr(text, "CAP_BPF"));
}

static int make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	_cleanup_free_ char *command = xasprintf("rm -rf %s", dir);

	(void)state;
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_arguments),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(hostile_names_keep_json_valid),
		cmocka_unit_test(yaml_says_what_json_says),
		cmocka_unit_test(exit_codes),
		cmocka_unit_test(slab_cache_names_the_directory),
		cmocka_unit_test(growth_within_the_window_is_found),
		cmocka_unit_test(missing_privileges_are_named),
	};

	tree_init();
	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
