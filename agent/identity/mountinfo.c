/* SPDX-License-Identifier: Apache-2.0 */
#include "identity/mountinfo.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

/* Undoes mountinfo's \ooo escapes in place. */
static void unescape(char *s)
{
	char *out = s;

	while (*s) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' &&
		    s[3] >= '0' && s[3] <= '7') {
			*out++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 4;
		} else {
			*out++ = *s++;
		}
	}
	*out = '\0';
}

static int parse_device(const char *text, uint32_t *major, uint32_t *minor)
{
	char part[16] = "";
	const char *colon = strchr(text, ':');
	uint64_t a, b;

	if (!colon || (size_t)(colon - text) >= sizeof(part))
		return -EINVAL;
	memcpy(part, text, (size_t)(colon - text));
	if (num_u64(part, 0, UINT32_MAX, &a) < 0 || num_u64(colon + 1, 0, UINT32_MAX, &b) < 0)
		return -EINVAL;
	*major = (uint32_t)a;
	*minor = (uint32_t)b;
	return 0;
}

/*
 * "36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw,errors=continue": after the sixth field come optional
 * ones, up to a single "-".
 */
static int parse_line(struct mountinfo_line *out, char *line)
{
	char *fields[6], *rest = line, *fstype, *source;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		fields[i] = strsep(&rest, " ");
		if (!fields[i])
			return -EINVAL;
	}
	while (rest && strncmp(rest, "- ", 2) != 0)
		(void)strsep(&rest, " ");
	if (!rest || parse_device(fields[2], &out->major, &out->minor) < 0 || fields[3][0] != '/' ||
	    fields[4][0] != '/')
		return -EINVAL;
	rest += 2;
	fstype = strsep(&rest, " ");
	source = strsep(&rest, " ");
	if (!source)
		return -EINVAL;
	unescape(fields[3]);
	unescape(fields[4]);
	out->root = xstrdup(fields[3]);
	out->point = xstrdup(fields[4]);
	out->fstype = xstrdup(fstype);
	out->options = xstrdup(rest ? rest : "");
	unescape(out->options);
	return 0;
}

void mountinfo_parse(struct mountinfo *info, char *text)
{
	char *line;

	while ((line = strsep(&text, "\n"))) {
		if (*line == '\0')
			continue;
		if (info->n == MOUNTINFO_MAX) {
			info->dropped++;
			continue;
		}
		if (info->n == info->cap) {
			info->cap = info->cap ? info->cap * 2 : 64;
			info->lines = xreallocarray(info->lines, info->cap, sizeof(*info->lines));
		}
		if (parse_line(&info->lines[info->n], line) < 0)
			info->bad++;
		else
			info->n++;
	}
}

int mountinfo_read(struct mountinfo *info, const struct root *proc, uint32_t pid, struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(ROOT_FILE_MAX);
	char rel[32];
	int r;

	(void)snprintf(rel, sizeof(rel), "%u/mountinfo", pid);
	r = root_read(proc, rel, &text, err);
	if (r < 0)
		return r;
	mountinfo_parse(info, text.data);
	return 0;
}

void mountinfo_done(struct mountinfo *info)
{
	for (size_t i = 0; i < info->n; i++) {
		free(info->lines[i].root);
		free(info->lines[i].point);
		free(info->lines[i].fstype);
		free(info->lines[i].options);
	}
	free(info->lines);
	memset(info, 0, sizeof(*info));
}

const char *mountinfo_below(const char *path, const char *root)
{
	size_t n = strlen(root);

	if (strcmp(root, "/") == 0)
		return path;
	if (strncmp(path, root, n) != 0 || (path[n] != '/' && path[n] != '\0'))
		return NULL;
	return path + n;
}
