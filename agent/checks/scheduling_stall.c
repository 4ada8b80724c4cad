/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/scheduling_stall.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "checks/latency_rows.h"
#include "report/hints.h"

enum {
	CPUS_LISTED = 16,
	BUSY_PERMILLE = 50, /* of a CPU in interrupts, or stolen, from which it is listed */
};

/* --- functions -------------------------------------------------------------------------------------------------------- */

static bool begins(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

size_t stall_first_frame(char *const *frames, size_t n)
{
	/* How a timer's interrupt enters the kernel: x86, arm64 (two names), and what comes behind a clock event. */
	static const char *const entries[] = {"asm_sysvec_", "asm_common_interrupt", "el1h_64_irq",
					      "el1_irq", "apic_timer_interrupt"};
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < ARRAY_SIZE(entries); k++)
			if (begins(frames[i], entries[k]))
				at = i + 1;
	}
	return at < n ? at : 0;
}

bool stall_is_lock(const char *frame)
{
	static const char *const locks[] = {
		"_raw_spin_",	"_raw_read_",	     "_raw_write_",  "__raw_spin_",
		"queued_spin_", "native_queued_",    "__pv_queued_", "pv_queued_",
		"queued_read_", "queued_write_",     "osq_lock",     "mcs_spin_",
		"rwsem_spin_",	"mutex_spin_",	     "do_raw_spin_", "lock_acquire+",
		"__lock_",	"resilient_queued_", "delay_tsc",    "__delay",
		"__udelay",	"__const_udelay",    "delay_halt",
	};

	for (size_t i = 0; i < ARRAY_SIZE(locks); i++)
		if (begins(frame, locks[i]))
			return true;
	return false;
}

const char *stall_function(const struct stall_row *row)
{
	for (size_t i = 0; i < row->n_frames; i++)
		if (!stall_is_lock(row->frames[i]))
			return row->frames[i];
	return row->n_frames > 0 ? row->frames[0] : NULL;
}

const char *stall_lock(const struct stall_row *row)
{
	return row->n_frames > 0 && stall_is_lock(row->frames[0]) ? row->frames[0] : NULL;
}

bool stall_in_softirq(const struct stall_row *row)
{
	for (size_t i = 0; i < row->n_frames; i++)
		if (begins(row->frames[i], "__do_softirq") ||
		    begins(row->frames[i], "handle_softirqs"))
			return true;
	return false;
}

static const char *kind_of(const struct stall_row *row)
{
	if (row->event.kind == STALLS_IRQ_OFF)
		return "irq-off or steal";
	return stall_in_softirq(row) ? "softirq" : "no scheduling";
}

/* --- the result ------------------------------------------------------------------------------------------------------- */

static void add_stall(const struct stall_row *row, cJSON *list)
{
	const struct stalls_event *event = &row->event;
	_cleanup_free_ char *comm = text_plain(event->comm, strnlen(event->comm, STALLS_COMM));
	cJSON *object = tree_push_object(list), *frames;
	char when[CLOCK_TEXT_MAX];

	owner_add(&row->owner, object);
	tree_add_str(object, "time", clock_format_rfc3339(row->end, when));
	tree_add_str(object, "kind", kind_of(row));
	tree_add_str(object, "comm", comm);
	tree_add_u64(object, "pid", event->tgid);
	tree_add_u64(object, "cpu", event->cpu);
	tree_add_u64(object, "durationMicros", event->duration_ns / 1000);
	tree_add_str(object, "function", stall_function(row));
	tree_add_str(object, "lock", stall_lock(row));
	frames = tree_add_array(object, "frames");
	for (size_t i = 0; i < row->n_frames; i++)
		tree_push_str(frames, row->frames[i]);
}

