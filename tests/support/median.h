/* SPDX-License-Identifier: Apache-2.0 */
/* What a bench says of its rounds. */
#ifndef MEMDIAG_TESTS_MEDIAN_H
#define MEMDIAG_TESTS_MEDIAN_H

#include <stddef.h>

/* The middle one; puts them in order. n is at least 1. */
double median(double *values, size_t n);

#endif
