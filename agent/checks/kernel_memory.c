/* SPDX-License-Identifier: Apache-2.0 */
/* Judging kernel memory: the result. */
#include "checks/kernel_memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"

enum { STACK_FUNCTIONS = 6 }; /* of a stack's short text */

static const char charged_kind[] = "chargedPages";

/* Where each kind is read from, for the report. */
static const char *source_of(const struct kernel_owner *owner)
{
	static const char *const sources[KMEM_KINDS] = {
		[KMEM_PACKET_RING] = "sock_diag",
		[KMEM_TCP] = "sock_diag",
		[KMEM_UDP] = "sock_diag",
		[KMEM_UNIX] = "sock_diag",
		[KMEM_PERF] = "maps",
		[KMEM_BPF_MAP] = "fdinfo memlock",
		[KMEM_BPF_PROG] = "fdinfo memlock",
		[KMEM_IO_URING] = "fdinfo",
		[KMEM_PIPE] = "FIONREAD",
		[KMEM_DMA_BUF] = "fdinfo, bufinfo",
		[KMEM_DRM] = "fdinfo",
		[KMEM_NVIDIA] = "maps",
		[KMEM_RDMA] = "rdma netlink",
		[KMEM_PAGE_POOL] = "netdev netlink",
		[KMEM_HUGE_PAGES] = "hugepages, status",
		[KMEM_MEMFD] = "fstat",
		[KMEM_SECRET_MEM] = "fstat",
		[KMEM_HUGE_REMAINS] = "struct page",
		[KMEM_VMALLOC] = "vmallocinfo",
	};

	if (owner->charged || (owner->row.kind == KMEM_PAGE_POOL && owner->row.count == 0))
		return "struct page";
	return sources[owner->row.kind];
}

static uint64_t positive(int64_t v)
{
	return v > 0 ? (uint64_t)v : 0;
}

uint64_t kernel_memory_explained(const struct kernel_facts *facts)
{
	uint64_t sum = 0, charged = 0, residual = positive(facts->residual);

	for (size_t i = 0; i < facts->owners->n; i++) {
		const struct kernel_owner *owner = &facts->owners->items[i];

		if (owner->charged)
			charged += owner->row.bytes;
		else if (owner->row.line == KMEM_IN_RESIDUAL)
			sum += owner->row.bytes;
	}
	sum += charged > facts->kernel_stacks ? charged - facts->kernel_stacks : 0;
	return sum < residual ? sum : residual;
}

uint64_t kernel_memory_attributed(const struct kernel_facts *facts)
{
	uint64_t growth = positive(facts->residual - facts->residual_before);
	uint64_t owned = 0, traced = facts->trace ? facts->trace->bytes[ALLOC_TRACE_OTHER] : 0;

	for (size_t i = 0; i < facts->owners->n; i++) {
		const struct kernel_owner *owner = &facts->owners->items[i];

		if (owner->row.line == KMEM_IN_RESIDUAL && !owner->charged)
			owned += positive(owner->grown);
	}
	owned = owned > traced ? owned : traced;
	return owned < growth ? owned : growth;
}

char *kernel_owner_text(const struct kernel_owner *owner)
{
	const struct kmem_owner *row = &owner->row;
	_cleanup_free_ char *what = text_plain(row->what, strlen(row->what));

	if (owner->charged)
		return xstrdup("pages charged to it whose holder is not seen");
	if (row->pid > 0)
		return xasprintf("%s of %s (pid %d)", kmem_kind_names[row->kind],
				 owner->comm[0] ? owner->comm : "a process", row->pid);
	return xasprintf("%s%s%s", kmem_kind_names[row->kind], *what ? " " : "", what);
}

char *kernel_stack_text(const struct alloc_trace_row *row, size_t max_functions)
{
	_cleanup_buf_ struct buf out = BUF_INIT(512);

	for (size_t i = 0; i < row->n_frames && i < max_functions; i++) {
		_cleanup_free_ char *frame = text_plain(row->frames[i], strlen(row->frames[i]));
		const char *module = strchr(frame, '[');
		size_t n = strcspn(frame, "+ ");

		if (buf_printf(&out, "%s%.*s%s%s", i ? " < " : "", (int)n, frame, module ? " " : "",
			       module ? module : "") < 0)
			break;
	}
	return buf_take(&out);
}

