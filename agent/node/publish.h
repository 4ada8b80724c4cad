/* SPDX-License-Identifier: Apache-2.0 */
/* A report as an object of the API server. Private to agent/node/. */
#ifndef MEMDIAG_NODE_PUBLISH_H
#define MEMDIAG_NODE_PUBLISH_H

#include <stdint.h>

#include "base/tree.h"

/*
 * Adds labels, annotations, the owner and the history to the report, and trims it to REPORT_MAX_BYTES. previous is the
 * report that this one replaces; NULL: none.
 */
void publish_prepare(cJSON *report, const char *diagnosis, const char *diagnosis_uid,
		     const cJSON *previous, uint64_t history_limit);

#endif
