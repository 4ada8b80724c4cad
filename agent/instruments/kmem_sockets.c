/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: whose they are, packet rings, and what waits in queues. */
#include <linux/inet_diag.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "instruments/kmem_internal.h"
#include "instruments/netlink.h"

/* --- who holds which ---------------------------------------------------------------------------------------------------- */

void kmem_sockets_fd(void *arg, const struct root *proc, const struct proc_fd *fd)
{
	struct kmem_sockets *sockets = &((struct kmem_reading *)arg)->sockets;
	uint64_t inode;

	(void)proc;
	if (!proc_link_inode(fd->target, "socket:[", &inode))
		return;
	if (sockets->n == KMEM_MAX_SOCKETS) {
		sockets->dropped++;
		return;
	}
	if (sockets->n == sockets->cap) {
		sockets->cap = sockets->cap ? sockets->cap * 2 : 256;
		sockets->items =
			xreallocarray(sockets->items, sockets->cap, sizeof(*sockets->items));
	}
	sockets->items[sockets->n++] = (struct kmem_socket){inode, fd->pid};
	sockets->sorted = false;
}

static int by_inode(const void *pa, const void *pb)
{
	const struct kmem_socket *a = pa, *b = pb;

	if (a->inode != b->inode)
		return a->inode < b->inode ? -1 : 1;
	return (a->pid > b->pid) - (a->pid < b->pid);
}

pid_t kmem_sockets_find(struct kmem_sockets *sockets, uint64_t inode)
{
	size_t from = 0, to = sockets->n;

	if (!sockets->sorted && sockets->n > 1)
		qsort(sockets->items, sockets->n, sizeof(*sockets->items), by_inode);
	sockets->sorted = true;
	/* The first of those with this inode: the smallest pid is most likely the parent's. */
	while (from < to) {
		size_t mid = from + (to - from) / 2;

		if (sockets->items[mid].inode < inode)
			from = mid + 1;
		else
			to = mid;
	}
	return from < sockets->n && sockets->items[from].inode == inode ? sockets->items[from].pid
									: 0;
}

/* --- messages ----------------------------------------------------------------------------------------------------------- */

/* The payload of the attribute of that type when it is at least that long, else NULL. */
static const void *find(const struct nlmsghdr *message, size_t header, int type, size_t size)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, message, header)
	{
		if (mnl_attr_get_type(attr) == type && mnl_attr_get_payload_len(attr) >= size)
			return mnl_attr_get_payload(attr);
	}
	return NULL;
}

static bool is_whole(const struct nlmsghdr *message, size_t header)
{
	return message->nlmsg_type == SOCK_DIAG_BY_FAMILY &&
	       mnl_nlmsg_get_payload_len(message) >= header;
}

void kmem_packet_message(struct kmem_reading *reading, const struct nlmsghdr *message)
{
	static const int types[] = {PACKET_DIAG_RX_RING, PACKET_DIAG_TX_RING};
	const struct packet_diag_msg *msg = mnl_nlmsg_get_payload(message);
	uint64_t bytes = 0, rings = 0;

	if (!is_whole(message, sizeof(*msg)))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const void *payload =
			find(message, sizeof(*msg), types[i], sizeof(struct packet_diag_ring));
		struct packet_diag_ring ring;

		if (!payload)
			continue;
		memcpy(&ring, payload, sizeof(ring));
		bytes += (uint64_t)ring.pdr_block_size * ring.pdr_block_nr;
		rings += ring.pdr_block_nr > 0;
	}
	kmem_add(reading, KMEM_PACKET_RING, KMEM_IN_RESIDUAL, KMEM_EXACT,
		 kmem_sockets_find(&reading->sockets, msg->pdiag_ino), "", bytes, rings);
}

/* SK_MEMINFO_VARS: what the kernel charges a socket for, in the order of linux/sock_diag.h. */
static bool meminfo(const struct nlmsghdr *message, size_t header, int type,
		    uint32_t out[SK_MEMINFO_VARS])
{
	/* drops (4.x) is the last one and of no use here. */
	const void *payload = find(message, header, type, SK_MEMINFO_DROPS * sizeof(uint32_t));

	if (payload)
		memcpy(out, payload, SK_MEMINFO_DROPS * sizeof(uint32_t));
	return payload != NULL;
}

void kmem_inet_message(struct kmem_reading *reading, enum kmem_kind kind,
		       const struct nlmsghdr *message)
{
	const struct inet_diag_msg *msg = mnl_nlmsg_get_payload(message);
	uint32_t mem[SK_MEMINFO_VARS] = {0};
	uint64_t bytes;

	if (!is_whole(message, sizeof(*msg)) ||
	    !meminfo(message, sizeof(*msg), INET_DIAG_SKMEMINFO, mem))
		return;
	/*
	 * TCP keeps what it sends in wmem_queued until it is acknowledged; wmem_alloc is clones of the same on their way. UDP has
	 * wmem_alloc alone. Forward allocation is reserved, not used, but counted in sockstat as well.
	 */
	bytes = (uint64_t)mem[SK_MEMINFO_RMEM_ALLOC] + mem[SK_MEMINFO_OPTMEM] +
		mem[SK_MEMINFO_BACKLOG] +
		(kind == KMEM_TCP ? mem[SK_MEMINFO_WMEM_QUEUED] : mem[SK_MEMINFO_WMEM_ALLOC]);
	kmem_add(reading, kind, KMEM_IN_RESIDUAL, KMEM_AT_MOST,
		 kmem_sockets_find(&reading->sockets, msg->idiag_inode), "", bytes, 1);
}

void kmem_unix_message(struct kmem_reading *reading, const struct nlmsghdr *message)
{
	const struct unix_diag_msg *msg = mnl_nlmsg_get_payload(message);
	uint32_t mem[SK_MEMINFO_VARS] = {0};

	if (!is_whole(message, sizeof(*msg)) ||
	    !meminfo(message, sizeof(*msg), UNIX_DIAG_MEMINFO, mem))
		return;
	/* What waits at the receiver is charged to the sender. */
	kmem_add(reading, KMEM_UNIX, KMEM_IN_RESIDUAL, KMEM_AT_MOST,
		 kmem_sockets_find(&reading->sockets, msg->udiag_ino), "",
		 (uint64_t)mem[SK_MEMINFO_WMEM_ALLOC] + mem[SK_MEMINFO_RMEM_ALLOC] +
			 mem[SK_MEMINFO_OPTMEM],
		 1);
}
