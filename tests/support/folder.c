/* SPDX-License-Identifier: Apache-2.0 */
#include "support/folder.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/mem.h"

char *folder_new(void)
{
	char *dir = xstrdup("/tmp/memdiag-test-XXXXXX");

	if (!mkdtemp(dir))
		fail_msg("mkdtemp %s: %s", dir, strerror(errno));
	return dir;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

int folder_remove(const char *dir)
{
	return nftw(dir, remove_one, 64, FTW_DEPTH | FTW_PHYS);
}

void folder_put(const char *dir, const char *rel, const char *text)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, rel);
	FILE *f;

	for (char *slash = strchr(path + strlen(dir) + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0755);
		*slash = '/';
	}
	f = fopen(path, "we");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

int folder_setup(void **state)
{
	*state = folder_new();
	return 0;
}

int folder_teardown(void **state)
{
	int r = folder_remove(*state);

	free(*state);
	return r;
}
