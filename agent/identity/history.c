/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/history.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "base/tree.h"

enum {
	N_BUCKETS = 16384, /* a power of two */
	MAX_LINE = 16384,  /* bytes; a full entry of characters that JSON escapes is 3.5 KiB */
	MAX_STATE_FILE = 32 << 20, /* bytes: HISTORY_MAX such entries */
	NONE = -1,
};

/* Entries are in one array and know each other by index: by last use, and in the chain of their bucket. */
struct slot {
	struct history_entry entry;
	int32_t older, newer;
	int32_t next;
};

struct history {
	struct slot *slots;
	int32_t n, cap;
	int32_t oldest, newest;
	int32_t buckets[N_BUCKETS];
};

struct history *history_new(void)
{
	struct history *history = xcalloc(1, sizeof(*history));

	history->oldest = history->newest = NONE;
	for (size_t i = 0; i < N_BUCKETS; i++)
		history->buckets[i] = NONE;
	return history;
}

void history_free(struct history *history)
{
	if (!history)
		return;
	free(history->slots);
	free(history);
}

size_t history_count(const struct history *history)
{
	return (size_t)history->n;
}

void history_set(char *field, size_t size, const char *value)
{
	size_t n = value ? strnlen(value, size) : 0;

	if (n == size) {
		n--;
		for (int i = 0; i < 3 && n > 0 && ((unsigned char)value[n] & 0xc0) == 0x80; i++)
			n--;
	}
	memcpy(field, value ? value : "", n);
	field[n] = '\0';
}

/* Pods and containers do not share keys: a UID is not 64 hex digits, and entries are told apart by container_id. */
static const char *key_of(const struct history_entry *entry)
{
	return *entry->container_id ? entry->container_id : entry->pod_uid;
}

static int32_t *bucket_of(struct history *history, const char *key)
{
	return &history->buckets[num_hash(key, strlen(key)) & (N_BUCKETS - 1)];
}

static int32_t find(const struct history *history, const char *key, bool container)
{
	int32_t i = *bucket_of((struct history *)history, key);

	for (; i != NONE; i = history->slots[i].next) {
		const struct history_entry *entry = &history->slots[i].entry;

		if (strcmp(key_of(entry), key) == 0 && (*entry->container_id != '\0') == container)
			break;
	}
	return i;
}

const struct history_entry *history_find(const struct history *history, const char *pod_uid,
					 const char *container_id)
{
	bool container = container_id && *container_id;
	const char *key = container ? container_id : pod_uid;
	int32_t i = key && *key ? find(history, key, container) : NONE;

	return i == NONE ? NULL : &history->slots[i].entry;
}

static void unlink_slot(struct history *history, int32_t i)
{
	struct slot *slot = &history->slots[i];

	*(slot->older == NONE ? &history->oldest : &history->slots[slot->older].newer) =
		slot->newer;
	*(slot->newer == NONE ? &history->newest : &history->slots[slot->newer].older) =
		slot->older;
}

static void link_newest(struct history *history, int32_t i)
{
	struct slot *slot = &history->slots[i];

	slot->older = history->newest;
	slot->newer = NONE;
	*(slot->older == NONE ? &history->oldest : &history->slots[slot->older].newer) = i;
	history->newest = i;
}

static void link_oldest(struct history *history, int32_t i)
{
	struct slot *slot = &history->slots[i];

	slot->older = NONE;
	slot->newer = history->oldest;
	*(slot->newer == NONE ? &history->newest : &history->slots[slot->newer].older) = i;
	history->oldest = i;
}

/* Takes the oldest entry out of its bucket and of the order; its slot is free for another. */
static int32_t evict_oldest(struct history *history)
{
	int32_t victim = history->oldest;
	int32_t *at = bucket_of(history, key_of(&history->slots[victim].entry));

	while (*at != victim)
		at = &history->slots[*at].next;
	*at = history->slots[victim].next;
	unlink_slot(history, victim);
	return victim;
}

static int32_t new_slot(struct history *history)
{
	if (history->n == HISTORY_MAX)
		return evict_oldest(history);
	if (history->n == history->cap) {
		history->cap = history->cap ? history->cap * 2 : 64;
		history->slots = xreallocarray(history->slots, (size_t)history->cap,
					       sizeof(*history->slots));
	}
	return history->n++;
}

/* Puts an entry that is not there yet into a slot and its bucket, not into the order. */
static int32_t insert(struct history *history, const struct history_entry *entry)
{
	int32_t i = new_slot(history);
	int32_t *bucket = bucket_of(history, key_of(entry));

	history->slots[i].entry = *entry;
	history->slots[i].next = *bucket;
	*bucket = i;
	return i;
}

void history_note(struct history *history, const struct history_entry *entry)
{
	const char *key = key_of(entry);
	int32_t i;

	if (!*key)
		return;
	i = find(history, key, *entry->container_id != '\0');
	if (i == NONE) {
		i = insert(history, entry);
	} else {
		history->slots[i].entry = *entry;
		unlink_slot(history, i);
	}
	link_newest(history, i);
}

/* --- the state file ------------------------------------------------------------------------------------------------------ */

