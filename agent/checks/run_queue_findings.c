/* SPDX-License-Identifier: Apache-2.0 */
/* The findings of RunQueueLatency. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "checks/run_queue_latency.h"
#include "report/hints.h"

enum {
	PERIODS_MIN = 10, /* fewer say nothing about a share */
	WANTED_STEP = 50, /* thousandths of a CPU */
};

uint64_t run_queue_wanted_millis(const struct cpu_quota *quota, uint64_t window_ns,
				 unsigned int n_cpus)
{
	uint64_t max = (uint64_t)n_cpus * 1000, cpus, stopped_ns, wanted;

	if (quota->limit_millis == UINT64_MAX || quota->limit_millis == 0 || window_ns == 0)
		return 0;
	/* throttled_ns counts each CPU it was kept from; it runs on as many as its limit is, at least. */
	cpus = (quota->limit_millis + 999) / 1000;
	stopped_ns = quota->throttled_ns / cpus;
	if (stopped_ns > window_ns / 20 * 19)
		stopped_ns = window_ns / 20 * 19;
	wanted = num_muldiv(quota->limit_millis, window_ns, window_ns - stopped_ns);
	wanted = (wanted + WANTED_STEP - 1) / WANTED_STEP * WANTED_STEP;
	return wanted < max ? wanted : max;
}

/* "shop/api-0/app", "system.slice/x.service". The caller frees it. */
static char *owner_text(const struct owner *owner)
{
	char *text;

	if (owner->pod)
		return xasprintf("%s/%s%s%s", owner->ns ? owner->ns : "?", owner->pod,
				 owner->container ? "/" : "",
				 owner->container ? owner->container : "");
	if (!owner->cgroup)
		return xstrdup("nobody for long");
	text = text_escape_name(owner->cgroup, strlen(owner->cgroup));
	text_shorten_middle(text, 100);
	return text;
}

/* The one that others can do something about: not the waiter itself. NULL: there is none. */
static const struct run_queue_holder *culprit_of(const struct run_queue_item *item,
						 const struct owner *waiter)
{
	for (size_t i = 0; i < item->n_holders; i++) {
		const struct owner *owner = &item->holders[i].owner;

		if (owner->cgroup && owner->cgroup_id != waiter->cgroup_id)
			return &item->holders[i];
	}
	return NULL;
}

static bool is_self(const struct run_queue_facts *facts, const struct run_queue_holder *holder)
{
	return facts->self_pid != 0 && holder->waits.holder_pid == facts->self_pid;
}

static void set_quoted(struct hint_facts *hints, const char *name, const char *value)
{
	_cleanup_free_ char *quoted = value ? text_shell_quote(value, strlen(value)) : NULL;

	if (quoted)
		hint_facts_set(hints, name, "%s", quoted);
}

/* What both kinds of findings' remedies may name. */
static void common_hints(const struct run_queue_facts *facts, const struct owner *owner,
			 const struct run_queue_item *item, struct hint_facts *hints)
{
	_cleanup_free_ char *dir = NULL;

	hints->conditions |= facts->v2 ? HINT_CGROUP_V2 : HINT_CGROUP_V1;
	if (owner->pod && owner->ns) {
		set_quoted(hints, "namespace_q", owner->ns);
		set_quoted(hints, "pod_q", owner->pod);
		if (owner->container)
			hint_facts_set(hints, "container", "%s", owner->container);
	}
	if (facts->cpu_mount && owner->cgroup && !owner->dying && strcmp(owner->cgroup, "/") != 0) {
		dir = xasprintf("%s%s", facts->cpu_mount, owner->cgroup);
		set_quoted(hints, "cpu_dir_q", dir);
	}
	if (item->has_quota && item->quota.request_millis > 0)
		hint_facts_set(hints, "request", "%" PRIu64 "m", item->quota.request_millis);
	if (item->has_quota && item->quota.limit_millis != UINT64_MAX)
		hint_facts_set(hints, "limit", "%" PRIu64 "m", item->quota.limit_millis);
}

/* --- others had the CPU ----------------------------------------------------------------------------------------------- */

