/* SPDX-License-Identifier: Apache-2.0 */
#include "checks/cgroup_leak.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "base/text.h"

static const char reason[] = "CgroupLeak";

enum {
	COST_SLAB = 13926, /* bytes of one dying memory cgroup: 13.6 KiB */
	COST_CPU = 1946,   /* and of each CPU: 1.9 KiB */
};

uint64_t cgroup_leak_cost(uint64_t n, unsigned int n_cpus)
{
	return n * (COST_SLAB + (uint64_t)COST_CPU * n_cpus);
}

static char *file_name(const struct leak_facts *facts, const struct pages_file *file)
{
	const struct cache_facts names = {.mounts = facts->mounts};

	return cache_file_name(&names, file);
}

/* --- the result ------------------------------------------------------------------------------------------------------- */

/* The kinds of things that still refer to them. */
static void add_pins(const struct leak_group *group, cJSON *row)
{
	const struct {
		const char *name;
		bool pins;
	} kinds[] = {
		{"Files", group->file_bytes > 0},
		{"SharedMemory", group->shmem_bytes > 0},
		/* Of what is on these lists, what the page scan does not know as shared memory. */
		{"AnonymousMemory", group->anon_bytes > group->shmem_bytes},
		{"Swap", group->swap_bytes > 0},
		{"Sockets", group->socket_bytes > 0},
		{"OtherReferences", group->other_refs > 0},
	};
	cJSON *list = tree_add_array(row, "pinnedBy");

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (kinds[i].pins)
			tree_push_str(list, kinds[i].name);
	}
}

static void add_group(const struct leak_facts *facts, const struct leak_group *group, cJSON *list)
{
	cJSON *row = tree_push_object(list), *files;
	struct owner owner = group->owner;
	_cleanup_free_ char *sample = NULL;

	owner.dying = false;
	owner.cgroup = group->place;
	owner_add(&owner, row);
	tree_add_str(row, "podUID", owner.pod_uid);
	if (group->owner.cgroup) {
		sample = text_escape_name(group->owner.cgroup, strlen(group->owner.cgroup));
		text_shorten_middle(sample, 512);
		tree_add_str(row, "sampleCgroup", sample);
	}
	tree_add_u64(row, "dying", group->dying);
	tree_add_u64(row, "pinnedBytes", group->pinned_bytes);
	tree_add_u64(row, "fileBytes", group->file_bytes);
	tree_add_u64(row, "shmemBytes", group->shmem_bytes);
	tree_add_u64(row, "swapBytes", group->swap_bytes);
	tree_add_u64(row, "socketBytes", group->socket_bytes);
	tree_add_u64(row, "chargedKernelBytes", group->kernel_bytes);
	tree_add_u64(row, "chargedSlabBytes", group->slab_bytes);
	tree_add_u64(row, "otherReferences", group->other_refs);
	tree_add_u64(row, "kernelBytes", cgroup_leak_cost(group->dying, facts->n_cpus));
	add_pins(group, row);
	tree_add_u64(row, "moreFiles", group->more_files);
	files = tree_add_array(row, "files");
	for (size_t i = 0; i < group->n_files; i++) {
		_cleanup_free_ char *name = file_name(facts, group->files[i].file);

		if (*name)
			tree_push_str(files, name);
	}
}

static void count_calls(const struct leak_facts *facts, struct check_result *result)
{
	uint64_t us;

	result->bpf_calls = facts->memcgs->bpf_calls;
	result->bpf_max_call_us = (facts->memcgs->bpf_max_call_ns + 999) / 1000;
	if (!facts->pages)
		return;
	us = (facts->pages->bpf_max_call_ns + 999) / 1000;
	result->bpf_calls += facts->pages->bpf_calls;
	if (us > result->bpf_max_call_us)
		result->bpf_max_call_us = us;
}

