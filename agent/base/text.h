/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Foreign bytes to text that every consumer accepts: valid UTF-8 without control characters, safe in JSON, in YAML (the
 * API server parses apply bodies as YAML, which refuses raw DEL, C1, U+FFFE and U+FFFF and changes U+0085), in a terminal
 * and in a log line.
 */
#ifndef MEMDIAG_BASE_TEXT_H
#define MEMDIAG_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Bytes that are not plain text become \xHH; everything else stays. For messages. The caller frees the result.
 */
char *text_plain(const char *s, size_t n);

/*
 * The same for names of files: a backslash becomes \\ as well, so the name can be had back byte by byte, for example with
 * `printf %b`. The caller frees the result.
 */
char *text_escape_name(const char *s, size_t n);

/*
 * A word for bash, so that a command with a foreign name in it can be pasted: bare when harmless, 'quoted', or $'quoted' when
 * it holds bytes that are not plain text. The caller frees the result.
 */
char *text_shell_quote(const char *s, size_t n);

/* True when all of s is valid UTF-8 (control characters allowed). */
bool text_is_utf8(const char *s, size_t n);

/*
 * Shortens escaped text to at most max bytes by putting "..." in its middle, never splitting a UTF-8 sequence or an escape.
 * max must be at least 16. Works in place.
 */
void text_shorten_middle(char *s, size_t max);
/* The same, with "..." at its end. */
void text_shorten_end(char *s, size_t max);

#endif
