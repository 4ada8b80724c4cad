/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder's parts. Private to agent/spec/. */
#ifndef MEMDIAG_SPEC_DECODER_H
#define MEMDIAG_SPEC_DECODER_H

#include "spec/spec.h"

struct decoder {
	struct spec *spec;
	struct faults *faults;
	enum spec_mode mode;
};

/* How to decode one field. path is the field's full name for messages. */
struct field {
	const char *name;
	void (*decode)(struct decoder *d, const struct field *field, const cJSON *item,
		       const char *path);
	size_t offset; /* of the member in struct spec */
	uint64_t min, max;
	const char *accepts;
};

/* "FIELD: VALUE: ACCEPTED": strings as they are, everything else as JSON. */
void decode_fault(struct decoder *d, const char *path, const cJSON *item, const char *accepts);
/* Decodes each member of the object by its row in fields; a member without a row is a fault in a file. */
void decode_object(struct decoder *d, const struct field *fields, size_t n, const cJSON *object,
		   const char *path);

/* Values of any object, by the row's offset into struct spec. */
void decode_string(struct decoder *d, const struct field *field, const cJSON *item,
		   const char *path);
/* spec.target, spec.checks, spec.thresholds. */
void decode_target(struct decoder *d, const struct field *field, const cJSON *item,
		   const char *path);
void decode_checks(struct decoder *d, const struct field *field, const cJSON *item,
		   const char *path);
void decode_thresholds(struct decoder *d, const struct field *field, const cJSON *item,
		       const char *path);

#endif
