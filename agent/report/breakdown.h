/* SPDX-License-Identifier: Apache-2.0 */
/* The node's memory as a tree with bars. */
#ifndef MEMDIAG_REPORT_BREAKDOWN_H
#define MEMDIAG_REPORT_BREAKDOWN_H

#include "base/buf.h"
#include "base/tree.h"

/* Appends the tree of a MemoryBreakdown's entry of the report; nothing for another check's. */
void render_breakdown(const cJSON *check, struct buf *out);

#endif
