/* SPDX-License-Identifier: Apache-2.0 */
#include "support/plant_rdma.h"

#include <fcntl.h>
#include <rdma/ib_user_ioctl_verbs.h>
#include <rdma/ib_user_verbs.h>
#include <rdma/rdma_netlink.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "instruments/netlink.h"

static char link_name[32]; /* "": there is none */

bool plant_rdma_there(void)
{
	return access("/sys/module/rdma_rxe", F_OK) == 0;
}

/* --- the device ------------------------------------------------------------------------------------------------------------ */

static void on_device(void *arg, const struct nlmsghdr *message)
{
	const struct nlattr *attr;
	uint64_t index = UINT64_MAX, *ret = arg;
	bool ours = false;

	mnl_attr_for_each(attr, message, 0)
	{
		if (mnl_attr_get_type(attr) == RDMA_NLDEV_ATTR_DEV_INDEX)
			(void)netlink_number(attr, &index);
		else if (mnl_attr_get_type(attr) == RDMA_NLDEV_ATTR_DEV_NAME)
			ours = strcmp(mnl_attr_get_str(attr), link_name) == 0;
	}
	if (ours)
		*ret = index;
}

static struct nlmsghdr *request(char *space, int command, int flags)
{
	struct nlmsghdr *header = mnl_nlmsg_put_header(space);

	header->nlmsg_type = (uint16_t)RDMA_NL_GET_TYPE(RDMA_NL_NLDEV, command);
	header->nlmsg_flags = (uint16_t)flags;
	return header;
}

void plant_rdma_link(const char *name)
{
	char space[256] = "";
	struct nlmsghdr *header = request(space, RDMA_NLDEV_CMD_NEWLINK, NLM_F_ACK);

	mnl_attr_put_strz(header, RDMA_NLDEV_ATTR_DEV_NAME, name);
	mnl_attr_put_strz(header, RDMA_NLDEV_ATTR_LINK_TYPE, "rxe");
	mnl_attr_put_strz(header, RDMA_NLDEV_ATTR_NDEV_NAME, "lo");
	assert_int_equal(netlink_dump(NETLINK_RDMA, header, on_device, NULL), 0);
	(void)snprintf(link_name, sizeof(link_name), "%s", name);
}

void plant_rdma_unlink(void)
{
	char space[256] = "";
	uint64_t index = UINT64_MAX;
	struct nlmsghdr *header = request(space, RDMA_NLDEV_CMD_GET, NLM_F_DUMP);

	if (!link_name[0])
		return;
	(void)netlink_dump(NETLINK_RDMA, header, on_device, &index);
	if (index <= UINT32_MAX) {
		memset(space, 0, sizeof(space));
		header = request(space, RDMA_NLDEV_CMD_DELLINK, NLM_F_ACK);
		mnl_attr_put_u32(header, RDMA_NLDEV_ATTR_DEV_INDEX, (uint32_t)index);
		(void)netlink_dump(NETLINK_RDMA, header, on_device, &index);
	}
	link_name[0] = '\0';
}

/* --- a memory region --------------------------------------------------------------------------------------------------------- */

/* The file for the verbs of our device; -1: none. */
static int open_verbs(void)
{
	for (int i = 0; i < 32; i++) {
		char path[64], name[64] = "";
		FILE *f;

		(void)snprintf(path, sizeof(path), "/sys/class/infiniband_verbs/uverbs%d/ibdev", i);
		f = fopen(path, "re");
		if (!f)
			continue;
		if (fscanf(f, "%63s", name) != 1)
			name[0] = '\0';
		(void)fclose(f);
		(void)snprintf(path, sizeof(path), "/dev/infiniband/uverbs%d", i);
		if (strcmp(name, link_name) == 0)
			return open(path, O_RDWR | O_CLOEXEC);
	}
	return -1;
}

/* A command begins with its header and the address of the response, both filled in here. */
struct command {
	struct ib_uverbs_cmd_hdr header;
	union {
		struct ib_uverbs_get_context context;
		struct ib_uverbs_alloc_pd domain;
		struct ib_uverbs_reg_mr region;
	};
};

static bool verb(int fd, unsigned int number, struct command *command, size_t body, void *response,
		 size_t response_bytes)
{
	size_t bytes = sizeof(command->header) + body;

	command->header.command = number;
	command->header.in_words = (uint16_t)(bytes / 4);
	command->header.out_words = (uint16_t)(response_bytes / 4);
	command->context.response = (uintptr_t)response;
	return write(fd, command, bytes) == (ssize_t)bytes;
}

bool plant_rdma_region(size_t bytes)
{
	struct ib_uverbs_get_context_resp context = {0};
	struct ib_uverbs_alloc_pd_resp domain = {0};
	struct ib_uverbs_reg_mr_resp region = {0};
	struct command command = {0};
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int fd = open_verbs();

	if (fd < 0 || p == MAP_FAILED ||
	    !verb(fd, IB_USER_VERBS_CMD_GET_CONTEXT, &command, sizeof(command.context), &context,
		  sizeof(context)))
		return false;
	memset(&command, 0, sizeof(command));
	if (!verb(fd, IB_USER_VERBS_CMD_ALLOC_PD, &command, sizeof(command.domain), &domain,
		  sizeof(domain)))
		return false;
	memset(&command, 0, sizeof(command));
	command.region.start = command.region.hca_va = (uintptr_t)p;
	command.region.length = bytes;
	command.region.pd_handle = domain.pd_handle;
	command.region.access_flags = IB_UVERBS_ACCESS_LOCAL_WRITE;
	return verb(fd, IB_USER_VERBS_CMD_REG_MR, &command, sizeof(command.region), &region,
		    sizeof(region));
}
