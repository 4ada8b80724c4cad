/* SPDX-License-Identifier: Apache-2.0 */
/* Judging kernel memory: findings. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "checks/kernel_memory.h"
#include "report/hints.h"

static const char invisible[] = "InvisibleMemory", growing[] = "InvisibleMemoryGrowth";

/* Growth below is noise: counters kept per CPU, and what this very run loads into the kernel. */
#define GROWTH_MIN (16 << 20)

enum {
	MAX_GROUPS = 256,
	NAMED_OWNERS = 3, /* in a message */
	STACK_FUNCTIONS = 4,
};

/* What the processes of one container (or unit, or cgroup) hold. */
struct group {
	const struct owner *whose;
	uint64_t bytes, residual_bytes;
	int64_t grown;
};

struct groups {
	struct group items[MAX_GROUPS];
	size_t n;
};

/* What neither a process' RSS nor a file accounts for; what has no process has a counter, unless it is in the residual. */
static bool is_invisible(const struct kernel_owner *owner)
{
	return owner->row.line == KMEM_IN_RESIDUAL ||
	       (owner->row.pid > 0 &&
		(owner->row.line == KMEM_IN_VMALLOC || owner->row.line == KMEM_IN_PERCPU));
}

/* Of the residual alone: the other lines' growth is not what grew. */
static int64_t growth_of(const struct kernel_owner *owner)
{
	return owner->row.line == KMEM_IN_RESIDUAL && !owner->charged ? owner->grown : 0;
}

static bool belongs(const struct kernel_owner *owner, const struct owner *whose)
{
	const char *cgroup = owner->whose.cgroup;

	if (!whose)
		return !cgroup;
	return cgroup && owner->whose.cgroup_id == whose->cgroup_id &&
	       strcmp(cgroup, whose->cgroup) == 0;
}

static struct group *group_of(struct groups *groups, const struct kernel_owner *owner)
{
	for (size_t i = 0; i < groups->n; i++)
		if (belongs(owner, groups->items[i].whose))
			return &groups->items[i];
	if (groups->n == MAX_GROUPS)
		return NULL; /* rows come largest first: what is left is small */
	groups->items[groups->n] = (struct group){.whose = &owner->whose};
	return &groups->items[groups->n++];
}

static void add_groups(const struct kernel_facts *facts, struct groups *groups)
{
	for (size_t i = 0; i < facts->owners->n; i++) {
		const struct kernel_owner *owner = &facts->owners->items[i];
		struct group *group;

		if (!owner->whose.cgroup || !is_invisible(owner))
			continue;
		group = group_of(groups, owner);
		if (!group)
			continue;
		group->bytes += owner->row.bytes;
		if (owner->row.line == KMEM_IN_RESIDUAL) {
			group->residual_bytes += owner->row.bytes;
			group->grown += growth_of(owner);
		}
	}
}

/* --- names -------------------------------------------------------------------------------------------------------------- */

/* The n-th largest (by growth, or by bytes) of the owners that belong to whose (NULL: nobody); NULL: there are fewer. */
static const struct kernel_owner *nth_owner(const struct kernel_facts *facts,
					    const struct owner *whose, bool all, bool by_growth,
					    size_t n)
{
	const struct kernel_owner *last = NULL;

	for (size_t rank = 0; rank <= n; rank++) {
		const struct kernel_owner *best = NULL;

		for (size_t i = 0; i < facts->owners->n; i++) {
			const struct kernel_owner *o = &facts->owners->items[i];
			int64_t v = by_growth ? growth_of(o) : (int64_t)o->row.bytes;
			int64_t limit = !last	    ? INT64_MAX
					: by_growth ? last->grown
						    : (int64_t)last->row.bytes;
			int64_t most = !best	   ? 0
				       : by_growth ? best->grown
						   : (int64_t)best->row.bytes;

			/* Equal values: in the order of the list. */
			if (is_invisible(o) && (all || belongs(o, whose)) && v > most &&
			    (v < limit || (v == limit && o > last)))
				best = o;
		}
		if (!best)
			return NULL;
		last = best;
	}
	return last;
}

/* "packetRing of tcpdump (pid 12) 3Gi, tcp of envoy (pid 40) 200Mi"; "" when there is none. The caller frees it. */
static char *name_owners(const struct kernel_facts *facts, const struct owner *whose, bool all,
			 bool by_growth)
{
	_cleanup_buf_ struct buf out = BUF_INIT(400);

	for (size_t i = 0; i < NAMED_OWNERS; i++) {
		const struct kernel_owner *o = nth_owner(facts, whose, all, by_growth, i);
		_cleanup_free_ char *text = o ? kernel_owner_text(o) : NULL;
		char size[NUM_TEXT_MAX];

		if (!o ||
		    (i > 0 && (by_growth ? o->grown < GROWTH_MIN / 16 : o->row.bytes < 1 << 20)))
			break;
		(void)num_format_bytes(by_growth ? (uint64_t)o->grown : o->row.bytes, size);
		if (buf_printf(&out, "%s%s %s%s", i ? ", " : "", text, by_growth ? "+" : "", size) <
		    0)
			break;
	}
	return buf_take(&out);
}

