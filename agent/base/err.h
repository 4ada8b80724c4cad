/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors whose text reaches a user.
 *
 * Functions return 0 or a negative errno. Where the text matters they take a caller-owned `struct err *err` as last
 * parameter. It is made and returned in one expression and wrapped on the way up:
 *
 *	if (fd < 0)
 *		return err_set(err, errno, "cannot open %s", path);
 *	...
 *	r = thing(&x, err);
 *	if (r < 0)
 *		return err_wrap(err, "check PageCache");
 *
 * err may be NULL everywhere: the code is returned all the same.
 */
#ifndef MEMDIAG_BASE_ERR_H
#define MEMDIAG_BASE_ERR_H

struct err {
	int code;      /* positive errno */
	char msg[512]; /* one line, no newline at its end; longer text is cut */
};

/* Sets the text (": " and strerror(errnum) are appended) and returns -errnum. errnum is positive. */
int err_set(struct err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The same without strerror(): for faults whose text is complete. */
int err_say(struct err *err, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "context: " before the text and returns -err->code. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
