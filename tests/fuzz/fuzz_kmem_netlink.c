/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of socket diagnosis, page pools and RDMA. The input is the payload; the frame is the kernel's. */
#include <linux/sock_diag.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "instruments/kmem_internal.h"
#include "instruments/netlink.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct kmem_reading *reading;
	struct nlmsghdr *message;

	if (size > 65536)
		return 0;
	reading = xcalloc(1, sizeof(*reading));
	reading->recorded = true;
	/* As long as it says (libmnl rounds up to 4, as the kernel pads), so that a read behind its end is seen. */
	message = xcalloc(1, NLMSG_ALIGN(NLMSG_HDRLEN + size));
	message->nlmsg_len = (uint32_t)(NLMSG_HDRLEN + size);
	message->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	memcpy((char *)message + NLMSG_HDRLEN, data, size);
	kmem_packet_message(reading, message);
	kmem_inet_message(reading, KMEM_TCP, message);
	kmem_unix_message(reading, message);
	kmem_page_pool_message(reading, message);
	kmem_rdma_message(reading, "mlx5_0", message);
	kmem_owners_done(&reading->owners);
	free(reading);
	free(message);
	return 0;
}
