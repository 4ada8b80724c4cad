/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of network namespaces that may not be entered (no CAP_SYS_ADMIN, which the agent in a cluster has not): as their
 * /proc/PID/net shows them. Less than sock_diag tells: TCP's data without what the kernel adds to it, packet rings by their
 * mapping, nothing of unix sockets.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "instruments/kmem_internal.h"

enum { TCP_LISTEN_STATE = 0x0a };

/* The n-th word of a line that ends at '\n' or NUL, and its length; NULL: there are fewer. */
static const char *nth_word(const char *line, unsigned int n, size_t *ret_len)
{
	for (;; n--) {
		line += strspn(line, " ");
		*ret_len = strcspn(line, " \n");
		if (*ret_len == 0)
			return NULL;
		if (n == 0)
			return line;
		line += *ret_len;
	}
}

static bool decimal_word(const char *line, unsigned int n, uint64_t *ret)
{
	size_t len;
	const char *word = nth_word(line, n, &len);
	char digits[24] = "";

	if (!word || len >= sizeof(digits))
		return false;
	memcpy(digits, word, len);
	return num_u64(digits, 1, UINT64_MAX, ret) == 0;
}

/* "0: local remote 0A tx:rx tr:when retransmits uid timeout inode …" */
static bool queue_line(const char *line, bool tcp, uint64_t *ret_inode, uint64_t *ret_bytes)
{
	uint64_t state, tx, rx;
	size_t len, tx_len;
	const char *word = nth_word(line, 3, &len);

	if (!word || num_hex(word, len, &state) < 0)
		return false;
	word = nth_word(line, 4, &len);
	tx_len = word ? strcspn(word, ": \n") : 0;
	if (!word || tx_len >= len || num_hex(word, tx_len, &tx) < 0 ||
	    num_hex(word + tx_len + 1, len - tx_len - 1, &rx) < 0 || tx > UINT32_MAX ||
	    rx > UINT32_MAX || !decimal_word(line, 9, ret_inode))
		return false;
	/* A listening socket's queues are numbers of connections. */
	*ret_bytes = tcp && state == TCP_LISTEN_STATE ? 0 : tx + rx;
	return true;
}

void kmem_procnet_queues(struct kmem_reading *reading, enum kmem_kind kind, const char *text)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		uint64_t inode, bytes;

		line += *line == '\n';
		/* TCP's are bytes of data, UDP's what the kernel charges. */
		if (queue_line(line, kind == KMEM_TCP, &inode, &bytes))
			kmem_add(reading, kind, KMEM_IN_RESIDUAL,
				 kind == KMEM_TCP ? KMEM_AT_LEAST : KMEM_AT_MOST,
				 kmem_sockets_find(&reading->sockets, inode), "", bytes, 1);
	}
}

/* A ring is of use only when it is mapped, and the mapping is called by the socket's inode. */
static void add_ring(struct kmem_reading *reading, uint64_t inode)
{
	pid_t pid = kmem_sockets_find(&reading->sockets, inode);
	_cleanup_buf_ struct buf maps = BUF_INIT(ROOT_FILE_MAX);
	char name[40];
	uint64_t bytes, count;

	if (pid == 0)
		return;
	(void)snprintf(name, sizeof(name), "socket:[%" PRIu64 "]", inode);
	kmem_read_maps(reading, pid, &maps);
	if (!maps.data)
		return;
	bytes = kmem_maps_bytes(maps.data, name, &count);
	kmem_add(reading, KMEM_PACKET_RING, KMEM_IN_RESIDUAL, KMEM_AT_LEAST, pid, "", bytes, count);
}

/* "sk RefCnt Type Proto Iface R Rmem User Inode" */
void kmem_procnet_packets(struct kmem_reading *reading, const char *text)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		uint64_t inode;

		line += *line == '\n';
		if (decimal_word(line, 8, &inode))
			add_ring(reading, inode);
	}
}

void kmem_read_procnet(struct kmem_reading *reading, pid_t pid)
{
	static const struct {
		const char *file;
		enum kmem_kind kind;
	} files[] = {
		{"packet", KMEM_PACKET_RING}, {"tcp", KMEM_TCP},
		{"tcp6", KMEM_TCP},	      {"udp", KMEM_UDP},
		{"udp6", KMEM_UDP},
	};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		_cleanup_buf_ struct buf text = BUF_INIT(ROOT_FILE_MAX);
		char rel[48];

		(void)snprintf(rel, sizeof(rel), "%d/net/%s", pid, files[i].file);
		/* What is there of a file that is too large, or whose process has just ended, is used. */
		(void)root_read(reading->proc, rel, &text, NULL);
		if (!text.data)
			continue;
		if (files[i].kind == KMEM_PACKET_RING)
			kmem_procnet_packets(reading, text.data);
		else
			kmem_procnet_queues(reading, files[i].kind, text.data);
	}
}
