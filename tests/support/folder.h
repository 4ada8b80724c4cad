/* SPDX-License-Identifier: Apache-2.0 */
/* Folders below /tmp for files that a test writes; plant.h has those on a disk. Whatever fails here fails the test. */
#ifndef MEMDIAG_TESTS_FOLDER_H
#define MEMDIAG_TESTS_FOLDER_H

/* A new, empty one; the caller frees the path. */
char *folder_new(void);
/* With all that is in it. -1: something was left. */
int folder_remove(const char *dir);
/* Writes dir/rel, making its folders. */
void folder_put(const char *dir, const char *rel, const char *text);

/* For cmocka: *state is the path of a folder that the test has for itself. */
int folder_setup(void **state);
int folder_teardown(void **state);

#endif
