/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked over netlink, in every network namespace: sockets and page pools; RDMA's memory regions once.
 *
 * A namespace is entered by a thread that ends right after: nothing of it stays open, and the caller's own namespace is never
 * left.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/genetlink.h>
#include <linux/inet_diag.h>
#include <linux/packet_diag.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "instruments/kmem_internal.h"
#include "instruments/netlink.h"

enum {
	/* linux/netdev.h, since 6.8 */
	NETDEV_PAGE_POOL_GET = 5,
};

/* --- namespaces --------------------------------------------------------------------------------------------------------- */

static uint64_t netns_inode(const struct root *proc, const char *rel)
{
	char target[64];
	uint64_t inode;
	ssize_t n = readlinkat(proc->fd, rel, target, sizeof(target) - 1);

	if (n < 0)
		return 0;
	target[n] = '\0';
	return proc_link_inode(target, "net:[", &inode) ? inode : 0;
}

/*
 * Namespaces are found through processes that are in them. A socket that outlives them in a process elsewhere is not found: such
 * namespaces are rare, and only an open file of the process could tell.
 */
void kmem_netns_process(void *arg, const struct root *proc, pid_t pid)
{
	struct kmem_reading *reading = arg;
	struct kmem_netns *netns = &reading->netns;
	char rel[32];
	uint64_t inode;

	(void)snprintf(rel, sizeof(rel), "%d/ns/net", pid);
	inode = netns_inode(proc, rel);
	if (inode == 0)
		return;
	/* The last ones first: processes of a pod are neighbours. */
	for (size_t i = netns->n; i > 0; i--)
		if (netns->items[i - 1].inode == inode)
			return;
	if (netns->n == KMEM_MAX_NETNS) {
		netns->dropped++;
		return;
	}
	netns->items[netns->n].inode = inode;
	netns->items[netns->n++].pid = pid;
}

/* --- dumps -------------------------------------------------------------------------------------------------------------- */

struct dump {
	struct kmem_reading *reading;
	enum kmem_kind kind;
};

static void on_packet(void *arg, const struct nlmsghdr *message)
{
	kmem_packet_message(((struct dump *)arg)->reading, message);
}

static void on_inet(void *arg, const struct nlmsghdr *message)
{
	struct dump *dump = arg;

	kmem_inet_message(dump->reading, dump->kind, message);
}

static void on_unix(void *arg, const struct nlmsghdr *message)
{
	kmem_unix_message(((struct dump *)arg)->reading, message);
}

static void on_page_pool(void *arg, const struct nlmsghdr *message)
{
	kmem_page_pool_message(((struct dump *)arg)->reading, message);
}

static struct nlmsghdr *diag_request(char *space, const void *body, size_t size)
{
	struct nlmsghdr *request = mnl_nlmsg_put_header(space);

	request->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	request->nlmsg_flags = NLM_F_DUMP;
	memcpy(mnl_nlmsg_put_extra_header(request, size), body, size);
	return request;
}

/* -ENOENT: the module is not loaded, and then (tcp_diag and friends load on demand) not to be had. */
void kmem_note_dump(struct kmem_reading *reading, const char *what, int r)
{
	if (r == -ENOENT || r == -EOPNOTSUPP || r == -EPROTONOSUPPORT)
		kmem_missing_add(&reading->missing, "%s: this kernel has no such diagnosis", what);
	else if (r == -EPERM || r == -EACCES)
		kmem_missing_add(&reading->missing, "%s: needs CAP_NET_ADMIN", what);
	else if (r < 0)
		kmem_missing_add(&reading->missing, "%s: %s", what, strerror(-r));
}

static void dump_inet(struct kmem_reading *reading, uint8_t family, uint8_t protocol)
{
	const struct inet_diag_req_v2 body = {
		.sdiag_family = family,
		.sdiag_protocol = protocol,
		.idiag_ext = 1 << (INET_DIAG_SKMEMINFO - 1),
		.idiag_states = ~0U,
	};
	struct dump dump = {reading, protocol == IPPROTO_TCP ? KMEM_TCP : KMEM_UDP};
	char space[256] = "";

	kmem_note_dump(reading, protocol == IPPROTO_TCP ? "TCP sockets" : "UDP sockets",
		       netlink_dump(NETLINK_SOCK_DIAG, diag_request(space, &body, sizeof(body)),
				    on_inet, &dump));
}

