/* SPDX-License-Identifier: Apache-2.0 */
/* Names of pods that are gone: what is kept, what goes first, and the state file, also when it is not what we wrote. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/text.h"
#include "identity/history.h"
#include "support/folder.h"

struct folder {
	char *dir, *file;
};

static int setup(void **state)
{
	struct folder *folder = xcalloc(1, sizeof(*folder));

	folder->dir = folder_new();
	folder->file = xasprintf("%s/state", folder->dir);
	*state = folder;
	return 0;
}

static int teardown(void **state)
{
	struct folder *folder = *state;
	int r = folder_remove(folder->dir);

	free(folder->dir);
	free(folder->file);
	free(folder);
	return r;
}

static struct history_entry entry_of(const char *id, const char *uid, const char *pod)
{
	struct history_entry entry = {.last_seen = 1700000000};

	history_set(entry.container_id, sizeof(entry.container_id), id);
	history_set(entry.pod_uid, sizeof(entry.pod_uid), uid);
	history_set(entry.ns, sizeof(entry.ns), "ns");
	history_set(entry.pod, sizeof(entry.pod), pod);
	history_set(entry.container, sizeof(entry.container), id ? "main" : "");
	return entry;
}

static void note(struct history *history, const char *id, const char *uid, const char *pod)
{
	struct history_entry entry = entry_of(id, uid, pod);

	history_note(history, &entry);
}

static void note_number(struct history *history, int i)
{
	char id[80];

	(void)snprintf(id, sizeof(id), "%064x", (unsigned int)i);
	note(history, id, "uid", "pod");
}

static bool has_number(const struct history *history, int i)
{
	char id[80];

	(void)snprintf(id, sizeof(id), "%064x", (unsigned int)i);
	return history_find(history, NULL, id) != NULL;
}

static void write_file(const char *path, const char *text, size_t n)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static void finds_by_container_and_by_pod(void **state)
{
	struct history *history = history_new();

	(void)state;
	note(history, "c1", "u1", "web-0");
	note(history, NULL, "u1", "web-0");
	note(history, "u2", "u1", "one whose id is another's UID");
	assert_int_equal(history_count(history), 3);
	assert_string_equal(history_find(history, NULL, "c1")->pod, "web-0");
	assert_string_equal(history_find(history, "ignored", "c1")->container, "main");
	assert_string_equal(history_find(history, "u1", NULL)->container, "");
	assert_string_equal(history_find(history, "u1", "")->pod, "web-0");
	assert_null(history_find(history, "c1", NULL));
	assert_null(history_find(history, "u2", NULL));
	assert_null(history_find(history, "u1", "c2"));
	assert_null(history_find(history, NULL, NULL));
	assert_null(history_find(history, "", ""));
	/* Refreshed, not doubled. */
	note(history, "c1", "u1", "renamed");
	assert_int_equal(history_count(history), 3);
	assert_string_equal(history_find(history, NULL, "c1")->pod, "renamed");
	/* Neither id nor UID: nothing to find it by. */
	note(history, NULL, NULL, "nobody");
	assert_int_equal(history_count(history), 3);
	history_free(history);
}

static void the_one_not_seen_for_longest_goes_first(void **state)
{
	struct history *history = history_new();

	(void)state;
	for (int i = 0; i < HISTORY_MAX; i++)
		note_number(history, i);
	assert_int_equal(history_count(history), HISTORY_MAX);
	note_number(history, 0);
	note_number(history, 500);
	note_number(history, HISTORY_MAX);
	note_number(history, HISTORY_MAX + 1);
	assert_int_equal(history_count(history), HISTORY_MAX);
	assert_true(has_number(history, 0));
	assert_false(has_number(history, 1));
	assert_false(has_number(history, 2));
	assert_true(has_number(history, 3));
	assert_true(has_number(history, HISTORY_MAX + 1));
	/* Several times around: every slot, bucket and neighbour changes. */
	for (int i = 0; i < 5 * HISTORY_MAX; i++)
		note_number(history, 100000 + i * 7 % (2 * HISTORY_MAX));
	assert_int_equal(history_count(history), HISTORY_MAX);
	assert_false(has_number(history, 0));
	history_free(history);
}