static void add_cpus(const struct stall_facts *facts, cJSON *result)
{
	cJSON *list = tree_add_array(result, "cpus");
	size_t n = 0;

	for (size_t i = 0; i < facts->n_cpus && n < CPUS_LISTED; i++) {
		const struct stall_cpu *cpu = &facts->cpus[i];
		cJSON *object;

		if (cpu->irq_permille + cpu->softirq_permille < BUSY_PERMILLE &&
		    cpu->steal_permille < BUSY_PERMILLE)
			continue;
		object = tree_push_object(list);
		tree_add_u64(object, "cpu", cpu->cpu);
		tree_add_u64(object, "irqPermille", cpu->irq_permille);
		tree_add_u64(object, "softirqPermille", cpu->softirq_permille);
		tree_add_u64(object, "stealPermille", cpu->steal_permille);
		n++;
	}
}

static void describe(const struct stall_facts *facts, struct check_result *result)
{
	result->method = facts->method;
	result->coverage_permille = 1000;
	if (facts->missing) {
		result->reason = "LimitedByKernel";
		(void)snprintf(result->message, sizeof(result->message), "%s", facts->missing);
	} else if (facts->lost > 0) {
		result->reason = "EventsLost";
		(void)snprintf(result->message, sizeof(result->message),
			       "%" PRIu64 " stalls are in the counts alone, not in the list",
			       facts->lost);
	} else if (facts->no_symbols && facts->n > 0) {
		result->reason = "NamesMissing";
		(void)snprintf(result->message, sizeof(result->message),
			       "the kernel does not show its symbols (kernel.kptr_restrict, or "
			       "CAP_SYSLOG is missing): functions are addresses");
	}
}

/* --- findings --------------------------------------------------------------------------------------------------------- */

static bool same_owner(const struct owner *a, const struct owner *b)
{
	return a->cgroup_id == b->cgroup_id;
}

/* Whether the hypervisor's own account explains a late tick of that CPU. */
static bool is_stolen(const struct stall_facts *facts, const struct stalls_event *event)
{
	for (size_t i = 0; i < facts->n_cpus; i++)
		if (facts->cpus[i].cpu == event->cpu)
			return facts->cpus[i].stolen_ns >= event->duration_ns / 2;
	return false;
}

static bool counts(const struct stall_facts *facts, const struct stall_row *row, uint32_t kind)
{
	return row->event.kind == kind &&
	       !(kind == STALLS_IRQ_OFF && is_stolen(facts, &row->event));
}

static bool is_self(const struct stall_facts *facts, const struct stall_row *row)
{
	return facts->self_pid != 0 && row->event.tgid == facts->self_pid;
}

static void add_hints(const struct stall_facts *facts, const struct stall_row *row,
		      struct finding *finding)
{
	struct hint_facts hints = {0};
	const char *function = stall_function(row), *module = NULL;
	char duration[NUM_TEXT_MAX];

	if (function) {
		size_t n = strcspn(function, "+");
		_cleanup_free_ char *bare = xstrndup(function, n);
		const char *bracket = strchr(function, '[');

		hint_facts_set(&hints, "function", "%s", bare);
		if (bracket && !begins(bracket, "[bpf]"))
			module = bracket + 1;
		if (module) {
			_cleanup_free_ char *name = xstrndup(module, strcspn(module, "]"));

			hint_facts_set(&hints, "module", "%s", name);
		}
	}
	for (size_t i = 0; i < row->n_frames; i++)
		if (strstr(row->frames[i], "numa_stat_show"))
			hints.conditions |= HINT_NUMA_STAT;
	if (is_self(facts, row))
		hint_facts_self(&hints, facts->spec->window_ms);
	else
		hint_facts_set(&hints, "pid", "%u", row->event.tgid);
	hint_facts_set(&hints, "cpu", "%u", row->event.cpu);
	hint_facts_set(&hints, "duration", "%s",
		       num_format_micros(row->event.duration_ns / 1000, duration));
	hints_apply(&hints, finding);
	hint_facts_done(&hints);
}

