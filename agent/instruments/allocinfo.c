/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/allocinfo.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

static int by_site(const void *pa, const void *pb)
{
	const struct alloc_site *a = pa, *b = pb;
	int r = strcmp(a->where, b->where);

	if (r == 0)
		r = strcmp(a->function, b->function);
	return r ? r : strcmp(a->module ? a->module : "", b->module ? b->module : "");
}

/* A number and the blanks around it; what follows is *s then. */
static int take_number(const char **s, uint64_t *ret)
{
	char digits[24] = "";
	size_t n;

	*s += strspn(*s, " ");
	n = strspn(*s, "0123456789");
	if (n == 0 || n >= sizeof(digits) || (*s)[n] != ' ')
		return -EINVAL;
	memcpy(digits, *s, n);
	*s += n + strspn(*s + n, " ");
	return num_u64(digits, 0, UINT64_MAX, ret);
}

/* "  4096  1 drivers/net/veth.c:1412 [veth] func:veth_alloc_queues" */
static int parse_line(const char *line, struct alloc_site *ret)
{
	size_t n;

	if (take_number(&line, &ret->bytes) < 0 || take_number(&line, &ret->calls) < 0 ||
	    ret->bytes > KEYVALUE_MAX)
		return -EINVAL;
	n = strcspn(line, " \n");
	if (n == 0)
		return -EINVAL;
	ret->where = xstrndup(line, n);
	line += n + strspn(line + n, " ");
	if (*line == '[') {
		n = strcspn(line, "]\n");
		ret->module = xstrndup(line + 1, n - 1);
		line += n + (line[n] == ']');
		line += strspn(line, " ");
	}
	n = strncmp(line, "func:", 5) == 0 ? 5 : 0;
	ret->function = xstrndup(line + n, n ? strcspn(line + n, " \n") : 0);
	return 0;
}

static void free_site(struct alloc_site *site)
{
	free(site->where);
	free(site->module);
	free(site->function);
}

struct allocinfo *allocinfo_parse(const char *text, struct parse_notes *notes)
{
	struct allocinfo *info = xcalloc(1, sizeof(*info));
	size_t cap = 0;

	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		struct alloc_site site = {0};

		line += *line == '\n';
		/* "allocinfo - version: 1.0" and "#     <size>  <calls> <tag info>" */
		if (*line == '\0' || *line == '\n' || *line == '#' ||
		    strncmp(line, "allocinfo ", 10) == 0)
			continue;
		if (parse_line(line, &site) < 0) {
			parse_note(notes, "allocinfo", line, "not a size, a count and a place");
			continue;
		}
		if (site.bytes == 0 || info->n == ALLOCINFO_MAX_SITES) {
			info->dropped += site.bytes > 0;
			free_site(&site);
			continue;
		}
		if (info->n == cap) {
			cap = cap ? cap * 2 : 256;
			info->sites = xreallocarray(info->sites, cap, sizeof(*info->sites));
		}
		info->sites[info->n++] = site;
	}
	if (info->n > 1)
		qsort(info->sites, info->n, sizeof(*info->sites), by_site);
	return info;
}

int allocinfo_read(const struct root *proc, struct allocinfo **ret, struct parse_notes *notes,
		   struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(ROOT_FILE_MAX);
	struct allocinfo *info;
	int r = root_read(proc, "allocinfo", &text, err);

	if (r < 0)
		return r;
	info = allocinfo_parse(text.data ? text.data : "", notes);
	if (info->n == 0) {
		allocinfo_free(info);
		return err_say(err, ENODATA, "allocation profiling is off (vm.mem_profiling)");
	}
	*ret = info;
	return 0;
}

void allocinfo_free(struct allocinfo *info)
{
	if (!info)
		return;
	for (size_t i = 0; i < info->n; i++)
		free_site(&info->sites[i]);
	free(info->sites);
	free(info);
}

const struct alloc_site *allocinfo_find(const struct allocinfo *info, const struct alloc_site *site)
{
	if (!info || info->n == 0)
		return NULL;
	return bsearch(site, info->sites, info->n, sizeof(*info->sites), by_site);
}
