/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines on stderr: "2006-01-02T15:04:05Z info  text". Only cmd/ and the loops log; everything below returns.
 */
#ifndef MEMDIAG_BASE_LOG_H
#define MEMDIAG_BASE_LOG_H

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARN,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
};

/* Lines above this level are dropped; LOG_LEVEL_INFO at start. */
void log_set_level(enum log_level level);
/* "error", "warn", "info" or "debug"; -EINVAL: anything else. */
int log_parse_level(const char *name, enum log_level *ret);

/* One line; control bytes in it are written as \xHH, so that foreign text can't forge lines. Thread-safe. */
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)  log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
