/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Strict numbers: the whole string must be the number, in range, or the call fails.
 */
#ifndef MEMDIAG_BASE_NUM_H
#define MEMDIAG_BASE_NUM_H

#include <stddef.h>
#include <stdint.h>

/* Decimal digits only: no sign, no space, no prefix. -EINVAL: not a number; -ERANGE: outside min..max. */
int num_u64(const char *s, uint64_t min, uint64_t max, uint64_t *ret);
/* Hexadecimal digits without 0x, of the n bytes at s. */
int num_hex(const char *s, size_t n, uint64_t *ret);
/* A Kubernetes-like duration of 1 to 3 parts: 500ms, 30s, 1m30s, 2h. -EINVAL: not a duration. */
int num_duration_ms(const char *s, uint64_t *ret_ms);

#define NUM_TEXT_MAX 16
/* 228Mi, 1.5Gi, 512: three significant digits at most, as `kubectl top` writes sizes. Returns out. */
const char *num_format_bytes(uint64_t bytes, char out[NUM_TEXT_MAX]);
/* 41s, 2m5s, 1h3m. Returns out. */
const char *num_format_seconds(uint64_t seconds, char out[NUM_TEXT_MAX]);

/* 560us, 34ms, 1.2s, 2m5s: durations of waits. Returns out. */
const char *num_format_micros(uint64_t us, char out[NUM_TEXT_MAX]);

/* a * b / c without overflow in between; c > 0. Saturates at UINT64_MAX. */
uint64_t num_muldiv(uint64_t a, uint64_t b, uint64_t c);

/* FNV-1a of n bytes: for spreading and table slots, not for secrets. */
uint64_t num_hash(const void *data, size_t n);

#endif
