/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/ksyms.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/num.h"

/* KSYM_NAME_LEN is 512 since 6.1 (b8a94bfb3395), a module's name is below 64, and the address takes 16. */
#define LINE_BYTES 1024
/* The arena's offsets are 32 bits wide. */
#define TEXT_MAX ((size_t)64 << 20)

struct symbol {
	uint64_t address;
	uint32_t name;	 /* in the arena */
	uint32_t module; /* in the arena; 0: the kernel itself */
};

/* All names live in one arena; the modules' are there once each. Offset 0 is the empty name. */
struct ksyms {
	struct symbol *symbols; /* ascending by address, one for each */
	size_t n, cap;
	char *text;
	size_t text_len, text_cap;
	uint32_t last_module;
};

static uint32_t text_add(struct ksyms *k, const char *s, size_t n)
{
	size_t at = k->text_len;

	if (at + n + 1 > k->text_cap) {
		k->text_cap = (at + n + 1) * 3 / 2 + 4096;
		k->text = xreallocarray(k->text, k->text_cap, 1);
	}
	memcpy(k->text + at, s, n);
	k->text[at + n] = '\0';
	k->text_len = at + n + 1;
	return (uint32_t)at;
}

/* A module's symbols follow each other. */
static uint32_t module_add(struct ksyms *k, const char *s, size_t n)
{
	const char *last = k->text + k->last_module;

	if (strncmp(last, s, n) != 0 || last[n] != '\0')
		k->last_module = text_add(k, s, n);
	return k->last_module;
}

/* What stands before functions for the sake of patching and type checks; nothing is ever running there. */
static bool is_padding(const char *name)
{
	return strncmp(name, "__pfx_", 6) == 0 || strncmp(name, "__cfi_", 6) == 0;
}

/* Where the words of "ffffffffc0000000 t name\t[module]" are. */
struct words {
	uint64_t address;
	char type;
	const char *name, *module;
	size_t name_len, module_len;
};

static bool split(const char *line, struct words *w)
{
	size_t n = strcspn(line, " ");

	memset(w, 0, sizeof(*w));
	if (num_hex(line, n, &w->address) < 0 || line[n] != ' ' || !line[n + 1] ||
	    line[n + 2] != ' ')
		return false;
	w->type = line[n + 1];
	w->name = line + n + 3;
	w->name_len = strcspn(w->name, "\t");
	if (w->name_len == 0)
		return false;
	if (w->name[w->name_len] == '\0')
		return true;
	w->module = w->name + w->name_len + 1;
	w->module_len = strlen(w->module);
	if (w->module_len < 3 || w->module[0] != '[' || w->module[w->module_len - 1] != ']')
		return false;
	w->module++;
	w->module_len -= 2;
	return true;
}

/* Names are compiled into the kernel; what is not plain is not one, and reports quote them. */
static bool is_plain(const char *s)
{
	for (; *s; s++) {
		if ((*s < ' ' && *s != '\t') || *s > '~')
			return false;
	}
	return true;
}

static int add_line(struct ksyms *k, const char *line, bool *hidden, const char *file,
		    struct parse_notes *notes, struct err *err)
{
	struct symbol *s;
	struct words w;

	if (!is_plain(line) || !split(line, &w)) {
		parse_note(notes, file, line, "not a symbol");
		return 0;
	}
	if (!strchr("tTwW", w.type) || is_padding(w.name))
		return 0;
	if (w.address == 0) {
		*hidden = true;
		return 0;
	}
	if (k->n == KSYMS_MAX || k->text_len > TEXT_MAX)
		return err_say(err, EFBIG, "%s has more than %zu functions", file, k->n);
	if (k->n == k->cap) {
		k->cap = k->cap ? k->cap * 3 / 2 : 8192;
		k->symbols = xreallocarray(k->symbols, k->cap, sizeof(*k->symbols));
	}
	s = &k->symbols[k->n++];
	s->address = w.address;
	s->name = text_add(k, w.name, w.name_len);
	s->module = w.module ? module_add(k, w.module, w.module_len) : 0;
	return 0;
}

