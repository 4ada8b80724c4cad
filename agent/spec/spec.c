/* SPDX-License-Identifier: Apache-2.0 */
#include "spec/spec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/num.h"

const char *const check_type_names[CHECK_TYPES] = {
	[CHECK_MEMORY_BREAKDOWN] = "MemoryBreakdown",
	[CHECK_PAGE_CACHE] = "PageCache",
	[CHECK_SHARED_MEMORY] = "SharedMemory",
	[CHECK_SLAB_CACHE] = "SlabCache",
	[CHECK_CGROUP_LEAK] = "CgroupLeak",
	[CHECK_KERNEL_MEMORY] = "KernelMemory",
	[CHECK_RECLAIM_LATENCY] = "ReclaimLatency",
	[CHECK_COMPACTION_LATENCY] = "CompactionLatency",
	[CHECK_RUN_QUEUE_LATENCY] = "RunQueueLatency",
	[CHECK_SCHEDULING_STALL] = "SchedulingStall",
};

const char *const severity_names[] = {"", "Info", "Warning", "Critical"};

int check_type_parse(const char *name, enum check_type *ret)
{
	for (int i = 0; i < CHECK_TYPES; i++) {
		if (strcmp(name, check_type_names[i]) == 0) {
			*ret = (enum check_type)i;
			return 0;
		}
	}
	return -EINVAL;
}

struct spec *spec_new(void)
{
	struct spec *spec = xcalloc(1, sizeof(*spec));

	memcpy(spec->name, "local", sizeof("local"));
	for (int i = 0; i < CHECK_TYPES; i++)
		spec->checks[i] = true;
	spec->window_ms = 30 * 1000;
	spec->top = 10;
	spec->cpu_budget_ms = 2000;
	spec->active_deadline_seconds = 900;
	spec->history_limit = 3;
	return spec;
}

void spec_free(struct spec *spec)
{
	if (!spec)
		return;
	free(spec->node_name);
	free(spec->schedule);
	free(spec->time_zone);
	cJSON_Delete(spec->node_selector);
	cJSON_Delete(spec->namespaces);
	cJSON_Delete(spec->pod_selector);
	free(spec->pod_namespace);
	free(spec->pod_name);
	free(spec);
}

/* Reads fd to its end, at most SPEC_FILE_MAX bytes. */
static int read_all(int fd, struct buf *out)
{
	char chunk[16384];
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (buf_append(out, chunk, (size_t)n) < 0)
			return -EFBIG;
	}
	return 0;
}

int spec_load_file(const char *path, cJSON **ret, struct faults *faults)
{
	_cleanup_buf_ struct buf text = BUF_INIT(SPEC_FILE_MAX);
	bool standard_input = strcmp(path, "-") == 0;
	int fd = standard_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	struct err err = {0};
	int r;

	if (fd < 0) {
		(void)err_set(&err, errno, "cannot be opened");
		faults_add(faults, path, NULL, err.msg);
		return -EINVAL;
	}
	r = read_all(fd, &text);
	if (!standard_input)
		(void)close(fd);
	if (r == -EFBIG)
		(void)err_say(&err, EFBIG, "larger than 1 MiB, the most a MemoryDiagnosis may be");
	else if (r < 0)
		(void)err_set(&err, -r, "cannot be read");
	else if (text.len == 0)
		r = err_say(&err, EINVAL, "is empty; it must hold a %s", SPEC_KIND);
	else
		r = tree_parse_yaml(text.data, text.len, ret, &err);
	if (r < 0) {
		faults_add(faults, path, NULL, err.msg);
		return -EINVAL;
	}
	return 0;
}

bool spec_limits_pods(const struct spec *spec)
{
	return spec->namespaces || spec->pod_selector || spec->pod_name;
}

bool spec_targets_node(const struct spec *spec, const char *node_name, const cJSON *labels)
{
	const cJSON *want;

	if (spec->node_name)
		return strcmp(spec->node_name, node_name) == 0;
	cJSON_ArrayForEach (want, spec->node_selector) {
		const char *have = cJSON_GetStringValue(tree_member(labels, want->string));

		if (!have || strcmp(have, want->valuestring) != 0)
			return false;
	}
	return true;
}

/* What a threshold is compared with: each unit has its own. */
struct measured {
	uint64_t part, whole; /* for percentages */
	uint64_t value;	      /* for all other units */
};

static bool reaches(const struct threshold_value *limit, const struct measured *m)
{
	switch (limit->unit) {
	case THRESHOLD_PERMILLE:
		return m->whole > 0 && num_muldiv(m->part, 1000, m->whole) >= limit->value;
	case THRESHOLD_BYTES:
	case THRESHOLD_MICROS:
	case THRESHOLD_COUNT:
		return m->value >= limit->value;
	default:
		return false;
	}
}

static enum severity severity_of(const struct spec *spec, const char *reason,
				 const struct measured *m)
{
	const struct reason *row = reason_find(reason);
	struct threshold_value warning, critical;

	if (!row)
		return SEVERITY_NONE;
	warning = row->warning;
	critical = row->critical;
	for (size_t i = 0; i < spec->n_thresholds; i++) {
		const struct spec_threshold *t = &spec->thresholds[i];

		if (t->reason != row)
			continue;
		if (t->warning.unit)
			warning = t->warning;
		if (t->critical.unit)
			critical = t->critical;
	}
	if (reaches(&critical, m))
		return SEVERITY_CRITICAL;
	return reaches(&warning, m) ? SEVERITY_WARNING : SEVERITY_NONE;
}

enum severity spec_severity(const struct spec *spec, const char *reason, uint64_t value,
			    uint64_t whole)
{
	const struct measured m = {.part = value, .whole = whole, .value = value};

	return severity_of(spec, reason, &m);
}

enum severity spec_severity_wait(const struct spec *spec, const char *reason, uint64_t sum_us,
				 uint64_t longest_us, uint64_t window_us)
{
	const struct measured m = {.part = sum_us, .whole = window_us, .value = longest_us};

	return severity_of(spec, reason, &m);
}
