/* SPDX-License-Identifier: Apache-2.0 */
/* The original exporter's names, a file a subject. Private to agent/export/. */
#ifndef MEMDIAG_EXPORT_COMPAT_SYSOM_H
#define MEMDIAG_EXPORT_COMPAT_SYSOM_H

#include "export/families.h"

void sysom_memory(struct reading *reading, struct exposition *e);
void sysom_cpu(struct reading *reading, struct exposition *e);
void sysom_containers(struct reading *reading, struct exposition *e);

/* A sample of the family begun last with the one label that most of the original's have. */
void sysom_put(struct exposition *e, const char *type, uint64_t value);

/* A class of latencies, which counts alone: above one edge, up to another. */
struct sysom_class {
	const char *type;
	uint64_t above_us, up_to_us; /* edges of struct hist; 0, UINT64_MAX: no bound */
};

uint64_t sysom_count(const struct hist *hist, const struct sysom_class *class);

#endif
