/* SPDX-License-Identifier: Apache-2.0 */
/* Notices that somebody has set the clock, so that what waits for a time of day looks again. */
#ifndef MEMDIAG_CONTROLLER_CLOCK_WATCH_H
#define MEMDIAG_CONTROLLER_CLOCK_WATCH_H

#include "kube/loop.h"

struct clock_watch;

/* NULL when the kernel cannot tell: then whoever waits looks again within its own time. */
struct clock_watch *clock_watch_new(struct loop *loop, void (*fn)(void *arg), void *arg);
void clock_watch_free(struct clock_watch *watch);

#endif
