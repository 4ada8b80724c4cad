/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of devices, each by one process, which waits with it. The devices are software: what a kernel has of them needs no
 * hardware. plant_clean() ends what is left.
 */
#ifndef MEMDIAG_TESTS_PLANT_DEVICE_H
#define MEMDIAG_TESTS_PLANT_DEVICE_H

#include "support/plant.h"

enum plant_device {
	PLANT_UDMABUF,	     /* a memfd's pages as a dma-buf, the memfd open too, as QEMU has it */
	PLANT_UDMABUF_ALONE, /* the same, and the memfd is closed */
	PLANT_DMA_HEAP,	     /* a dma-buf of the system heap */
	PLANT_VGEM,	     /* a dma-buf of a GPU without hardware, mapped and written to */
	PLANT_RDMA,	     /* a memory region of an RDMA device over Ethernet */
	PLANT_DEVICES
};

/* False: this kernel does not have it. */
bool plant_device_there(enum plant_device device);
/* bytes: at most 64 MiB. A buffer is open twice in the process. RDMA: plant_rdma_link() first (support/plant_rdma.h). */
struct plant_child plant_device(enum plant_device device, size_t bytes);
/* The buffer is mapped, and no descriptor of it is left. */
struct plant_child plant_device_mapped(enum plant_device device, size_t bytes);

/*
 * A network device that is down (one that is up is somebody's), with a driver whose receive buffers are a page pool: virtio's.
 * Its name has IF_NAMESIZE bytes. False: there is none.
 */
bool plant_device_net(char *ret_name);
/* Brings it up, or down. Fails the test. */
void plant_device_net_up(const char *name, bool up);

#endif
