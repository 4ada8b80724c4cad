/* SPDX-License-Identifier: Apache-2.0 */
/* What the remedies for reclaim propose, computed from what was measured. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"
#include "checks/reclaim_latency.h"
#include "identity/pod_controller.h"

#define MIB ((uint64_t)1 << 20)

enum { SCALE_MIN = 10, SCALE_MAX = 400 };

uint64_t reclaim_scale_factor(uint64_t pages_per_second, uint64_t managed_pages)
{
	uint64_t scale;

	if (managed_pages == 0)
		return SCALE_MIN;
	/* In units of 0.01 % of memory; 0.3 s x 3. */
	scale = num_muldiv(pages_per_second, 9000, managed_pages);
	if (scale >= SCALE_MAX)
		return SCALE_MAX;
	return scale < SCALE_MIN ? SCALE_MIN : scale + 1; /* rounded up */
}

static void set_bytes(struct hint_facts *hints, const char *name, uint64_t bytes)
{
	char text[NUM_TEXT_MAX];

	hint_facts_set(hints, name, "%s",
		       bytes == UINT64_MAX ? "max" : num_format_bytes(bytes, text));
}

static uint64_t round_up(uint64_t bytes)
{
	return (bytes + 16 * MIB - 1) / (16 * MIB) * (16 * MIB);
}

static uint64_t working_set(const struct cgroup_usage *usage)
{
	return usage->usage > usage->inactive_file && usage->inactive_file != UINT64_MAX
		       ? usage->usage - usage->inactive_file
		       : usage->usage;
}

/* A command that sets a container's memory request or limit where it is written down. */
static void set_resources(struct hint_facts *hints, const char *name, const struct owner *owner,
			  const char *what, uint64_t bytes)
{
	_cleanup_free_ char *ns = NULL, *container = NULL, *who = NULL;
	struct pod_controller controller;

	pod_controller_of(owner->pod, &controller);
	ns = text_shell_quote(owner->ns, strlen(owner->ns));
	container = text_shell_quote(owner->container, strlen(owner->container));
	who = text_shell_quote(controller.name, strlen(controller.name));
	if (*controller.kind && strcmp(controller.kind, "CronJob") != 0)
		hint_facts_set(hints, name,
			       "kubectl -n %s set resources %s/%s -c %s --%s=memory=%" PRIu64 "Mi",
			       ns, controller.kind, who, container, what, bytes / MIB);
	else
		hint_facts_set(
			hints, name,
			"kubectl -n %s get pod %s -o yaml # in what makes it: resources.%s.memory: "
			"%" PRIu64 "Mi of container %s",
			ns, owner->pod, what, bytes / MIB, container);
}

static void set_limit_command(const struct reclaim_facts *facts, struct hint_facts *hints,
			      const struct owner *owner, const struct owner *target, uint64_t bytes)
{
	bool own = !target || !target->cgroup ||
		   (owner->cgroup && strcmp(target->cgroup, owner->cgroup) == 0);
	const struct owner *whose = own ? owner : target;
	_cleanup_free_ char *quoted = NULL, *dir = NULL;

	if (own && owner->ns && owner->pod && owner->container && owner->container[0] != '(') {
		set_resources(hints, "set_limit_cmd", owner, "limits", bytes);
		return;
	}
	if (whose->unit) {
		quoted = text_shell_quote(whose->unit, strlen(whose->unit));
		hint_facts_set(
			hints, "set_limit_cmd", "systemctl set-property %s %s=%" PRIu64, quoted,
			facts->cgroup_mode == CGROUP_V2 ? "MemoryMax" : "MemoryLimit", bytes);
		return;
	}
	if (!whose->cgroup || !facts->cgroup_mount)
		return;
	dir = xasprintf("%s%s", facts->cgroup_mount, whose->cgroup);
	quoted = text_shell_quote(dir, strlen(dir));
	hint_facts_set(hints, "set_limit_cmd", "echo %" PRIu64 " > %s/%s", bytes, quoted,
		       facts->cgroup_mode == CGROUP_V2 ? "memory.max" : "memory.limit_in_bytes");
}

/*
 * A limit that the working set nearly fills is too small: room for a quarter more. One that cache fills is not: more room would be
 * filled as well.
 */
static void limit_facts(const struct reclaim_facts *facts, size_t i, const struct owner *target,
			struct hint_facts *hints)
{
	const struct cgroup_usage *usage = &facts->places[i].usage;
	uint64_t set = working_set(usage), wanted;

	if (usage->limit == UINT64_MAX || usage->usage == UINT64_MAX)
		return;
	set_bytes(hints, "limit", usage->limit);
	if (set >= usage->limit / 100 * 70) {
		wanted = set / 100 * 125;
		if (wanted < usage->limit / 100 * 125)
			wanted = usage->limit / 100 * 125;
		set_bytes(hints, "new_limit", round_up(wanted));
		set_limit_command(facts, hints, &facts->rows->items[i].owner, target,
				  round_up(wanted));
	} else {
		set_bytes(hints, "cache_size", usage->inactive_file);
		set_bytes(hints, "cache_limit", usage->limit);
	}
}

