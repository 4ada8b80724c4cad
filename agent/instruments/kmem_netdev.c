/* SPDX-License-Identifier: Apache-2.0 */
/* What network devices hold: page pools' receive buffers, and the memory regions of RDMA. */
#include <linux/genetlink.h>
#include <net/if.h>
#include <rdma/rdma_netlink.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "instruments/kmem_internal.h"
#include "instruments/netlink.h"

enum {
	/* linux/netdev.h, since 6.8 */
	PAGE_POOL_IFINDEX = 2,
	PAGE_POOL_INFLIGHT = 4,
	PAGE_POOL_INFLIGHT_MEM = 5,
	PAGE_POOL_DETACH_TIME = 6,
	MAX_RDMA_DEVICES = 64,
};

/* --- page pools ---------------------------------------------------------------------------------------------------------- */

void kmem_page_pool_message(struct kmem_reading *reading, const struct nlmsghdr *message)
{
	const struct nlattr *attr;
	uint64_t ifindex = 0, pages = 0, bytes = 0, value;
	char name[IF_NAMESIZE] = "", what[64];
	bool detached = false;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(struct genlmsghdr))
		return;
	mnl_attr_for_each(attr, message, sizeof(struct genlmsghdr))
	{
		if (!netlink_number(attr, &value))
			continue;
		if (mnl_attr_get_type(attr) == PAGE_POOL_IFINDEX)
			ifindex = value;
		else if (mnl_attr_get_type(attr) == PAGE_POOL_INFLIGHT)
			pages = value;
		else if (mnl_attr_get_type(attr) == PAGE_POOL_INFLIGHT_MEM)
			bytes = value;
		else if (mnl_attr_get_type(attr) == PAGE_POOL_DETACH_TIME)
			detached = true;
	}
	if (ifindex > 0 && ifindex <= INT32_MAX && !reading->recorded)
		(void)if_indextoname((unsigned int)ifindex, name);
	/* A detached pool waits for pages that somebody has not given back: the usual face of a leak in a driver. */
	(void)snprintf(what, sizeof(what), "%s%s%s",
		       name[0]	     ? name
		       : ifindex > 0 ? "device of another namespace"
				     : "device that is gone",
		       detached ? ", detached" : "", "");
	kmem_add(reading, KMEM_PAGE_POOL, KMEM_IN_RESIDUAL, KMEM_EXACT, 0, what, bytes, pages);
}

/* --- RDMA ---------------------------------------------------------------------------------------------------------------- */

struct dump {
	struct kmem_reading *reading;
	const char *device;
};

static void on_rdma(void *arg, const struct nlmsghdr *message)
{
	struct dump *dump = arg;

	kmem_rdma_message(dump->reading, dump->device, message);
}

static void rdma_region(struct kmem_reading *reading, const char *device,
			const struct nlattr *entry)
{
	const struct nlattr *attr;
	uint64_t pid = 0, bytes = 0, value;

	mnl_attr_for_each_nested(attr, entry)
	{
		if (!netlink_number(attr, &value))
			continue;
		if (mnl_attr_get_type(attr) == RDMA_NLDEV_ATTR_RES_PID && value <= INT32_MAX)
			pid = value;
		else if (mnl_attr_get_type(attr) == RDMA_NLDEV_ATTR_RES_MRLEN)
			bytes = value;
	}
	/* The kernel's own regions (no pid) are of all memory. */
	if (pid > 0)
		kmem_add(reading, KMEM_RDMA, KMEM_IN_ANON, KMEM_AT_MOST, (pid_t)pid, device, bytes,
			 1);
}

void kmem_rdma_message(struct kmem_reading *reading, const char *device,
		       const struct nlmsghdr *message)
{
	const struct nlattr *table, *entry;

	mnl_attr_for_each(table, message, 0)
	{
		if (mnl_attr_get_type(table) != RDMA_NLDEV_ATTR_RES_MR)
			continue;
		mnl_attr_for_each_nested(entry, table)
		{
			if (mnl_attr_get_type(entry) == RDMA_NLDEV_ATTR_RES_MR_ENTRY)
				rdma_region(reading, device, entry);
		}
	}
}

struct rdma_devices {
	struct {
		uint32_t index;
		char name[64];
	} items[MAX_RDMA_DEVICES];
	size_t n;
};

static void on_rdma_device(void *arg, const struct nlmsghdr *message)
{
	struct rdma_devices *devices = arg;
	const struct nlattr *attr;
	const char *name = "";
	uint64_t index = UINT64_MAX;

	mnl_attr_for_each(attr, message, 0)
	{
		if (mnl_attr_get_type(attr) == RDMA_NLDEV_ATTR_DEV_INDEX)
			(void)netlink_number(attr, &index);
		else if (mnl_attr_get_type(attr) == RDMA_NLDEV_ATTR_DEV_NAME &&
			 mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
			name = mnl_attr_get_str(attr);
	}
	if (index > UINT32_MAX || devices->n == MAX_RDMA_DEVICES)
		return;
	devices->items[devices->n].index = (uint32_t)index;
	(void)snprintf(devices->items[devices->n].name, sizeof(devices->items[0].name), "%s", name);
	devices->n++;
}

static struct nlmsghdr *rdma_request(char *space, int command)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(space);

	request->nlmsg_type = (uint16_t)RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, command);
	request->nlmsg_flags = NLM_F_DUMP;
	return request;
}

void kmem_read_rdma(struct kmem_reading *reading)
{
	_cleanup_free_ struct rdma_devices *devices = xcalloc(1, sizeof(*devices));
	char space[256] = "";

	/* Most kernels have no RDMA: the socket cannot be opened, or the command is not there. */
	if (netlink_dump(NETLINK_RDMA, rdma_request(space, RDMA_NLDEV_CMD_GET), on_rdma_device,
			 devices) < 0)
		return;
	for (size_t i = 0; i < devices->n; i++) {
		struct dump dump = {.reading = reading, .device = devices->items[i].name};
		struct nlmsghdr *request;

		memset(space, 0, sizeof(space));
		request = rdma_request(space, RDMA_NLDEV_CMD_RES_MR_GET);
		mnl_attr_put_u32(request, RDMA_NLDEV_ATTR_DEV_INDEX, devices->items[i].index);
		kmem_note_dump(reading, "RDMA memory regions",
			       netlink_dump(NETLINK_RDMA, request, on_rdma, &dump));
	}
}