static void add_wait_hints(const struct run_queue_facts *facts,
			   const struct latency_container *container,
			   const struct run_queue_item *item,
			   const struct run_queue_holder *culprit, const struct hist *waits,
			   struct finding *finding)
{
	struct hint_facts hints = {0};
	char sum[NUM_TEXT_MAX], held[NUM_TEXT_MAX];
	uint64_t waiting_millis = facts->rows->window_ns
					  ? num_muldiv(waits->sum_ns, 1000, facts->rows->window_ns)
					  : 0;

	common_hints(facts, &container->owner, item, &hints);
	hint_facts_set(&hints, "waited", "%s", num_format_micros(waits->sum_ns / 1000, sum));
	if (item->has_quota && item->quota.request_millis > 0) {
		uint64_t more = item->quota.request_millis + waiting_millis;
		uint64_t max = (uint64_t)facts->n_cpus * 1000;

		more = (more + WANTED_STEP - 1) / WANTED_STEP * WANTED_STEP;
		hint_facts_set(&hints, "new_request", "%" PRIu64 "m", more < max ? more : max);
	}
	if (culprit) {
		_cleanup_free_ char *name = owner_text(&culprit->owner);

		hint_facts_set(&hints, "holder", "%s", name);
		hint_facts_set(&hints, "held", "%s",
			       num_format_micros(culprit->waits.held_ns / 1000, held));
		if (is_self(facts, culprit)) {
			hint_facts_self(&hints, facts->spec->window_ms);
		} else if (culprit->owner.pod && culprit->owner.ns) {
			set_quoted(&hints, "holder_ns_q", culprit->owner.ns);
			set_quoted(&hints, "holder_pod_q", culprit->owner.pod);
		} else {
			hint_facts_set(&hints, "holder_pid", "%u", culprit->waits.holder_pid);
		}
	}
	hints_apply(&hints, finding);
	hint_facts_done(&hints);
}

static void add_wait_finding(const struct run_queue_facts *facts,
			     const struct latency_container *container,
			     const struct run_queue_item *item, const struct hist *waits,
			     enum severity severity, struct findings *findings)
{
	const struct run_queue_holder *culprit = culprit_of(item, &container->owner);
	struct finding *finding = findings_add(findings);
	char sum[NUM_TEXT_MAX], longest[NUM_TEXT_MAX], held[NUM_TEXT_MAX], p99[NUM_TEXT_MAX];
	_cleanup_free_ char *holder = culprit ? owner_text(&culprit->owner) : NULL;
	unsigned int permille = latency_permille(facts->rows, waits->sum_ns);

	(void)num_format_micros(waits->sum_ns / 1000, sum);
	(void)num_format_micros((waits->max_ns + 999) / 1000, longest);
	finding->check = CHECK_RUN_QUEUE_LATENCY;
	finding->severity = severity;
	finding->reason = "RunQueueWait";
	finding->subject = owner_copy(&container->owner);
	finding->message =
		culprit ? xasprintf("its threads were ready to run and waited %s for a CPU (%u.%u "
				    "%% of the "
				    "window), at most %s; most of its long waits were for %s%s",
				    sum, permille / 10, permille % 10, longest, holder,
				    is_self(facts, culprit) ? " (memdiag itself)" : "")
			: xasprintf("its threads were ready to run and waited %s for a CPU (%u.%u "
				    "%% of the "
				    "window), at most %s",
				    sum, permille / 10, permille % 10, longest);
	finding_add_evidence(finding, "waits", "%llu", waits->count);
	finding_add_evidence(finding, "waitedMicros", "%llu", waits->sum_ns / 1000);
	finding_add_evidence(finding, "p99", "%s",
			     num_format_micros(hist_quantile_us(waits, 990), p99));
	finding_add_evidence(finding, "longest", "%s", longest);
	if (culprit) {
		_cleanup_free_ char *comm =
			text_plain(culprit->waits.holder_comm, strlen(culprit->waits.holder_comm));

		finding_add_evidence(finding, "heldBy", "%.120s", holder);
		finding_add_evidence(finding, "heldByTask", "%s (pid %u)", comm,
				     culprit->waits.holder_pid);
		finding_add_evidence(finding, "heldFor", "%s",
				     num_format_micros(culprit->waits.held_ns / 1000, held));
	}
	add_wait_hints(facts, container, item, culprit, waits, finding);
}

/* --- its limit -------------------------------------------------------------------------------------------------------- */