static void dump_page_pools(struct kmem_reading *reading)
{
	struct dump dump = {.reading = reading};
	uint16_t family = netlink_family("netdev");
	char space[256] = "";
	struct nlmsghdr *request = mnl_nlmsg_put_header(space);
	struct genlmsghdr *header;

	if (family == 0)
		return;
	request->nlmsg_type = family;
	request->nlmsg_flags = NLM_F_DUMP;
	header = mnl_nlmsg_put_extra_header(request, sizeof(*header));
	header->cmd = NETDEV_PAGE_POOL_GET;
	header->version = 1;
	/* Kernels without page pools, and those before 6.8, refuse it. */
	(void)netlink_dump(NETLINK_GENERIC, request, on_page_pool, &dump);
}

static void dump_here(struct kmem_reading *reading)
{
	const struct packet_diag_req packet = {
		.sdiag_family = AF_PACKET,
		.pdiag_show = PACKET_SHOW_RING_CFG,
	};
	const struct unix_diag_req local = {
		.sdiag_family = AF_UNIX,
		.udiag_states = ~0U,
		.udiag_show = UDIAG_SHOW_MEMINFO,
	};
	struct dump dump = {.reading = reading};
	char space[256] = "";

	kmem_note_dump(reading, "packet sockets",
		       netlink_dump(NETLINK_SOCK_DIAG, diag_request(space, &packet, sizeof(packet)),
				    on_packet, &dump));
	memset(space, 0, sizeof(space));
	kmem_note_dump(reading, "unix sockets",
		       netlink_dump(NETLINK_SOCK_DIAG, diag_request(space, &local, sizeof(local)),
				    on_unix, &dump));
	dump_inet(reading, AF_INET, IPPROTO_TCP);
	dump_inet(reading, AF_INET6, IPPROTO_TCP);
	dump_inet(reading, AF_INET, IPPROTO_UDP);
	dump_inet(reading, AF_INET6, IPPROTO_UDP);
	dump_page_pools(reading);
}

static bool enter(const struct root *proc, pid_t pid)
{
	char rel[32];
	_cleanup_close_ int fd = -1;

	(void)snprintf(rel, sizeof(rel), "%d/ns/net", pid);
	fd = openat(proc->fd, rel, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
}

static void *dump_all(void *arg)
{
	struct kmem_reading *reading = arg;
	struct kmem_netns *netns = &reading->netns;

	/* Where no process could be asked for its namespace there is still our own. */
	if (netns->n == 0 || netns->own == 0) {
		dump_here(reading);
		return NULL;
	}
	for (size_t i = 0; i < netns->n; i++) {
		if (netns->items[i].inode == netns->own)
			dump_here(reading);
	}
	for (size_t i = 0; i < netns->n; i++) {
		if (netns->items[i].inode == netns->own)
			continue;
		if (enter(reading->proc, netns->items[i].pid)) {
			dump_here(reading);
			continue;
		}
		kmem_read_procnet(reading, netns->items[i].pid);
		netns->not_entered++;
	}
	return NULL;
}

void kmem_read_netlink(struct kmem_reading *reading)
{
	pthread_t thread;

	reading->netns.own = netns_inode(reading->proc, "thread-self/ns/net");
	if (pthread_create(&thread, NULL, dump_all, reading) != 0) {
		kmem_missing_add(&reading->missing, "sockets: no thread to enter namespaces");
		return;
	}
	(void)pthread_join(thread, NULL);
	if (reading->netns.not_entered > 0)
		kmem_missing_add(&reading->missing,
				 "unix sockets, page pools and part of TCP's memory in %" PRIu64
				 " network namespaces: needs CAP_SYS_ADMIN",
				 reading->netns.not_entered);
	kmem_read_rdma(reading);
}
