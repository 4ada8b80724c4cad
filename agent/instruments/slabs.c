/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/slabs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/num.h"

/*
 * # name <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables <limit> <batchcount> <sharedfactor> : slabdata
 * <active_slabs> <num_slabs> <sharedavail>
 */
#define TUNABLES " : tunables "
#define SLABDATA " : slabdata "

enum { LINE_MAX_BYTES = 512 };

/* The n numbers that text consists of, separated by blanks. */
static int numbers(char *text, uint64_t *v, size_t n)
{
	char *word;
	size_t i = 0;

	while ((word = strsep(&text, " "))) {
		int r;

		if (!*word)
			continue;
		if (i == n)
			return -EINVAL;
		r = num_u64(word, 0, KEYVALUE_MAX, &v[i++]);
		if (r < 0)
			return r;
	}
	return i == n ? 0 : -EINVAL;
}

/* Where the last n words of text begin; NULL: it has no more than these. */
static char *last_words(char *text, size_t n)
{
	char *at = text + strlen(text);

	while (n-- > 0) {
		while (at > text && at[-1] == ' ')
			at--;
		while (at > text && at[-1] != ' ')
			at--;
	}
	return at > text ? at : NULL;
}

/* line is changed. -EINVAL: no line of a cache; -ERANGE: a number is too large. */
static int parse_line(char *line, uint64_t page_size, struct slab_cache *ret)
{
	char *tunables = strstr(line, TUNABLES);
	char *slabdata = tunables ? strstr(tunables, SLABDATA) : NULL, *sizes;
	uint64_t size[5], slabs[3], bytes;
	size_t len;
	int r;

	if (!slabdata)
		return -EINVAL;
	*tunables = '\0';
	sizes = last_words(line, ARRAY_SIZE(size));
	if (!sizes)
		return -EINVAL;
	r = numbers(sizes, size, ARRAY_SIZE(size));
	if (r == 0)
		r = numbers(slabdata + strlen(SLABDATA), slabs, ARRAY_SIZE(slabs));
	if (r < 0)
		return r;
	if (__builtin_mul_overflow(slabs[1], size[4], &bytes) ||
	    __builtin_mul_overflow(bytes, page_size, &bytes) || bytes > KEYVALUE_MAX)
		return -ERANGE;
	memset(ret, 0, sizeof(*ret));
	len = (size_t)(sizes - line);
	while (len > 0 && line[len - 1] == ' ')
		len--;
	if (len == 0)
		return -EINVAL;
	memcpy(ret->name, line, len < SLABS_NAME ? len : SLABS_NAME - 1);
	ret->active = size[0];
	ret->objects = size[1];
	ret->object_size = size[2];
	ret->bytes = bytes;
	return 0;
}

static int by_name(const void *pa, const void *pb)
{
	const struct slab_cache *a = pa, *b = pb;

	return strcmp(a->name, b->name);
}

static int by_bytes(const void *pa, const void *pb)
{
	const struct slab_cache *a = pa, *b = pb;

	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	return strcmp(a->name, b->name);
}

static void merge_names(struct slabs_snapshot *s)
{
	size_t kept = 0;

	if (s->n == 0)
		return;
	qsort(s->caches, s->n, sizeof(*s->caches), by_name);
	for (size_t i = 1; i < s->n; i++) {
		struct slab_cache *into = &s->caches[kept], *from = &s->caches[i];

		if (strcmp(into->name, from->name) != 0) {
			s->caches[++kept] = *from;
			continue;
		}
		into->objects += from->objects;
		into->active += from->active;
		into->bytes += from->bytes;
	}
	s->n = kept + 1;
}

static void add(struct slabs_snapshot *s, const struct slab_cache *cache)
{
	s->bytes += cache->bytes;
	if (s->n == SLABS_MAX) {
		s->dropped++;
		return;
	}
	if ((s->n & (s->n - 1)) == 0)
		s->caches = xreallocarray(s->caches, s->n ? s->n * 2 : 1, sizeof(*s->caches));
	s->caches[s->n++] = *cache;
}

struct slabs_snapshot *slabs_parse(const char *text, uint64_t page_size)
{
	struct slabs_snapshot *s = xcalloc(1, sizeof(*s));
	const char *line, *end;

	for (line = text; line && *line; line = *end ? end + 1 : end) {
		char copy[LINE_MAX_BYTES];
		struct slab_cache cache;
		size_t len = strcspn(line, "\n");
		int r;

		end = line + len;
		if (len == 0 || *line == '#' || strncmp(line, "slabinfo - version", 18) == 0)
			continue;
		if (len >= sizeof(copy)) {
			parse_note(&s->notes, "slabinfo", line, "too long");
			continue;
		}
		memcpy(copy, line, len);
		copy[len] = '\0';
		/* Without its end the last number may be cut. */
		r = *end ? parse_line(copy, page_size, &cache) : -EINVAL;
		if (r < 0)
			parse_note(&s->notes, "slabinfo", line,
				   r == -ERANGE ? "too large" : "no line of a cache");
		else
			add(s, &cache);
	}
	merge_names(s);
	if (s->n > 1)
		qsort(s->caches, s->n, sizeof(*s->caches), by_bytes);
	return s;
}

static void read_reclaim(const struct root *sys, struct slabs_snapshot *s)
{
	for (size_t i = 0; i < s->n; i++) {
		_cleanup_free_ char *rel = xasprintf("%s/reclaim_account", s->caches[i].name);
		unsigned long long v;

		if (strchr(s->caches[i].name, '/') || root_read_u64(sys, rel, &v, NULL) < 0)
			continue;
		s->caches[i].reclaim = v ? SLAB_RECLAIMABLE : SLAB_UNRECLAIMABLE;
		s->reclaim_source = "/sys/kernel/slab/*/reclaim_account";
	}
}

int slabs_read(const struct root *proc, const struct root *sys, struct slabs_snapshot **ret,
	       struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT((size_t)4 << 20);
	int r = root_read(proc, "slabinfo", &text, err);

	if (r < 0)
		return r;
	*ret = slabs_parse(text.data, (uint64_t)sysconf(_SC_PAGESIZE));
	if (sys)
		read_reclaim(sys, *ret);
	return 0;
}

void slabs_snapshot_free(struct slabs_snapshot *s)
{
	if (!s)
		return;
	free(s->caches);
	free(s);
}

const struct slab_cache *slabs_find(const struct slabs_snapshot *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++) {
		if (strcmp(s->caches[i].name, name) == 0)
			return &s->caches[i];
	}
	return NULL;
}
