/* SPDX-License-Identifier: Apache-2.0 */
/* vmalloc memory by the function that allocated it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "instruments/kmem_internal.h"
#include "instruments/meminfo.h"

/*
 * The kernel walks the list under a lock that every vmalloc() takes, a page of text at a time. At 16 KiB an area, the size of a
 * kernel stack, this is 65,536 areas: 0.1 s in all. Larger lists stall the node, as polling it would.
 */
#define USED_MAX (1ULL << 30)

/* Kernel stacks are a line of their own; BPF's memory is told by its maps. */
static bool is_told_elsewhere(const char *function)
{
	static const char *const stacks[] = {"kernel_clone", "copy_process", "dup_task_struct",
					     "alloc_thread_stack_node"};

	for (size_t i = 0; i < ARRAY_SIZE(stacks); i++)
		if (strcmp(function, stacks[i]) == 0)
			return true;
	return strncmp(function, "bpf_", 4) == 0 || strstr(function, "map_alloc") ||
	       strncmp(function, "ringbuf_", 8) == 0;
}

/* The word at s, to the next blank; empty at the line's end. Returns what follows it. */
static const char *next_word(const char *s, char *out, size_t size)
{
	size_t n;

	s += strspn(s, " ");
	n = strcspn(s, " \n");
	(void)snprintf(out, size, "%.*s", (int)(n < size ? n : size - 1), s);
	return s + n;
}

/* "0x…-0x…   20480 function+0xca/0x100 [module] pages=4 vmalloc N0=4" */
static void parse_line(const char *line, uint64_t page_size, struct kmem_owners *owners)
{
	struct kmem_owner row = {.kind = KMEM_VMALLOC, .line = KMEM_IN_VMALLOC, .count = 1};
	char word[64], function[64], module[32] = "";
	uint64_t pages = 0;
	bool counted = false;

	line = next_word(line, word, sizeof(word));
	line = next_word(line, word, sizeof(word));
	line = next_word(line, function, sizeof(function));
	function[strcspn(function, "+")] = '\0';
	for (line = next_word(line, word, sizeof(word)); *word;
	     line = next_word(line, word, sizeof(word))) {
		if (word[0] == '[')
			(void)snprintf(module, sizeof(module), " %.30s", word);
		else if (strncmp(word, "pages=", 6) == 0 &&
			 num_u64(word + 6, 0, 1ULL << 34, &pages) < 0)
			return;
		/* vmap, ioremap and vm_map_ram map what others have allocated. */
		counted |= strcmp(word, "vmalloc") == 0;
	}
	if (!counted || is_told_elsewhere(function))
		return;
	(void)snprintf(row.what, sizeof(row.what), "%.31s%s", function, module);
	row.bytes = pages * page_size;
	kmem_owners_add(owners, &row);
}

void kmem_vmalloc_parse(const char *text, uint64_t page_size, struct kmem_owners *owners)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		parse_line(line, page_size, owners);
	}
}

/* Functions with less are not told: there are hundreds. */
#define TOLD_MIN (64 << 10)

static void keep_large(struct kmem_owners *owners)
{
	size_t n = 0;

	kmem_owners_merge(owners);
	while (n < owners->n && owners->items[n].bytes >= TOLD_MIN)
		n++;
	owners->n = n;
}

void kmem_read_vmalloc(struct kmem_reading *reading)
{
	_cleanup_buf_ struct buf meminfo = BUF_INIT(64 << 10), text = BUF_INIT(ROOT_FILE_MAX);
	struct kmem_owners owners = {0};
	struct meminfo info = {0};
	int r;

	if (root_read(reading->proc, "meminfo", &meminfo, NULL) < 0 || !meminfo.data)
		return;
	meminfo_parse(meminfo.data, &info, NULL);
	if (info.vmalloc_used > USED_MAX) {
		kmem_missing_add(
			&reading->missing,
			"vmalloc by function: over 1 GiB, reading its list stalls the node");
		return;
	}
	r = root_read(reading->proc, "vmallocinfo", &text, NULL);
	if (r == -EACCES || r == -EPERM)
		kmem_missing_add(&reading->missing, "vmalloc by function: not readable");
	if (text.data)
		kmem_vmalloc_parse(text.data, (uint64_t)sysconf(_SC_PAGESIZE), &owners);
	keep_large(&owners);
	for (size_t i = 0; i < owners.n; i++)
		kmem_owners_add(&reading->owners, &owners.items[i]);
	kmem_owners_done(&owners);
}
