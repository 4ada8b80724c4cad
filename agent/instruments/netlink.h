/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dumps over netlink (libmnl does the framing). A dump asks and hands each message of the answer to a function.
 */
#ifndef MEMDIAG_INSTRUMENTS_NETLINK_H
#define MEMDIAG_INSTRUMENTS_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

#include "base/err.h"

typedef void netlink_message_fn(void *arg, const struct nlmsghdr *message);

/*
 * Opens a socket of this protocol (NETLINK_SOCK_DIAG, …) in the thread's network namespace, sends request (sequence, port and
 * NLM_F_REQUEST are filled in) and reads until the answer ends. The kernel answers at once; an answer that does not come
 * within 2 s is -ETIMEDOUT. -ENOENT, -EOPNOTSUPP, -EPROTONOSUPPORT: this kernel has no such thing. -EPERM: missing privilege.
 */
int netlink_dump(int protocol, struct nlmsghdr *request, netlink_message_fn *fn, void *arg);

/* The number of a generic netlink family; 0: this kernel has none of that name. */
uint16_t netlink_family(const char *name);

/* An unsigned number of 1, 2, 4 or 8 bytes; false: it is of another size. */
bool netlink_number(const struct nlattr *attr, uint64_t *ret);

#endif