/* memory.high as KEP-2570 has it, and Koordinator's percentages for a pod. */
static void qos_facts(const struct reclaim_facts *facts, size_t i, struct hint_facts *hints)
{
	const struct owner *owner = &facts->rows->items[i].owner;
	const struct reclaim_place *place = &facts->places[i];
	uint64_t limit = place->usage.limit, request = place->request, set, high, low, throttling;
	_cleanup_free_ char *json = NULL, *quoted = NULL, *ns = NULL, *pod = NULL;

	if (limit == UINT64_MAX || place->usage.usage == UINT64_MAX || request >= limit)
		return;
	set = working_set(&place->usage);
	high = (request + (limit - request) / 10 * 9) / facts->page_size * facts->page_size;
	hint_facts_set(hints, "high_bytes", "%" PRIu64, high);
	set_bytes(hints, "high", high);
	if (!owner->ns || !owner->pod || request == 0)
		return;
	/* Not below what it works with. */
	if (high < set / 100 * 105)
		high = set / 100 * 105 < limit ? set / 100 * 105 : limit;
	low = num_muldiv(set, 100, request);
	low = low > 100 ? 100 : low;
	throttling = num_muldiv(high - request, 100, limit - request);
	json = xasprintf("{\"policy\":\"auto\",\"lowLimitPercent\":%" PRIu64
			 ",\"throttlingPercent\":%" PRIu64 "}",
			 low, throttling);
	quoted = text_shell_quote(json, strlen(json));
	ns = text_shell_quote(owner->ns, strlen(owner->ns));
	pod = text_shell_quote(owner->pod, strlen(owner->pod));
	hint_facts_set(hints, "qos_q", "%s", quoted);
	hint_facts_set(hints, "namespace_q", "%s", ns);
	hint_facts_set(hints, "pod_q", "%s", pod);
	hint_facts_set(hints, "low_percent", "%" PRIu64, low);
	hint_facts_set(hints, "throttling_percent", "%" PRIu64, throttling);
}

/* For one that waits above its memory.high. */
static void high_facts(const struct reclaim_facts *facts, size_t i, struct hint_facts *hints)
{
	const struct owner *owner = &facts->rows->items[i].owner;
	const struct reclaim_place *place = &facts->places[i];
	uint64_t high = place->usage.high, limit = place->usage.limit, wanted, request;

	set_bytes(hints, "high_now", high);
	if (high == UINT64_MAX || place->usage.usage == UINT64_MAX)
		return;
	wanted = working_set(&place->usage) / 100 * 120;
	if (wanted < high / 100 * 125)
		wanted = high / 100 * 125;
	wanted = round_up(wanted) < limit ? round_up(wanted) : limit;
	hint_facts_set(hints, "new_high_bytes", "%" PRIu64, wanted);
	set_bytes(hints, "new_high", wanted);
	/* The kubelet computes high = request + 0.9 (limit - request): backwards. */
	if (limit == UINT64_MAX || !owner->ns || !owner->container || place->request == 0 ||
	    wanted < limit / 10 * 9)
		return;
	request = (wanted - limit / 10 * 9) * 10;
	request = round_up(request < limit ? request : limit);
	if (request <= place->request)
		return;
	set_bytes(hints, "request", place->request);
	set_bytes(hints, "new_request", request);
	set_resources(hints, "set_request_cmd", owner, "requests", request);
}

static void watermark_facts(const struct reclaim_facts *facts, struct hint_facts *hints)
{
	const struct pressure_zones *zones = &facts->zones;
	uint64_t rate = num_muldiv(facts->vmstat.pgalloc, NSEC_PER_SEC,
				   facts->rows->window_ns ? facts->rows->window_ns : 1);
	uint64_t scale = reclaim_scale_factor(rate, zones->managed);

	if (facts->scale == 0 || facts->scale >= SCALE_MAX || zones->managed == 0)
		return;
	/* It stalled with what it has: at least twice as much. */
	if (scale < 2 * facts->scale)
		scale = 2 * facts->scale < SCALE_MAX ? 2 * facts->scale : SCALE_MAX;
	hint_facts_set(hints, "scale", "%" PRIu64, scale);
	hint_facts_set(hints, "scale_now", "%" PRIu64, facts->scale);
	set_bytes(hints, "gap",
		  (zones->low > zones->min ? zones->low - zones->min : 0) * facts->page_size);
	set_bytes(hints, "allocation_rate", rate * facts->page_size);
	set_bytes(hints, "reserve",
		  num_muldiv(zones->managed, scale - facts->scale, 10000) * facts->page_size);
}

void reclaim_hint_facts(const struct reclaim_facts *facts, size_t i, const struct owner *target,
			struct hint_facts *hints)
{
	hints->conditions |= facts->cgroup_mode == CGROUP_V2 ? HINT_CGROUP_V2 : HINT_CGROUP_V1;
	watermark_facts(facts, hints);
	if (i == SIZE_MAX)
		return;
	if (facts->cgroup_mount && facts->rows->items[i].owner.cgroup) {
		_cleanup_free_ char *dir =
			xasprintf("%s%s", facts->cgroup_mount, facts->rows->items[i].owner.cgroup);
		_cleanup_free_ char *quoted = text_shell_quote(dir, strlen(dir));

		hint_facts_set(hints, "cgroup_dir_q", "%s", quoted);
	}
	if (facts->places[i].usage.usage != UINT64_MAX) {
		uint64_t set = working_set(&facts->places[i].usage);

		set_bytes(hints, "working_set", set);
		hint_facts_set(hints, "low_bytes", "%" PRIu64, round_up(set));
		set_bytes(hints, "low", round_up(set));
	}
	limit_facts(facts, i, target, hints);
	high_facts(facts, i, hints);
	qos_facts(facts, i, hints);
}