/* The stack that allocated most of what nobody counts; NULL: no tracer, or nothing. */
static const struct alloc_trace_row *top_stack(const struct kernel_facts *facts)
{
	for (size_t i = 0; facts->trace && i < facts->trace->n_rows; i++)
		if (facts->trace->rows[i].kind == ALLOC_TRACE_OTHER &&
		    facts->trace->rows[i].n_frames > 0)
			return &facts->trace->rows[i];
	return NULL;
}

/* --- hints -------------------------------------------------------------------------------------------------------------- */

/* The rules are chosen by which of these names has a value: see report/hint_rules_kernel.c. */
static void owner_hint_facts(const struct kernel_owner *owner, struct hint_facts *hints)
{
	_cleanup_free_ char *text = kernel_owner_text(owner);
	char size[NUM_TEXT_MAX];

	(void)num_format_bytes(owner->row.bytes, size);
	hint_facts_set(hints, "owner", "%s", text);
	hint_facts_set(hints, "size", "%s", size);
	if (owner->charged)
		return;
	switch (owner->row.kind) {
	case KMEM_PACKET_RING:
		hint_facts_set(hints, "ring_pid", "%d", owner->row.pid);
		break;
	case KMEM_TCP:
	case KMEM_UDP:
	case KMEM_UNIX:
		hint_facts_set(hints, "socket_pid", "%d", owner->row.pid);
		hint_facts_set(hints, "ss_option", "%s",
			       owner->row.kind == KMEM_TCP   ? "t"
			       : owner->row.kind == KMEM_UDP ? "u"
							     : "x");
		break;
	case KMEM_BPF_MAP:
	case KMEM_BPF_PROG:
		hint_facts_set(hints, "bpf", "%s", size);
		break;
	case KMEM_PAGE_POOL:
		if (owner->row.what[0] && !strchr(owner->row.what, ' ')) {
			_cleanup_free_ char *device =
				text_shell_quote(owner->row.what, strlen(owner->row.what));

			hint_facts_set(hints, "device_q", "%s", device);
		}
		break;
	case KMEM_HUGE_REMAINS:
		hint_facts_set(hints, "remains", "%s", size);
		break;
	case KMEM_NVIDIA:
		hint_facts_set(hints, "nvidia_pid", "%d", owner->row.pid);
		break;
	default:
		break;
	}
	if (owner->row.pid > 0)
		hint_facts_set(hints, "pid", "%d", owner->row.pid);
}

static void stack_hint_facts(const struct alloc_trace_row *stack, struct hint_facts *hints)
{
	_cleanup_free_ char *text = kernel_stack_text(stack, STACK_FUNCTIONS);
	const char *from = NULL, *to = NULL;
	char size[NUM_TEXT_MAX];

	for (size_t i = 0; i < stack->n_frames && !from; i++) {
		from = strchr(stack->frames[i], '[');
		to = from ? strchr(from, ']') : NULL;
	}
	hint_facts_set(hints, "stack", "%s", text);
	hint_facts_set(hints, "stack_size", "%s", num_format_bytes(stack->bytes, size));
	if (from && to) {
		_cleanup_free_ char *module = text_shell_quote(from + 1, (size_t)(to - from - 1));

		hint_facts_set(hints, "module_q", "%s", module);
	}
}

static void add_hints(const struct kernel_facts *facts, const struct owner *whose, bool all,
		      bool by_growth, struct finding *finding)
{
	const struct kernel_owner *top = nth_owner(facts, whose, all, by_growth, 0);
	const struct alloc_trace_row *stack = whose && !by_growth ? NULL : top_stack(facts);
	struct hint_facts hints = {0};
	char size[NUM_TEXT_MAX];

	/* A few pages are not what the finding is about. */
	if (top && (by_growth ? top->grown > (int64_t)finding->bytes / 8
			      : top->row.bytes > finding->bytes / 8))
		owner_hint_facts(top, &hints);
	else
		hint_facts_set(&hints, "nobody", "%s", num_format_bytes(finding->bytes, size));
	if (stack && stack->bytes > finding->bytes / 8)
		stack_hint_facts(stack, &hints);
	hints_apply(&hints, finding);
	hint_facts_done(&hints);
}

/* --- findings ----------------------------------------------------------------------------------------------------------- */

static void add_evidence(const struct kernel_facts *facts, struct finding *finding)
{
	uint64_t explained = kernel_memory_explained(facts);
	uint64_t residual = facts->residual > 0 ? (uint64_t)facts->residual : 0;
	const struct alloc_trace_row *stack = top_stack(facts);

	finding_add_evidence(finding, "residualBytes", "%" PRIu64, residual);
	finding_add_evidence(finding, "unexplainedBytes", "%" PRIu64, residual - explained);
	finding_add_evidence(finding, "growthBytes", "%" PRId64,
			     facts->residual - facts->residual_before);
	finding_add_evidence(finding, "windowSeconds", "%" PRIu64, facts->window_ms / 1000);
	if (stack) {
		_cleanup_free_ char *text = kernel_stack_text(stack, STACK_FUNCTIONS);

		text_shorten_end(text, 120);
		finding_add_evidence(finding, "stack", "%s", text);
		finding_add_evidence(finding, "stackBytes", "%" PRIu64, stack->bytes);
	}
}

