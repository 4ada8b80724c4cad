/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/cpu_quota.h"

#include <errno.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "instruments/keyvalue.h"

enum { STAT_MAX = 16 << 10 };

int cpu_cgroups_open(const struct cgroupfs *cgroups, struct cpu_cgroups *ret, struct err *err)
{
	static const char *const names[] = {"cpu", "cpu,cpuacct"};
	const char *memory = cgroups->memory.path ? cgroups->memory.path : "";
	const char *slash = strrchr(memory, '/');

	ret->v2 = cgroups->mode == CGROUP_V2;
	if (ret->v2)
		return root_open(&ret->root, memory, err);
	for (size_t i = 0; slash && i < ARRAY_SIZE(names); i++) {
		_cleanup_free_ char *path =
			xasprintf("%.*s/%s", (int)(slash - memory), memory, names[i]);

		if (root_open(&ret->root, path, NULL) == 0)
			return 0;
	}
	return err_set(err, ENOENT, "there is no cpu controller next to %s", memory);
}

void cpu_cgroups_close(struct cpu_cgroups *cpu)
{
	root_close(&cpu->root);
}

#define STAT(key, member, factor)                                      \
	{                                                              \
		key, offsetof(struct cpu_quota, member), factor, false \
	}

void cpu_quota_parse_stat(const char *text, struct cpu_quota *ret, struct parse_notes *notes)
{
	static const struct keyvalue_field fields[] = {
		STAT("nr_periods", periods, 1), STAT("nr_throttled", throttled, 1),
		STAT("throttled_time", throttled_ns, 1),    /* v1 */
		STAT("throttled_usec", throttled_ns, 1000), /* v2 */
	};

	keyvalue_parse(text, "cpu.stat", fields, ARRAY_SIZE(fields), ret, NULL, notes);
}

static void set_limit(uint64_t quota_us, uint64_t period_us, struct cpu_quota *ret)
{
	if (period_us == 0)
		return;
	ret->limit_millis = num_muldiv(quota_us, 1000, period_us);
	ret->quota_us = quota_us;
	ret->period_us = period_us;
}

void cpu_quota_parse_max(const char *text, struct cpu_quota *ret)
{
	_cleanup_free_ char *copy = xstrndup(text, strcspn(text, "\n"));
	char *rest = copy, *quota = strsep(&rest, " ");
	uint64_t quota_us, period_us;

	if (rest && num_u64(quota, 1, UINT32_MAX, &quota_us) == 0 &&
	    num_u64(rest, 1, UINT32_MAX, &period_us) == 0)
		set_limit(quota_us, period_us, ret);
}

static bool read_number(const struct cpu_cgroups *cpu, const char *rel, const char *file,
			uint64_t *ret)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", rel, file);
	unsigned long long v;

	if (root_read_u64(&cpu->root, path, &v, NULL) < 0)
		return false;
	*ret = v;
	return true;
}

/* The kubelet writes cpu.shares = request x 1024 / 1000; runtimes make v2's weight of that: 1 + (shares - 2) x 9999 / 262142. */
static void read_limits(const struct cpu_cgroups *cpu, const char *rel, struct cpu_quota *ret)
{
	_cleanup_free_ char *max_path = xasprintf("%s/cpu.max", rel);
	_cleanup_buf_ struct buf max = BUF_INIT(STAT_MAX);
	uint64_t quota_us, period_us, weight = 0;

	ret->limit_millis = UINT64_MAX;
	if (cpu->v2) {
		if (root_read(&cpu->root, max_path, &max, NULL) == 0 && max.data)
			cpu_quota_parse_max(max.data, ret);
		if (read_number(cpu, rel, "cpu.weight", &weight) && weight > 0)
			ret->request_millis =
				num_muldiv((weight - 1) * 262142 / 9999 + 2, 1000, 1024);
		return;
	}
	/* Without a quota it holds -1, which is no number here. */
	if (read_number(cpu, rel, "cpu.cfs_quota_us", &quota_us) &&
	    read_number(cpu, rel, "cpu.cfs_period_us", &period_us))
		set_limit(quota_us, period_us, ret);
	if (read_number(cpu, rel, "cpu.shares", &weight))
		ret->request_millis = num_muldiv(weight, 1000, 1024);
}

int cpu_quota_read(const struct cpu_cgroups *cpu, const char *path, struct cpu_quota *ret,
		   struct err *err)
{
	const char *rel = path + strspn(path, "/");
	_cleanup_free_ char *stat_path = xasprintf("%s/cpu.stat", *rel ? rel : ".");
	_cleanup_buf_ struct buf text = BUF_INIT(STAT_MAX);
	int r = root_read(&cpu->root, stat_path, &text, err);

	if (r < 0)
		return r;
	memset(ret, 0, sizeof(*ret));
	cpu_quota_parse_stat(text.data ? text.data : "", ret, NULL);
	read_limits(cpu, *rel ? rel : ".", ret);
	return 0;
}

struct cpu_quota cpu_quota_diff(const struct cpu_quota *before, const struct cpu_quota *after)
{
	struct cpu_quota diff = *after;

	if (!before || after->periods < before->periods || after->throttled < before->throttled ||
	    after->throttled_ns < before->throttled_ns)
		return diff;
	diff.periods -= before->periods;
	diff.throttled -= before->throttled;
	diff.throttled_ns -= before->throttled_ns;
	return diff;
}
