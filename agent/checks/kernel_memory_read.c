/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what judging kernel memory needs: before and after the window. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "checks/kernel_memory.h"
#include "identity/process_cgroup.h"
#include "instruments/meminfo.h"

struct capture {
	struct alloc_trace *trace; /* NULL: could not be attached */
	struct err trace_err;
	struct kmem_snapshot *before;
	struct allocinfo *sites_before;
	int64_t residual_before;
	uint64_t start_ns;
};

static void stop(void *self)
{
	struct capture *capture = self;

	if (!capture)
		return;
	alloc_trace_cancel(capture->trace);
	kmem_snapshot_free(capture->before);
	allocinfo_free(capture->sites_before);
	free(capture);
}

static int read_now(const struct check_env *env, bool vmalloc, struct meminfo *info,
		    struct kmem_snapshot **ret, struct err *err)
{
	const struct kmem_opts opts = {.proc = &env->host->proc, .vmalloc = vmalloc};
	int r = meminfo_sample(&env->host->proc, info, NULL, err);

	return r < 0 ? r : kmem_read(&opts, ret, err);
}

static int start(const struct check_env *env, void **ret_self, struct err *err)
{
	const struct alloc_trace_opts opts = {.max_rows = env->spec->top};
	struct capture *capture = xcalloc(1, sizeof(*capture));
	struct meminfo info;
	int r;

	/* First what takes memory itself. Without it growth has owners, but no stacks. */
	if (alloc_trace_start(&env->host->proc, &opts, &capture->trace, &capture->trace_err) < 0)
		capture->trace = NULL;
	r = read_now(env, false, &info, &capture->before, err);
	if (r < 0) {
		stop(capture);
		return r;
	}
	/* Few kernels have it. */
	(void)allocinfo_read(&env->host->proc, &capture->sites_before, NULL, NULL);
	capture->residual_before = meminfo_residual(&info);
	capture->start_ns = clock_mono_ns();
	*ret_self = capture;
	return 0;
}

/* --- whose ---------------------------------------------------------------------------------------------------------------- */

static void read_comm(const struct root *proc, struct kernel_owner *owner)
{
	_cleanup_buf_ struct buf text = BUF_INIT(64);
	_cleanup_free_ char *plain = NULL;
	char rel[32];

	(void)snprintf(rel, sizeof(rel), "%d/comm", owner->row.pid);
	if (root_read(proc, rel, &text, NULL) < 0 || !text.data)
		return;
	plain = text_plain(text.data, strcspn(text.data, "\n"));
	(void)snprintf(owner->comm, sizeof(owner->comm), "%s", plain);
}

/* Processes hold several rows: neighbours with the same pid share what was read for the first. */
static void read_whose(const struct check_env *env, const struct pods *pods,
		       struct kernel_owners *owners)
{
	for (size_t i = 0; i < owners->n; i++) {
		struct kernel_owner *owner = &owners->items[i];
		struct process_cgroup cgroup = {0};

		if (owner->row.pid == 0)
			continue;
		read_comm(&env->host->proc, owner);
		if (process_cgroup_read(&env->host->proc, &env->host->cgroups, pods, owner->row.pid,
					&cgroup) == 0)
			owner->whose = owner_of_cgroup(pods, env->sources->opts.identity.history,
						       cgroup.id, cgroup.path, false);
		process_cgroup_done(&cgroup);
	}
}

static void read_cgroups(const struct check_env *env, const struct pods *pods,
			 struct kernel_owners *owners)
{
	for (size_t i = 0; i < owners->n; i++) {
		struct owner *whose = &owners->items[i].whose;
		struct owner known;

		if (owners->items[i].row.pid > 0 || !whose->cgroup)
			continue;
		known = owner_of_cgroup(pods, env->sources->opts.identity.history, whose->cgroup_id,
					whose->cgroup, whose->dying);
		owner_done(whose);
		*whose = known;
	}
}

/* With a target of pods only their rows stay. */
static void keep_meant(const struct check_env *env, struct kernel_owners *owners)
{
	size_t n = 0;

	if (!spec_limits_pods(env->spec))
		return;
	for (size_t i = 0; i < owners->n; i++) {
		struct kernel_owner *owner = &owners->items[i];
		const struct owner *whose = &owner->whose;

		if (whose->cgroup &&
		    sources_means_cgroup(env->sources, whose->cgroup_id, whose->cgroup))
			owners->items[n++] = *owner;
		else
			owner_done(&owner->whose);
	}
	owners->n = n;
}