/* What of it is not all there is. Only below the deepest level counts are not complete. */
static void describe(const struct leak_facts *facts, struct check_result *result)
{
	const struct memcgs_snapshot *memcgs = facts->memcgs;
	const char *counts = memcgs->too_deep ? "counts of what was walked are complete"
					      : "counts are complete";
	char *to = result->message;
	size_t max = sizeof(result->message);

	result->method = "bpf-css-walk";
	result->coverage_permille = facts->pages ? facts->pages->coverage_permille : 1000;
	count_calls(facts, result);
	if (result->coverage_permille < 1000) {
		result->state = CHECK_TRUNCATED;
		result->reason = "CPUBudgetExhausted";
		(void)snprintf(to, max,
			       "%s; spec.cpuBudget ran out after %u.%u %% of memory, so files may "
			       "be missing",
			       counts, result->coverage_permille / 10,
			       result->coverage_permille % 10);
	} else if (memcgs->too_deep > 0) {
		result->reason = "TooDeep";
		(void)snprintf(to, max,
			       "%" PRIu64 " memory cgroups stand deeper than 63 levels below the "
			       "root: what is below these is not counted",
			       memcgs->too_deep);
	} else if (memcgs->not_kept > 0) {
		result->reason = "NotListed";
		(void)snprintf(to, max, "%s; %" PRIu64 " of them, beyond %zu, are in no group",
			       counts, memcgs->not_kept, MEMCGS_MAX);
	} else if (facts->pages_problem) {
		result->reason = "FilesMissing";
		(void)snprintf(to, max, "%s; the files that pin them are unknown: %s", counts,
			       facts->pages_problem);
	} else if (facts->not_scanned > 0) {
		result->reason = "FilesOfLargestOnly";
		(void)snprintf(to, max,
			       "%s; files were looked for in the %u largest, not in %" PRIu64
			       " more",
			       counts, PAGES_MAX_MEMCG_IDS, facts->not_scanned);
	}
}

/* --- findings --------------------------------------------------------------------------------------------------------- */

static char *message(const struct leak_facts *facts, const struct leak_group *group, uint64_t dying,
		     uint64_t pinned)
{
	char size[NUM_TEXT_MAX], cost[NUM_TEXT_MAX], part[NUM_TEXT_MAX];
	_cleanup_free_ char *of = NULL, *name = NULL;
	const struct leak_file *top = group && group->n_files > 0 ? &group->files[0] : NULL;

	if (group && group->owner.controller)
		of = xasprintf(" of %s", group->owner.controller);
	else if (group) {
		_cleanup_free_ char *place = text_escape_name(group->place, strlen(group->place));

		text_shorten_middle(place, 120);
		of = xasprintf(" below %s", place);
	}
	(void)num_format_bytes(pinned, size);
	(void)num_format_bytes(cgroup_leak_cost(dying, facts->n_cpus), cost);
	name = top ? file_name(facts, top->file) : xstrdup("");
	if (!*name)
		return xasprintf("%" PRIu64 " removed memory cgroups%s are still there: %s is "
				 "charged to them, and they take about %s of kernel memory",
				 dying, of ? of : "", size, cost);
	text_shorten_middle(name, 200);
	return xasprintf("%" PRIu64 " removed memory cgroups%s are still there: %s is charged to "
			 "them, most of it of %s (%s), and they take about %s of kernel memory",
			 dying, of ? of : "", size, name, num_format_bytes(top->bytes, part), cost);
}

static void add_evidence(const struct leak_facts *facts, const struct leak_group *group,
			 struct finding *finding)
{
	const struct memcgs_snapshot *memcgs = facts->memcgs;
	uint64_t dying = group ? group->dying : memcgs->dying;

