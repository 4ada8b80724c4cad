/* SPDX-License-Identifier: Apache-2.0 */
#include "base/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"

int root_open(struct root *root, const char *path, struct err *err)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, errno, "cannot open directory %s", path);
	root->fd = fd;
	root->path = xstrdup(path);
	return 0;
}

void root_close(struct root *root)
{
	if (root->fd >= 0)
		(void)close(root->fd);
	root->fd = -1;
	free(root->path);
	root->path = NULL;
}

int root_open_file(const struct root *root, const char *rel, struct err *err)
{
	int fd = openat(root->fd, rel, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_set(err, errno, "cannot open %s/%s", root->path, rel);
	return fd;
}

int root_read(const struct root *root, const char *rel, struct buf *out, struct err *err)
{
	_cleanup_close_ int fd = root_open_file(root, rel, err);
	char chunk[16384];
	ssize_t n;

	if (fd < 0)
		return fd;
	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set(err, errno, "cannot read %s/%s", root->path, rel);
		if (buf_append(out, chunk, (size_t)n) < 0)
			return err_set(err, EFBIG, "%s/%s is larger than %zu bytes", root->path,
				       rel, out->max);
	}
	return 0;
}

int root_read_u64(const struct root *root, const char *rel, unsigned long long *ret,
		  struct err *err)
{
	_cleanup_buf_ struct buf text = BUF_INIT(64);
	uint64_t v;
	int r = root_read(root, rel, &text, err);

	if (r < 0)
		return r;
	if (text.len > 0 && text.data[text.len - 1] == '\n')
		text.data[--text.len] = '\0';
	if (text.data && strcmp(text.data, "max") == 0) {
		*ret = UINT64_MAX;
		return 0;
	}
	r = num_u64(text.data ? text.data : "", 0, UINT64_MAX, &v);
	if (r < 0)
		return err_set(err, -r, "%s/%s holds no number", root->path, rel);
	*ret = v;
	return 0;
}
