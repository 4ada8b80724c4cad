/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is wrong with an input: one line per fault, each naming the field, the value and what would be accepted.
 */
#ifndef MEMDIAG_SPEC_FAULTS_H
#define MEMDIAG_SPEC_FAULTS_H

#include <stddef.h>

#include "base/cleanup.h"

enum { FAULTS_MAX = 32 }; /* lines kept; the rest is counted */

struct faults {
	char *lines[FAULTS_MAX];
	size_t n;	/* lines kept */
	size_t dropped; /* lines beyond FAULTS_MAX */
};

/* "FIELD: VALUE: ACCEPTED"; value is made plain and cut to 80 bytes. value may be NULL. */
void faults_add(struct faults *faults, const char *field, const char *value, const char *accepted);
void faults_done(struct faults *faults);

#define _cleanup_faults_ _cleanup_(faults_done)

#endif