static struct finding *new_finding(const struct kernel_facts *facts, const char *reason,
				   enum severity severity, const struct owner *whose,
				   uint64_t bytes, struct findings *findings)
{
	struct finding *finding = findings_add(findings);

	finding->check = CHECK_KERNEL_MEMORY;
	finding->severity = severity;
	finding->reason = reason;
	finding->bytes = bytes;
	if (whose)
		finding->subject = owner_copy(whose);
	add_evidence(facts, finding);
	return finding;
}

static void judge_group(const struct kernel_facts *facts, const struct group *group,
			struct findings *findings)
{
	enum severity severity =
		spec_severity(facts->spec, invisible, group->bytes, facts->mem_total);
	_cleanup_free_ char *names = NULL;
	struct finding *finding;
	char size[NUM_TEXT_MAX];

	if (severity == SEVERITY_NONE)
		return;
	finding = new_finding(facts, invisible, severity, group->whose, group->bytes, findings);
	names = name_owners(facts, group->whose, false, false);
	finding->message = xasprintf("%s of kernel memory that no process shows is held here: %s",
				     num_format_bytes(group->bytes, size), names);
	add_hints(facts, group->whose, false, false, finding);
}

/* What no container's processes hold: devices' and drivers' memory, and what has no owner at all. */
static void judge_node(const struct kernel_facts *facts, const struct groups *groups,
		       struct findings *findings)
{
	uint64_t residual = facts->residual > 0 ? (uint64_t)facts->residual : 0, held = 0, size;
	uint64_t unexplained = residual - kernel_memory_explained(facts);
	_cleanup_free_ char *names = NULL;
	char text[NUM_TEXT_MAX], rest[NUM_TEXT_MAX];
	enum severity severity;
	struct finding *finding;

	for (size_t i = 0; i < groups->n; i++)
		held += groups->items[i].residual_bytes;
	size = residual > held ? residual - held : 0;
	/* The pages charged to cgroups include kernel stacks: what is explained otherwise is not to be exceeded. */
	size = size > unexplained ? size : unexplained;
	severity = spec_severity(facts->spec, invisible, size, facts->mem_total);
	if (severity == SEVERITY_NONE)
		return;
	finding = new_finding(facts, invisible, severity, NULL, size, findings);
	names = name_owners(facts, NULL, false, false);
	finding->message = xasprintf("%s of memory is neither a process', a file's nor in any of "
				     "the kernel's counters; %s "
				     "of it has no owner that can be seen%s%s",
				     num_format_bytes(size, text),
				     num_format_bytes(unexplained, rest), *names ? "; " : "",
				     names);
	add_hints(facts, NULL, false, false, finding);
}

static void judge_growth(const struct kernel_facts *facts, const struct groups *groups,
			 struct findings *findings)
{
	int64_t growth = facts->residual - facts->residual_before;
	const struct alloc_trace_row *stack = top_stack(facts);
	const struct owner *whose = NULL;
	_cleanup_free_ char *names = NULL, *functions = NULL;
	enum severity severity = SEVERITY_NONE;
	struct finding *finding;
	char size[NUM_TEXT_MAX], window[NUM_TEXT_MAX];

	if (growth >= GROWTH_MIN)
		severity = spec_severity(facts->spec, growing, (uint64_t)growth, facts->mem_total);
	if (severity == SEVERITY_NONE)
		return;
	for (size_t i = 0; i < groups->n; i++)
		if (groups->items[i].grown > growth / 2)
			whose = groups->items[i].whose;
	if (spec_limits_pods(facts->spec) && !whose)
		return;
	finding = new_finding(facts, growing, severity, whose, (uint64_t)growth, findings);
	names = name_owners(facts, whose, !whose, true);
	functions = stack ? kernel_stack_text(stack, STACK_FUNCTIONS) : xstrdup("");
	finding->message = xasprintf("kernel memory that no process shows grew by %s in %s%s%s%s%s",
				     num_format_bytes((uint64_t)growth, size),
				     num_format_seconds((facts->window_ms + 500) / 1000, window),
				     *names ? ": " : "", names,
				     *functions ? "; most was allocated by " : "", functions);
	add_hints(facts, whose, !whose, true, finding);
}

void kernel_memory_findings(const struct kernel_facts *facts, struct findings *findings)
{
	struct groups *groups = xcalloc(1, sizeof(*groups));

	add_groups(facts, groups);
	for (size_t i = 0; i < groups->n; i++)
		judge_group(facts, &groups->items[i], findings);
	if (!spec_limits_pods(facts->spec))
		judge_node(facts, groups, findings);
	judge_growth(facts, groups, findings);
	free(groups);
}