/* The stalls of one owner and kind; longest is the first of them. */
static void add_finding(const struct stall_facts *facts, const struct stall_row *longest, size_t n,
			uint64_t sum_ns, enum severity severity, struct findings *findings)
{
	const struct stalls_event *event = &longest->event;
	_cleanup_free_ char *comm = text_plain(event->comm, strnlen(event->comm, STALLS_COMM));
	struct finding *finding = findings_add(findings);
	const char *function = stall_function(longest), *lock = stall_lock(longest);
	bool node = !longest->owner.cgroup || strcmp(longest->owner.cgroup, "/") == 0;
	char duration[NUM_TEXT_MAX], sum[NUM_TEXT_MAX];

	(void)num_format_micros(event->duration_ns / 1000, duration);
	(void)num_format_micros(sum_ns / 1000, sum);
	finding->check = CHECK_SCHEDULING_STALL;
	finding->severity = severity;
	finding->reason = event->kind == STALLS_IRQ_OFF ? "IrqOff" : "SchedulingStall";
	if (!node)
		finding->subject = owner_copy(&longest->owner);
	finding->message = xasprintf(
		event->kind == STALLS_IRQ_OFF
			? "CPU %u took no interrupts for %s (or its hypervisor had it) "
			  "while %s (%s %u) was in %s%s%s"
			: "CPU %u was kept from others for %s by %s (%s %u), in %s%s%s",
		event->cpu, duration, comm, is_self(facts, longest) ? "memdiag itself, pid" : "pid",
		event->tgid, function ? function : "an unknown function",
		lock ? ", waiting in " : "", lock ? lock : "");
	finding_add_evidence(finding, "kind", "%s", kind_of(longest));
	finding_add_evidence(finding, "stalls", "%zu", n);
	finding_add_evidence(finding, "longest", "%s", duration);
	finding_add_evidence(finding, "together", "%s", sum);
	finding_add_evidence(finding, "cpu", "%u", event->cpu);
	finding_add_evidence(finding, "task", "%s (pid %u)", comm, event->tgid);
	finding_add_evidence(finding, "function", "%s", function ? function : "unknown");
	if (lock)
		finding_add_evidence(finding, "lock", "%s", lock);
	add_hints(facts, longest, finding);
}

/* One finding for each owner: rows are longest first, so the first of an owner stands for it. */
static void find(const struct stall_facts *facts, uint32_t kind, struct findings *findings)
{
	const char *reason = kind == STALLS_IRQ_OFF ? "IrqOff" : "SchedulingStall";

	for (size_t i = 0; i < facts->n; i++) {
		const struct stall_row *row = &facts->rows[i];
		uint64_t sum_ns = 0;
		enum severity severity;
		size_t n = 0;
		bool seen = false;

		if (!counts(facts, row, kind))
			continue;
		for (size_t k = 0; k < facts->n; k++) {
			if (!counts(facts, &facts->rows[k], kind) ||
			    !same_owner(&facts->rows[k].owner, &row->owner))
				continue;
			seen |= k < i;
			sum_ns += facts->rows[k].event.duration_ns;
			n++;
		}
		if (seen)
			continue;
		severity = spec_severity_wait(facts->spec, reason, sum_ns / 1000,
					      row->event.duration_ns / 1000,
					      facts->window_ns / 1000);
		if (severity != SEVERITY_NONE)
			add_finding(facts, row, n, sum_ns, severity, findings);
	}
}

void scheduling_stall_judge(const struct stall_facts *facts, struct check_result *result)
{
	static const char *const kinds[STALLS_KINDS] = {"no scheduling", "irq-off or steal"};
	cJSON *node, *causes, *list;

	describe(facts, result);
	result->result = cJSON_CreateObject();
	tree_add_u64(result->result, "windowSeconds",
		     (facts->window_ns + NSEC_PER_SEC / 2) / NSEC_PER_SEC);
	node = tree_add_object(result->result, "node");
	causes = tree_add_array(node, "causes");
	for (size_t kind = 0; kind < STALLS_KINDS; kind++)
		latency_add_cause(kinds[kind], &facts->node[kind], causes);
	list = tree_add_array(result->result, "stalls");
	for (size_t i = 0; i < facts->n && i < facts->spec->top; i++)
		add_stall(&facts->rows[i], list);
	add_cpus(facts, result->result);
	find(facts, STALLS_NO_SCHED, &result->findings);
	find(facts, STALLS_IRQ_OFF, &result->findings);
}