/* --- after the window ------------------------------------------------------------------------------------------------------ */

/* What facts point to. */
struct reading {
	struct kmem_snapshot *now;
	struct kernel_owners owners;
	struct kernel_pages_snapshot *pages;
	struct allocinfo *allocinfo;
	struct kernel_sites sites;
	struct alloc_trace_snapshot *trace;
	struct kmem_missing missing;
};

static void read_trace(struct capture *capture, struct reading *reading)
{
	struct err err = capture->trace_err;

	if (capture->trace) {
		int r = alloc_trace_stop(take_ptr(capture->trace), &reading->trace, &err);

		if (r == 0 && reading->trace->symbols_missing[0])
			kmem_missing_add(&reading->missing, "names of functions: %s",
					 reading->trace->symbols_missing);
		if (r == 0 && reading->trace->live_dropped > 0)
			kmem_missing_add(&reading->missing,
					 "stacks of %" PRIu64 " allocations beyond the ceiling",
					 reading->trace->live_dropped);
		if (r == 0)
			return;
	}
	kmem_missing_add(&reading->missing, "stacks of allocations: %s", err.msg);
}

static void read_pages(const struct check_env *env, struct reading *reading)
{
	struct sources *sources = env->sources;
	const uint64_t budget = sources->opts.cpu_budget_ns;
	const struct kernel_pages_opts opts = {
		/* 1 ns: what is left of nothing. */
		.cpu_budget_ns = budget == 0			  ? 0
				 : budget > sources->cpu_spent_ns ? budget - sources->cpu_spent_ns
								  : 1,
	};
	struct err err = {0};

	if (kernel_pages_scan(&env->host->proc, &opts, &reading->pages, &err) < 0) {
		kmem_missing_add(&reading->missing, "pages charged to cgroups: %s", err.msg);
		return;
	}
	sources->cpu_spent_ns += reading->pages->cpu_ns;
	if (reading->pages->coverage_permille < 1000)
		kmem_missing_add(&reading->missing,
				 "pages charged to cgroups: spec.cpuBudget ran out after %u %%",
				 reading->pages->coverage_permille / 10);
}

static int finish(const struct check_env *env, void *self, struct check_result *result,
		  struct err *err)
{
	struct capture *capture = self;
	struct reading reading = {0};
	struct kernel_facts facts = {.spec = env->spec};
	const struct pods *pods = NULL;
	struct meminfo info;
	int r = read_now(env, true, &info, &reading.now, err);

	if (r < 0)
		return r;
	facts.window_ms = (clock_mono_ns() - capture->start_ns) / NSEC_PER_MSEC;
	reading.missing = reading.now->missing;
	if (allocinfo_read(&env->host->proc, &reading.allocinfo, NULL, NULL) == 0) {
		kernel_sites_choose(reading.allocinfo, capture->sites_before, &reading.sites);
		facts.sites = &reading.sites;
	}
	/* Without the table of pods a cgroup still has its path. */
	(void)sources_pods(env->sources, &pods, NULL);
	reading.owners = kernel_owners_join(&reading.now->owners, &capture->before->owners);
	read_whose(env, pods, &reading.owners);
	read_trace(capture, &reading);
	read_pages(env, &reading);
	if (reading.pages)
		kernel_owners_add_pages(&reading.owners, reading.pages);
	read_cgroups(env, pods, &reading.owners);
	keep_meant(env, &reading.owners);
	kernel_owners_sort(&reading.owners);
	facts.mem_total = info.total;
	facts.kernel_stacks = info.kernel_stack;
	facts.residual = meminfo_residual(&info);
	facts.residual_before = capture->residual_before;
	facts.owners = &reading.owners;
	facts.pages = reading.pages;
	facts.trace = reading.trace;
	facts.missing = &reading.missing;
	kernel_memory_judge(&facts, result);
	kernel_owners_done(&reading.owners);
	kernel_pages_snapshot_free(reading.pages);
	allocinfo_free(reading.allocinfo);
	alloc_trace_snapshot_free(reading.trace);
	kmem_snapshot_free(reading.now);
	return 0;
}

const struct check check_kernel_memory = {
	.type = CHECK_KERNEL_MEMORY,
	.needs = "counters in /proc; for whose pages the BPF scan: BTF, CAP_BPF, CAP_PERFMON",
	.captures = true,
	.start = start,
	.finish = finish,
	.stop = stop,
};
