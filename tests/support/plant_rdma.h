/* SPDX-License-Identifier: Apache-2.0 */
/* An RDMA device over Ethernet (rxe), spoken to as libibverbs does. */
#ifndef MEMDIAG_TESTS_PLANT_RDMA_H
#define MEMDIAG_TESTS_PLANT_RDMA_H

#include <stdbool.h>
#include <stddef.h>

/* The driver is there. */
bool plant_rdma_there(void);
/* Makes the device over lo. Fails the test. */
void plant_rdma_link(const char *name);
/* Takes it away again; nothing when there is none. */
void plant_rdma_unlink(void);
/* Registers memory of this process with the device, until it ends. For a child: false, not a failed test. */
bool plant_rdma_region(size_t bytes);

#endif
