/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A smaller machine for as long as a test wants: memory beyond what is to stay free goes into the pool of huge pages, which takes a
 * second where filling it would take a minute. A guardian process gives it back, also when the test is killed.
 */
#ifndef MEMDIAG_TESTS_BALLOON_H
#define MEMDIAG_TESTS_BALLOON_H

#include <stdint.h>

/* Leaves about that much of MemFree, as long as the pool was empty before; does nothing when there is less. */
void balloon_inflate(uint64_t keep_bytes);
/* Harmless when there is none. Call it in teardowns. */
void balloon_release(void);

/*
 * Lets kswapd (all of them) run on the first CPU alone, and only when nobody else wants that, so that tasks which allocate there
 * have to reclaim themselves; and back.
 */
void balloon_slow_kswapd(void);
void balloon_restore_kswapd(void);

#endif
