/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/netlink.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/mem.h"

enum { BUFFER = 32768, TIMEOUT_S = 2 };

struct sink {
	netlink_message_fn *fn;
	void *arg;
};

static int on_message(const struct nlmsghdr *message, void *data)
{
	const struct sink *sink = data;

	sink->fn(sink->arg, message);
	return MNL_CB_OK;
}

static int read_all(struct mnl_socket *socket, unsigned int seq, const struct sink *sink)
{
	_cleanup_free_ char *buffer = xmalloc(BUFFER);
	unsigned int port = mnl_socket_get_portid(socket);
	int r;

	do {
		ssize_t n = mnl_socket_recvfrom(socket, buffer, BUFFER);

		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		r = mnl_cb_run(buffer, (size_t)n, seq, port, on_message, (void *)sink);
	} while (r > MNL_CB_STOP);
	return r < 0 ? -errno : 0;
}

int netlink_dump(int protocol, struct nlmsghdr *request, netlink_message_fn *fn, void *arg)
{
	const struct timeval timeout = {.tv_sec = TIMEOUT_S};
	const struct sink sink = {fn, arg};
	struct mnl_socket *socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	int r;

	if (!socket)
		return -errno;
	request->nlmsg_flags = (uint16_t)(request->nlmsg_flags | NLM_F_REQUEST);
	request->nlmsg_seq = (uint32_t)time(NULL);
	(void)setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &timeout,
			 sizeof(timeout));
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(socket, request, request->nlmsg_len) < 0)
		r = -errno;
	else
		r = read_all(socket, request->nlmsg_seq, &sink);
	(void)mnl_socket_close(socket);
	return r;
}

static void on_family(void *arg, const struct nlmsghdr *message)
{
	const struct nlattr *attr;
	uint16_t *id = arg;
	uint64_t value;

	mnl_attr_for_each(attr, message, sizeof(struct genlmsghdr))
	{
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID && netlink_number(attr, &value))
			*id = (uint16_t)value;
	}
}

uint16_t netlink_family(const char *name)
{
	char space[256] = "";
	struct nlmsghdr *request = mnl_nlmsg_put_header(space);
	struct genlmsghdr *header;
	uint16_t id = 0;

	request->nlmsg_type = GENL_ID_CTRL;
	/* One family is one message, and an acknowledgement that ends it. */
	request->nlmsg_flags = NLM_F_ACK;
	header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	header->cmd = CTRL_CMD_GETFAMILY;
	header->version = 1;
	mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, name);
	return netlink_dump(NETLINK_GENERIC, request, on_family, &id) < 0 ? 0 : id;
}

bool netlink_number(const struct nlattr *attr, uint64_t *ret)
{
	const void *payload = mnl_attr_get_payload(attr);

	switch (mnl_attr_get_payload_len(attr)) {
	case 1:
		*ret = *(const uint8_t *)payload;
		return true;
	case 2: {
		uint16_t v;

		memcpy(&v, payload, sizeof(v));
		*ret = v;
		return true;
	}
	case 4: {
		uint32_t v;

		memcpy(&v, payload, sizeof(v));
		*ret = v;
		return true;
	}
	case 8:
		memcpy(ret, payload, sizeof(*ret));
		return true;
	default:
		return false;
	}
}