static const struct {
	const char *name;
	size_t offset, size;
} fields[] = {
	{"containerId", offsetof(struct history_entry, container_id),
	 sizeof(((struct history_entry *)0)->container_id)},
	{"podUid", offsetof(struct history_entry, pod_uid),
	 sizeof(((struct history_entry *)0)->pod_uid)},
	{"namespace", offsetof(struct history_entry, ns), sizeof(((struct history_entry *)0)->ns)},
	{"pod", offsetof(struct history_entry, pod), sizeof(((struct history_entry *)0)->pod)},
	{"container", offsetof(struct history_entry, container),
	 sizeof(((struct history_entry *)0)->container)},
};

/* False: not one of our lines. */
static bool parse_line(const char *line, size_t n, time_t now, struct history_entry *ret)
{
	_cleanup_tree_ cJSON *tree = NULL;
	int64_t seen;

	if (n > MAX_LINE || tree_parse_json(line, n, &tree, NULL) < 0 || !cJSON_IsObject(tree))
		return false;
	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const cJSON *member = tree_member(tree, fields[i].name);

		if (member && !cJSON_IsString(member))
			return false;
		history_set((char *)ret + fields[i].offset, fields[i].size,
			    cJSON_GetStringValue(member));
	}
	if (!tree_int(tree, "lastSeen", &seen) || seen < 0)
		return false;
	ret->last_seen = seen > now ? now : (time_t)seen; /* the clock was ahead */
	return *key_of(ret) && *ret->pod;
}

static int read_state(const char *path, struct buf *text, struct err *err)
{
	/* O_NONBLOCK: a FIFO in its place must not stop the agent. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	char chunk[65536];
	struct stat st;
	ssize_t n;

	if (fd < 0)
		return errno == ENOENT ? 0 : err_set(err, errno, "cannot open %s", path);
	if (fstat(fd, &st) < 0)
		return err_set(err, errno, "cannot stat %s", path);
	if (!S_ISREG(st.st_mode))
		return err_say(err, EINVAL, "%s is no regular file", path);
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, errno, "cannot read %s", path);
		if (buf_append(text, chunk, (size_t)n) < 0)
			return err_say(err, EFBIG, "%s is larger than %zu bytes", path, text->max);
	}
	return 0;
}

/* Backwards, so that of a file with more than fits the newest are kept, each behind everything that is noted already. */
int history_load(struct history *history, const char *path, size_t *ret_bad, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(MAX_STATE_FILE);
	time_t now = time(NULL);
	size_t end, bad = 0;
	int r = read_state(path, &text, err);

	if (r < 0)
		return r;
	for (end = text.len; end > 0;) {
		const char *newline = memrchr(text.data, '\n', end);
		size_t start = newline ? (size_t)(newline - text.data) + 1 : 0;
		struct history_entry entry;

		if (start < end && !parse_line(text.data + start, end - start, now, &entry))
			bad++;
		else if (start < end && history->n < HISTORY_MAX &&
			 find(history, key_of(&entry), *entry.container_id != '\0') == NONE)
			link_oldest(history, insert(history, &entry));
		end = start > 0 ? start - 1 : 0;
	}
	if (ret_bad)
		*ret_bad = bad;
	return 0;
}

static int print_entry(const struct history_entry *entry, struct buf *out)
{
	_cleanup_tree_ cJSON *tree = cJSON_CreateObject();
	_cleanup_free_ char *line = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const char *value = (const char *)entry + fields[i].offset;

		/* As it is when JSON can hold it, so that it comes back the same. */
		if (text_is_utf8(value, strlen(value)))
			cJSON_AddStringToObject(tree, fields[i].name, value);
		else
			tree_add_str(tree, fields[i].name, value);
	}
	tree_add_int(tree, "lastSeen", (int64_t)entry->last_seen);
	line = tree_print_json(tree, false);
	return buf_printf(out, "%s\n", line);
}

static int write_all(int fd, const char *data, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, data, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		data += done;
		n -= (size_t)done;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* The rename itself is on disk only after its folder is. */
static int sync_folder(const char *path)
{
	_cleanup_free_ char *folder = xstrdup(path);
	char *slash = strrchr(folder, '/');
	_cleanup_close_ int fd = -1;

	if (slash)
		slash[slash == folder] = '\0';
	fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int history_save(const struct history *history, const char *path, struct err *err)
{
	_cleanup_free_ char *beside = xasprintf("%s.XXXXXX", path);
	_cleanup_buf_ struct buf text = BUF_INIT(MAX_STATE_FILE);
	_cleanup_close_ int fd = -1;
	int r = 0;

	for (int32_t i = history->oldest; i != NONE && r == 0; i = history->slots[i].newer)
		r = print_entry(&history->slots[i].entry, &text);
	if (r < 0)
		return err_set(err, -r, "cannot write %s", path);
	fd = mkostemp(beside, O_CLOEXEC); /* mode 0600; two writers have two files */
	if (fd < 0)
		return err_set(err, errno, "cannot make a file beside %s", path);
	r = write_all(fd, text.data, text.len);
	if (r == 0 && rename(beside, path) < 0)
		r = -errno;
	if (r < 0) {
		(void)unlink(beside);
		return err_set(err, -r, "cannot write %s", path);
	}
	r = sync_folder(path);
	return r < 0 ? err_set(err, -r, "cannot sync the folder of %s", path) : 0;
}