static void add_quota_hints(const struct run_queue_facts *facts,
			    const struct latency_container *container,
			    const struct run_queue_item *item, struct finding *finding)
{
	const struct cpu_quota *quota = &item->quota;
	uint64_t wanted = run_queue_wanted_millis(quota, facts->rows->window_ns, facts->n_cpus);
	struct hint_facts hints = {0};

	common_hints(facts, &container->owner, item, &hints);
	hint_facts_set(&hints, "throttled", "%" PRIu64 " of %" PRIu64 " periods", quota->throttled,
		       quota->periods);
	if (wanted > quota->limit_millis) {
		hint_facts_set(&hints, "new_limit", "%" PRIu64 "m", wanted);
		hint_facts_set(&hints, "new_quota_us", "%" PRIu64,
			       num_muldiv(wanted, quota->period_us, 1000));
		hint_facts_set(&hints, "period_us", "%" PRIu64, quota->period_us);
	}
	if (quota->limit_millis != UINT64_MAX) {
		hint_facts_set(&hints, "burst_us", "%" PRIu64,
			       num_muldiv(quota->limit_millis, quota->period_us, 1000));
		hint_facts_set(&hints, "threads", "%" PRIu64, (quota->limit_millis + 999) / 1000);
	}
	hints_apply(&hints, finding);
	hint_facts_done(&hints);
}

static void add_quota_finding(const struct run_queue_facts *facts,
			      const struct latency_container *container,
			      const struct run_queue_item *item, enum severity severity,
			      struct findings *findings)
{
	struct hist waits = latency_container_cause(container, RUNQUEUE_THROTTLED);
	struct finding *finding = findings_add(findings);
	const struct cpu_quota *quota = &item->quota;
	uint64_t permille = num_muldiv(quota->throttled, 1000, quota->periods);
	char sum[NUM_TEXT_MAX], longest[NUM_TEXT_MAX];

	(void)num_format_micros(waits.sum_ns / 1000, sum);
	(void)num_format_micros((waits.max_ns + 999) / 1000, longest);
	finding->check = CHECK_RUN_QUEUE_LATENCY;
	finding->severity = severity;
	finding->reason = "CpuThrottled";
	finding->subject = owner_copy(&container->owner);
	finding->message = xasprintf(
		"its CPU limit stopped it in %" PRIu64 ".%" PRIu64
		" %% of the periods it wanted to run in; its threads waited %s for that, at most "
		"%s: no other pod is to blame",
		permille / 10, permille % 10, sum, longest);
	finding_add_evidence(finding, "throttledPeriods", "%" PRIu64 " of %" PRIu64,
			     quota->throttled, quota->periods);
	finding_add_evidence(finding, "throttledMicros", "%" PRIu64, quota->throttled_ns / 1000);
	finding_add_evidence(finding, "threadsWaitedMicros", "%llu", waits.sum_ns / 1000);
	finding_add_evidence(finding, "longest", "%s", longest);
	if (quota->limit_millis != UINT64_MAX)
		finding_add_evidence(finding, "cpuLimit", "%" PRIu64 "m", quota->limit_millis);
	add_quota_hints(facts, container, item, finding);
}

void run_queue_find(const struct run_queue_facts *facts, struct findings *findings)
{
	uint64_t window_us = facts->rows->window_ns / 1000;

	for (size_t i = 0; i < facts->rows->n; i++) {
		const struct latency_container *container = &facts->rows->items[i];
		const struct run_queue_item *item = &facts->items[i];
		struct hist waits = latency_container_cause(container, RUNQUEUE_CONTENTION);
		enum severity severity;

		/* Kernel threads and what has no cgroup of its own: nobody to turn to. */
		if (!container->owner.cgroup || strcmp(container->owner.cgroup, "/") == 0)
			continue;
		severity = spec_severity_wait(facts->spec, "RunQueueWait", waits.sum_ns / 1000,
					      waits.max_ns / 1000, window_us);
		if (severity != SEVERITY_NONE)
			add_wait_finding(facts, container, item, &waits, severity, findings);
		if (!item->has_quota || item->quota.periods < PERIODS_MIN)
			continue;
		severity = spec_severity(facts->spec, "CpuThrottled", item->quota.throttled,
					 item->quota.periods);
		if (severity != SEVERITY_NONE)
			add_quota_finding(facts, container, item, severity, findings);
	}
}