static void add_owner(const struct kernel_owner *owner, cJSON *list)
{
	const struct kmem_owner *row = &owner->row;
	_cleanup_free_ char *what = text_plain(row->what, strlen(row->what));
	cJSON *object = tree_push_object(list);

	tree_add_str(object, "kind", owner->charged ? charged_kind : kmem_kind_names[row->kind]);
	tree_add_u64(object, "bytes", row->bytes);
	if (!owner->read_once)
		tree_add_int(object, "growthBytes", owner->grown);
	tree_add_u64(object, "count", row->count);
	if (row->pid > 0)
		tree_add_int(object, "pid", row->pid);
	tree_add_str(object, "command", owner->comm);
	tree_add_text(object, "name", what, 128);
	tree_add_str(object, "line", kmem_line_names[row->line]);
	tree_add_str(object, "certainty", kmem_certainty_names[row->certainty]);
	tree_add_str(object, "source", source_of(owner));
	owner_add(&owner->whose, object);
	tree_add_str(object, "podUID", owner->whose.pod_uid);
}

static void add_stack(const struct alloc_trace_row *row, cJSON *list)
{
	cJSON *object = tree_push_object(list), *frames;
	_cleanup_free_ char *text = kernel_stack_text(row, STACK_FUNCTIONS);
	_cleanup_free_ char *comm = text_plain(row->comm, strnlen(row->comm, sizeof(row->comm)));

	tree_add_u64(object, "bytes", row->bytes);
	tree_add_u64(object, "count", row->count);
	tree_add_str(object, "functions", text);
	tree_add_str(object, "command", comm);
	if (row->pid > 0)
		tree_add_int(object, "pid", row->pid);
	frames = tree_add_array(object, "frames");
	for (size_t i = 0; i < row->n_frames; i++) {
		_cleanup_free_ char *frame = text_plain(row->frames[i], strlen(row->frames[i]));

		text_shorten_end(frame, 128);
		tree_push_str(frames, frame);
	}
}

static void add_stacks(const struct kernel_facts *facts, cJSON *list)
{
	size_t n = 0;

	for (size_t i = 0; facts->trace && i < facts->trace->n_rows && n < facts->spec->top; i++) {
		const struct alloc_trace_row *row = &facts->trace->rows[i];

		/* The others are in lines of the breakdown, and other checks'. */
		if (row->kind != ALLOC_TRACE_OTHER || row->bytes == 0)
			continue;
		add_stack(row, list);
		n++;
	}
}

static void describe(const struct kernel_facts *facts, struct check_result *result)
{
	const struct kmem_missing *missing = facts->missing;
	size_t len = 0;

	result->method = facts->pages ? "proc-and-bpf-page-scan" : "proc";
	result->coverage_permille = 1000;
	if (facts->pages) {
		result->bpf_calls = facts->pages->bpf_calls;
		result->bpf_max_call_us = (facts->pages->bpf_max_call_ns + 999) / 1000;
	}
	if (missing->n == 0)
		return;
	result->reason = "PartsMissing";
	for (size_t i = 0; i < missing->n && len < sizeof(result->message); i++)
		len += (size_t)snprintf(result->message + len, sizeof(result->message) - len,
					"%s%s", i ? "; " : "not seen: ", missing->lines[i]);
}

void kernel_memory_judge(const struct kernel_facts *facts, struct check_result *result)
{
	uint64_t residual = positive(facts->residual), explained = kernel_memory_explained(facts);
	cJSON *list, *object = cJSON_CreateObject();

	describe(facts, result);
	result->result = object;
	tree_add_u64(object, "residualBytes", residual);
	tree_add_u64(object, "explainedBytes", explained);
	tree_add_u64(object, "unexplainedBytes", residual - explained);
	tree_add_int(object, "growthBytes", facts->residual - facts->residual_before);
	tree_add_u64(object, "attributedBytes", kernel_memory_attributed(facts));
	list = tree_add_array(object, "owners");
	for (size_t i = 0; i < facts->owners->n && i < facts->spec->top; i++)
		add_owner(&facts->owners->items[i], list);
	add_stacks(facts, tree_add_array(object, "stacks"));
	list = tree_add_array(object, "sites");
	if (facts->sites)
		kernel_sites_add(facts->sites, facts->spec->top, list);
	list = tree_add_array(object, "missing");
	for (size_t i = 0; i < facts->missing->n; i++)
		tree_push_str(list, facts->missing->lines[i]);
	kernel_memory_findings(facts, &result->findings);
}