static void round_trip(void **state)
{
	const struct folder *folder = *state;
	struct history *history = history_new(), *copy = history_new();
	struct err err = {0};
	size_t bad = 99;
	struct stat st;

	note(history, "c1", "u1", "web-0");
	note(history, NULL, "u1", "odd \"name\"\n{\"pod\":\"x\"} \xc3\xa9\x1b[2J\\");
	note(history, "c2", "u1", "not UTF-8: \xff");
	assert_int_equal(history_save(history, folder->file, &err), 0);
	assert_int_equal(stat(folder->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(history_load(copy, folder->file, &bad, &err), 0);
	assert_int_equal(bad, 0);
	assert_int_equal(history_count(copy), 3);
	assert_string_equal(history_find(copy, NULL, "c1")->ns, "ns");
	assert_string_equal(history_find(copy, NULL, "c1")->pod_uid, "u1");
	assert_int_equal(history_find(copy, NULL, "c1")->last_seen, 1700000000);
	/* Hostile text stays text: it comes back as it was, in one line. */
	assert_string_equal(history_find(copy, "u1", NULL)->pod,
			    "odd \"name\"\n{\"pod\":\"x\"} \xc3\xa9\x1b[2J\\");
	assert_string_equal(history_find(copy, NULL, "c2")->pod, "not UTF-8: \\xff");
	history_free(history);
	history_free(copy);
}

static void order_survives_a_restart(void **state)
{
	const struct folder *folder = *state;
	struct history *history = history_new(), *copy = history_new();

	for (int i = 0; i < HISTORY_MAX; i++)
		note_number(history, i);
	note_number(history, 0);
	assert_int_equal(history_save(history, folder->file, NULL), 0);
	/* What is noted already is newer than the file. */
	note(copy, "new", "u", "pod");
	{
		struct history_entry entry = entry_of(NULL, "uid", "newer");

		history_set(entry.container_id, sizeof(entry.container_id),
			    "0000000000000000000000000000000000000000000000000000000000000003");
		history_note(copy, &entry);
	}
	assert_int_equal(history_load(copy, folder->file, NULL, NULL), 0);
	assert_int_equal(history_count(copy), HISTORY_MAX);
	assert_non_null(history_find(copy, NULL, "new"));
	assert_string_equal(
		history_find(copy, NULL,
			     "0000000000000000000000000000000000000000000000000000000000000003")
			->pod,
		"newer");
	assert_true(has_number(copy, 0));
	assert_false(has_number(copy, 1)); /* the oldest: there was no room */
	assert_true(has_number(copy, 2));
	note(copy, "another", "u", "pod");
	assert_false(has_number(copy, 2));
	assert_true(has_number(copy, 4));
	history_free(history);
	history_free(copy);
}

static void bad_lines_are_passed_over(void **state)
{
	static const char text[] =
		"{\"containerId\":\"a\",\"podUid\":\"u\",\"namespace\":\"n\",\"pod\":\"p\","
		"\"lastSeen\":5}\n"
		"\n"
		"not JSON\n"
		"{\"containerId\":\"b\",\"pod\":\"p\",\"lastSeen\":5\n"
		"[]\n"
		"\"text\"\n"
		"null\n"
		"{}\n"
		"{\"containerId\":7,\"pod\":\"p\",\"lastSeen\":5}\n"
		"{\"containerId\":\"c\",\"pod\":\"p\"}\n"
		"{\"containerId\":\"d\",\"pod\":\"p\",\"lastSeen\":-1}\n"
		"{\"containerId\":\"e\",\"pod\":\"p\",\"lastSeen\":\"5\"}\n"
		"{\"containerId\":\"f\",\"lastSeen\":5}\n"
		"{\"pod\":\"p\",\"lastSeen\":5}\n"
		"{\"containerId\":\"g\xff\",\"pod\":\"p\",\"lastSeen\":5}\n"
		"{\"containerId\":\"h\",\"pod\":\"p\",\"lastSeen\":5} {}\n"
		"\0\0\0\0\n"
		"{\"podUid\":\"u\",\"pod\":\"first\",\"lastSeen\":5}\n"
		"{\"podUid\":\"u\",\"pod\":\"last\",\"lastSeen\":9000000000000000,\"more\":[1]}\n"
		"{\"containerId\":\"cut of";
	const struct folder *folder = *state;
	struct history *history = history_new();
	time_t now = time(NULL);
	size_t bad = 0;

	write_file(folder->file, text, sizeof(text) - 1);
	assert_int_equal(history_load(history, folder->file, &bad, NULL), 0);
	assert_int_equal(bad, 16);
	assert_int_equal(history_count(history), 2);
	assert_string_equal(history_find(history, NULL, "a")->pod, "p");
	/* Of two lines the later one; a time that has not come is now. */
	assert_string_equal(history_find(history, "u", NULL)->pod, "last");
	assert_in_range(history_find(history, "u", NULL)->last_seen, now, now + 60);
	history_free(history);
}

static void long_fields_are_cut(void **state)
{
	const struct folder *folder = *state;
	struct history *history = history_new();
	_cleanup_free_ char *text = xcalloc(1, 70000);
	const struct history_entry *entry;
	struct history_entry cut;
	size_t bad = 0, n;

	/* A pod's name of 3000 two-byte characters, an id of 500, and a line that is too long to be ours. */
	n = (size_t)snprintf(
		text, 70000,
		"{\"containerId\":\"%0500d\",\"namespace\":\"%0300d\",\"lastSeen\":1,\"pod\":\"", 7,
		8);
	for (int i = 0; i < 3000; i++, n += 2)
		memcpy(text + n, "\xc3\xa9", 2);
	n += (size_t)snprintf(text + n, 70000 - n,
			      "\"}\n{\"podUid\":\"u\",\"lastSeen\":1,\"pod\":\"");
	memset(text + n, 'x', 40000);
	n += 40000;
	n += (size_t)snprintf(text + n, 70000 - n, "\"}\n");
	write_file(folder->file, text, n);
	assert_int_equal(history_load(history, folder->file, &bad, NULL), 0);
	assert_int_equal(bad, 1);
	assert_int_equal(history_count(history), 1);
	entry = history_find(
		history, NULL,
		"00000000000000000000000000000000000000000000000000000000000000000000000");
	assert_non_null(entry);
	assert_int_equal(strlen(entry->pod), 252); /* 253 would split a character */
	assert_true(text_is_utf8(entry->pod, strlen(entry->pod)));
	assert_int_equal(strlen(entry->ns), sizeof(entry->ns) - 1);
	history_free(history);

	history_set(cut.ns, sizeof(cut.ns), NULL);
	assert_string_equal(cut.ns, "");
	memset(text, '\x80', 200);
	text[200] = '\0';
	history_set(cut.ns, sizeof(cut.ns), text); /* no character's beginning anywhere */
	assert_int_equal(strlen(cut.ns), sizeof(cut.ns) - 4);
}

static void more_lines_than_fit(void **state)
{
	const struct folder *folder = *state;
	struct history *history = history_new();
	FILE *f = fopen(folder->file, "w");

	assert_non_null(f);
	for (int i = 0; i < HISTORY_MAX + 1000; i++)
		assert_true(fprintf(f, "{\"containerId\":\"%064x\",\"pod\":\"p\",\"lastSeen\":1}\n",
				    (unsigned int)i) > 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(history_load(history, folder->file, NULL, NULL), 0);
	assert_int_equal(history_count(history), HISTORY_MAX);
	assert_false(has_number(history, 999));
	assert_true(has_number(history, 1000));
	assert_true(has_number(history, HISTORY_MAX + 999));
	history_free(history);
}

static void files_that_are_none(void **state)
{
	const struct folder *folder = *state;
	_cleanup_free_ char *link = xasprintf("%s/link", folder->dir);
	_cleanup_free_ char *missing = xasprintf("%s/no/state", folder->dir);
	struct history *history = history_new();
	struct err err = {0};
	size_t bad = 7;

	assert_int_equal(history_load(history, folder->file, &bad, &err), 0);
	assert_int_equal(bad, 0);
	assert_int_equal(history_load(history, folder->dir, NULL, &err), -EINVAL);
	assert_int_equal(mkfifo(folder->file, 0600), 0);
	assert_int_equal(history_load(history, folder->file, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "no regular file"));
	assert_int_equal(symlink("/etc/passwd", link), 0);
	assert_int_equal(history_load(history, link, NULL, &err), -ELOOP);
	assert_int_equal(unlink(folder->file), 0);
	write_file(folder->file, "", 0);
	assert_int_equal(truncate(folder->file, (off_t)33 << 20), 0);
	assert_int_equal(history_load(history, folder->file, NULL, &err), -EFBIG);
	assert_int_equal(history_count(history), 0);

	note(history, "c", "u", "p");
	assert_int_equal(history_save(history, missing, &err), -ENOENT);
	/* A link in its place is replaced, not followed. */
	assert_int_equal(history_save(history, link, &err), 0);
	{
		struct stat st;

		assert_int_equal(lstat(link, &st), 0);
		assert_true(S_ISREG(st.st_mode));
	}
	history_free(history);
}

/* --- two agents, one file ------------------------------------------------------------------------------------------------ */

enum { SAVES = 40, ENTRIES = 300 };

static void *save_often(void *arg)
{
	struct history *history = history_new();
	intptr_t failed = 0;

	for (int i = 0; i < ENTRIES; i++)
		note_number(history, i);
	for (int i = 0; i < SAVES; i++)
		failed += history_save(history, arg, NULL) < 0;
	history_free(history);
	return (void *)failed;
}

static void readers_see_whole_files(void **state)
{
	const struct folder *folder = *state;
	pthread_t threads[2];

	assert_ptr_equal(save_often(folder->file), NULL);
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, save_often, folder->file), 0);
	for (int i = 0; i < SAVES; i++) {
		struct history *history = history_new();
		size_t bad = 1;

		assert_int_equal(history_load(history, folder->file, &bad, NULL), 0);
		assert_int_equal(bad, 0);
		assert_int_equal(history_count(history), ENTRIES);
		history_free(history);
	}
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		void *failed = NULL;

		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	/* Nothing is left beside it. */
	assert_int_equal(unlink(folder->file), 0);
	assert_int_equal(rmdir(folder->dir), 0);
	assert_int_equal(mkdir(folder->dir, 0700), 0);
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_by_container_and_by_pod),
		cmocka_unit_test(the_one_not_seen_for_longest_goes_first),
		in_folder(round_trip),
		in_folder(order_survives_a_restart),
		in_folder(bad_lines_are_passed_over),
		in_folder(long_fields_are_cut),
		in_folder(more_lines_than_fit),
		in_folder(files_that_are_none),
		in_folder(readers_see_whole_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
