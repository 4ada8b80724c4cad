/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scope cleanup: a variable that owns something says so where it is declared.
 *
 *	_cleanup_free_ char *text = NULL;
 *	_cleanup_close_ int fd = -1;
 *	...
 *	*ret_text = take_ptr(text);	// hands ownership out
 */
#ifndef MEMDIAG_BASE_CLEANUP_H
#define MEMDIAG_BASE_CLEANUP_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* Defines TYPE's cleanup helper NAME_cleanup(), which calls FN(*p) when *p is set. */
#define DEFINE_CLEANUP(name, type, fn)             \
	static inline void name##_cleanup(type *p) \
	{                                          \
		if (*p)                            \
			fn(*p);                    \
	}                                          \
	struct cleanup_semicolon_##name

static inline void free_cleanup(void *p)
{
	free(*(void **)p);
}

static inline void close_cleanup(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

DEFINE_CLEANUP(fclose, FILE *, fclose);

#define _cleanup_free_	 _cleanup_(free_cleanup)
#define _cleanup_close_	 _cleanup_(close_cleanup)
#define _cleanup_fclose_ _cleanup_(fclose_cleanup)

/* Hands the pointer out and forgets it. */
#define take_ptr(p)                                \
	({                                         \
		__typeof__(p) *take_ptr_ = &(p);   \
		__typeof__(p) taken_ = *take_ptr_; \
		*take_ptr_ = NULL;                 \
		taken_;                            \
	})

/* Hands the file descriptor out and forgets it. */
#define take_fd(fd)                     \
	({                              \
		int *take_fd_ = &(fd);  \
		int taken_ = *take_fd_; \
		*take_fd_ = -1;         \
		taken_;                 \
	})

#endif