	finding_add_evidence(finding, "dyingCgroups", "%" PRIu64, dying);
	finding_add_evidence(finding, "liveCgroups", "%" PRIu64, memcgs->live);
	finding_add_evidence(finding, "kernelBytesEstimate", "%" PRIu64,
			     cgroup_leak_cost(dying, facts->n_cpus));
	finding_add_evidence(finding, "fileBytes", "%" PRIu64,
			     group ? group->file_bytes : memcgs->dying_file_bytes);
	if (!group)
		return;
	if (group->swap_bytes > 0)
		finding_add_evidence(finding, "swapBytes", "%" PRIu64, group->swap_bytes);
	if (group->socket_bytes > 0)
		finding_add_evidence(finding, "socketBytes", "%" PRIu64, group->socket_bytes);
	finding_add_evidence(finding, "otherReferences", "%" PRIu64, group->other_refs);
	for (size_t i = 0; i < group->n_files && i < 2; i++) {
		_cleanup_free_ char *name = file_name(facts, group->files[i].file);

		text_shorten_middle(name, 120);
		if (*name)
			finding_add_evidence(finding, i == 0 ? "largestFile" : "nextFile", "%s",
					     name);
	}
}

/* A finding of a group, or of all together (group NULL). */
static void add_finding(const struct leak_facts *facts, const struct leak_group *group,
			enum severity severity, struct findings *findings)
{
	const struct memcgs_snapshot *memcgs = facts->memcgs;
	struct finding *finding = findings_add(findings);
	uint64_t pinned = memcgs->dying_file_bytes + memcgs->dying_anon_bytes +
			  memcgs->dying_unevictable_bytes;
	uint64_t dying = group ? group->dying : memcgs->dying;

	finding->check = CHECK_CGROUP_LEAK;
	finding->severity = severity;
	finding->reason = reason;
	finding->bytes = group ? group->pinned_bytes : pinned;
	if (group) {
		const struct owner subject = {
			.ns = group->owner.ns,
			.controller = group->owner.controller,
			.cgroup = group->place,
		};

		finding->subject = owner_copy(&subject);
		finding->reclaimable_bytes = group->file_bytes > group->dirty_bytes
						     ? group->file_bytes - group->dirty_bytes
						     : 0;
	}
	finding->message = message(facts, group, dying, finding->bytes);
	add_evidence(facts, group, finding);
	leak_add_hints(facts, group, finding);
}

void cgroup_leak_judge(const struct leak_facts *facts, struct check_result *result)
{
	const struct memcgs_snapshot *memcgs = facts->memcgs;
	enum severity worst = SEVERITY_NONE, all;
	cJSON *list;

	describe(facts, result);
	result->result = cJSON_CreateObject();
	tree_add_u64(result->result, "live", memcgs->live);
	tree_add_u64(result->result, "dying", memcgs->dying);
	tree_add_u64(result->result, "dyingBytes",
		     memcgs->dying_file_bytes + memcgs->dying_anon_bytes +
			     memcgs->dying_unevictable_bytes);
	tree_add_u64(result->result, "kernelBytes", cgroup_leak_cost(memcgs->dying, facts->n_cpus));
	tree_add_u64(result->result, "notListed", memcgs->not_kept);
	tree_add_u64(result->result, "tooDeep", memcgs->too_deep);
	tree_add_u64(result->result, "filesNotLookedFor", facts->not_scanned);
	tree_add_u64(result->result, "groupsNotListed",
		     facts->groups->n > facts->spec->top ? facts->groups->n - facts->spec->top : 0);
	tree_add_u64(result->result, "ofTooManyGroups", facts->groups->merged);
	list = tree_add_array(result->result, "groups");
	for (size_t i = 0; i < facts->groups->n && i < facts->spec->top; i++)
		add_group(facts, &facts->groups->items[i], list);
	for (size_t i = 0; i < facts->groups->n; i++) {
		const struct leak_group *group = &facts->groups->items[i];
		enum severity severity = spec_severity(facts->spec, reason, group->dying, 0);

		if (severity == SEVERITY_NONE)
			break; /* most first */
		worst = severity > worst ? severity : worst;
		add_finding(facts, group, severity, &result->findings);
	}
	all = spec_severity(facts->spec, reason, memcgs->dying, 0);
	if (all > worst && !spec_limits_pods(facts->spec))
		add_finding(facts, NULL, all, &result->findings);
}
