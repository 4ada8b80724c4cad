/* SPDX-License-Identifier: Apache-2.0 */
#ifndef MEMDIAG_BASE_CLOCK_H
#define MEMDIAG_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define NSEC_PER_SEC  1000000000ULL
#define NSEC_PER_MSEC 1000000ULL

/* Nanoseconds of CLOCK_MONOTONIC: for intervals and deadlines. */
uint64_t clock_mono_ns(void);
/* CPU nanoseconds of the calling thread. */
uint64_t clock_thread_cpu_ns(void);
/* A duration, or an instant of a clock. */
struct timespec clock_timespec(uint64_t ns);

#define CLOCK_TEXT_MAX 24
/* 2006-01-02T15:04:05Z. Returns out. */
const char *clock_format_rfc3339(time_t t, char out[CLOCK_TEXT_MAX]);
#define CLOCK_MICRO_TEXT_MAX 32
/* The time now as metav1.MicroTime wants it: 2006-01-02T15:04:05.000000Z, with exactly six digits. Returns out. */
const char *clock_format_micro_now(char out[CLOCK_MICRO_TEXT_MAX]);
/* Reads what metav1.Time and metav1.MicroTime write (UTC "Z", optional fraction). -EINVAL: anything else. */
int clock_parse_rfc3339(const char *s, time_t *ret);

#endif