/* Of several at one address the first in the file is the first in the arena, too. */
static int by_address(const void *pa, const void *pb)
{
	const struct symbol *a = pa, *b = pb;

	if (a->address != b->address)
		return a->address > b->address ? 1 : -1;
	return (a->name > b->name) - (a->name < b->name);
}

static void finish(struct ksyms *k)
{
	size_t out = 1;

	qsort(k->symbols, k->n, sizeof(*k->symbols), by_address);
	for (size_t i = 1; i < k->n; i++) {
		if (k->symbols[i].address != k->symbols[out - 1].address)
			k->symbols[out++] = k->symbols[i];
	}
	k->n = out;
	k->symbols = xreallocarray(k->symbols, k->n, sizeof(*k->symbols));
	k->text = xreallocarray(k->text, k->text_len, 1);
}

DEFINE_CLEANUP(ksyms, struct ksyms *, ksyms_free);

int ksyms_read(FILE *f, const char *name, struct ksyms **ret, struct parse_notes *notes,
	       struct err *err)
{
	_cleanup_(ksyms_cleanup) struct ksyms *k = xcalloc(1, sizeof(*k));
	char line[LINE_BYTES];
	bool hidden = false;

	(void)text_add(k, "", 0);
	while (fgets(line, sizeof(line), f)) {
		int r;

		line[strcspn(line, "\n")] = '\0';
		r = add_line(k, line, &hidden, name, notes, err);
		if (r < 0)
			return r;
	}
	if (ferror(f))
		return err_set(err, errno ? errno : EIO, "cannot read %s", name);
	if (k->n == 0 && hidden)
		return err_say(
			err, EPERM,
			"%s shows no addresses: it takes CAP_SYSLOG and kernel.kptr_restrict "
			"below 2",
			name);
	if (k->n == 0)
		return err_say(err, ENODATA, "%s has no function", name);
	finish(k);
	*ret = take_ptr(k);
	return 0;
}

int ksyms_load(const struct root *proc, struct ksyms **ret, struct err *err)
{
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *name = xasprintf("%s/kallsyms", proc->path);
	_cleanup_close_ int fd = root_open_file(proc, "kallsyms", err);

	if (fd < 0)
		return fd;
	f = fdopen(fd, "r");
	if (!f)
		return err_set(err, errno, "cannot read %s", name);
	(void)take_fd(fd);
	return ksyms_read(f, name, ret, NULL, err);
}

void ksyms_free(struct ksyms *k)
{
	if (!k)
		return;
	free(k->symbols);
	free(k->text);
	free(k);
}

/* The last symbol at or below the address. */
static const struct symbol *find(const struct ksyms *k, uint64_t address)
{
	size_t low = 0, high = k ? k->n : 0;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (k->symbols[middle].address <= address)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || address - k->symbols[low - 1].address >= KSYMS_SPAN_MAX)
		return NULL;
	return &k->symbols[low - 1];
}

const char *ksyms_name(const struct ksyms *k, uint64_t address, char *out, size_t n)
{
	const struct symbol *s = find(k, address);

	if (!s)
		(void)snprintf(out, n, "0x%llx", (unsigned long long)address);
	else
		(void)snprintf(out, n, "%s+0x%llx%s%s%s", k->text + s->name,
			       (unsigned long long)(address - s->address), s->module ? " [" : "",
			       k->text + s->module, s->module ? "]" : "");
	return out;
}

const char *ksyms_function(const struct ksyms *k, uint64_t address)
{
	const struct symbol *s = find(k, address);

	return s ? k->text + s->name : NULL;
}

uint64_t ksyms_address(const struct ksyms *k, const char *function)
{
	for (size_t i = 0; k && i < k->n; i++) {
		if (strcmp(k->text + k->symbols[i].name, function) == 0)
			return k->symbols[i].address;
	}
	return 0;
}

uint64_t ksyms_end(const struct ksyms *k, uint64_t begin)
{
	const struct symbol *s = find(k, begin);
	uint64_t most = begin + KSYMS_SPAN_MAX;

	if (!s || s->address != begin)
		return begin;
	return s + 1 < k->symbols + k->n && s[1].address < most ? s[1].address : most;
}

size_t ksyms_count(const struct ksyms *k)
{
	return k ? k->n : 0;
}
