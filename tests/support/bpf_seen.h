/* SPDX-License-Identifier: Apache-2.0 */
/* Which BPF programs the kernel has, as bpftool would list them. */
#ifndef MEMDIAG_TESTS_BPF_SEEN_H
#define MEMDIAG_TESTS_BPF_SEEN_H

#include <stddef.h>

/* How many loaded programs have one of these names (the kernel keeps 15 bytes); the list ends with NULL. */
size_t bpf_seen(const char *const *names);
/* The same, but waits up to 5 s for there to be none: links are freed behind the kernel's grace periods. */
size_t bpf_seen_after(const char *const *names);
/*
 * Nothing stays in the kernel of what is opened, at least so many programs: not behind close_it(), and not when the process that
 * has it open is killed. open_it() returns NULL when it fails. Fails the test.
 */
void bpf_seen_leaves_nothing(const char *const *names, size_t least, void *(*open_it)(void),
			     void (*close_it)(void *opened));

#endif
