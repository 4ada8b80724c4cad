/* SPDX-License-Identifier: Apache-2.0 */
#include "instruments/cpu_times.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/num.h"

enum { FIELDS_MAX = CPU_MODES };

/*
 * "cpu12 1 2 3": the CPU's number and up to FIELDS_MAX values behind it. Returns how many; -1: it is another line, -2: it is one,
 * but not to be read.
 */
static int parse_cpu(const char *line, size_t len, uint32_t *ret_cpu, uint64_t *values)
{
	_cleanup_free_ char *copy = NULL;
	char *rest, *word;
	uint64_t cpu;
	int n = 0;

	if (len < 4 || memcmp(line, "cpu", 3) != 0 || line[3] == ' ')
		return -1;
	copy = xstrndup(line, len);
	rest = copy + 3;
	word = strsep(&rest, " ");
	if (num_u64(word, 0, CPU_TIMES_MAX - 1, &cpu) < 0)
		return -2;
	while (n < FIELDS_MAX && (word = strsep(&rest, " "))) {
		if (!*word)
			continue;
		if (num_u64(word, 0, UINT64_MAX >> 4, &values[n]) < 0)
			return -2;
		n++;
	}
	*ret_cpu = (uint32_t)cpu;
	return n;
}

static int by_cpu(const void *pa, const void *pb)
{
	const struct cpu_time *a = pa, *b = pb;

	return a->cpu < b->cpu ? -1 : a->cpu > b->cpu;
}

static void add_cpu(struct cpu_times *times, uint32_t cpu, const uint64_t *values, int n)
{
	struct cpu_time *time;

	times->cpus = xreallocarray(times->cpus, times->n + 1, sizeof(*times->cpus));
	time = &times->cpus[times->n++];
	*time = (struct cpu_time){.cpu = cpu, .irq = values[5], .softirq = values[6]};
	time->steal = n > 7 ? values[7] : 0; /* since 2.6.11 */
	for (int i = 0; i < n && i < 8; i++) /* guest and guest_nice are in user and nice */
		time->total += values[i];
}

void cpu_times_parse_stat(const char *text, struct cpu_times *times)
{
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		uint64_t values[FIELDS_MAX];
		uint32_t cpu = 0;
		int n = parse_cpu(line, len, &cpu, values);

		if (n == -2 || (n >= 0 && n < 7))
			parse_note(&times->notes, "stat", line, "not a CPU's times");
		else if (n >= 7 && times->n < CPU_TIMES_MAX)
			add_cpu(times, cpu, values, n);
		line += len + (line[len] == '\n');
	}
	if (times->n > 1)
		qsort(times->cpus, times->n, sizeof(*times->cpus), by_cpu);
}

/* Versions 15 to 17 have the same nine values of a CPU; the last three are time run, time waited, and stints. */
void cpu_times_parse_schedstat(const char *text, struct cpu_times *times)
{
	for (const char *line = text; *line;) {
		size_t len = strcspn(line, "\n");
		uint64_t values[FIELDS_MAX];
		uint32_t cpu;
		int n = parse_cpu(line, len, &cpu, values);

		if (n == -2 || (n >= 0 && n < 9)) {
			parse_note(&times->notes, "schedstat", line, "not a CPU's waits");
		} else if (n >= 9) {
			times->has_schedstat = true;
			times->delay_ns += values[7];
			times->waits += values[8];
		}
		line += len + (line[len] == '\n');
	}
}

int cpu_times_read(const struct root *proc, struct cpu_times **ret, struct err *err)
{
	_cleanup_buf_ struct buf stat = BUF_INIT(ROOT_FILE_MAX),
				 schedstat = BUF_INIT(ROOT_FILE_MAX);
	struct cpu_times *times;
	int r = root_read(proc, "stat", &stat, err);

	if (r < 0)
		return r;
	times = xcalloc(1, sizeof(*times));
	cpu_times_parse_stat(stat.data ? stat.data : "", times);
	if (root_read(proc, "schedstat", &schedstat, NULL) == 0)
		cpu_times_parse_schedstat(schedstat.data ? schedstat.data : "", times);
	*ret = times;
	return 0;
}

/* "cpu  1 2 3" comes first, and its numbers in the order of the modes. */
int cpu_times_parse_modes(char *text, uint64_t ret[CPU_MODES])
{
	uint64_t values[CPU_MODES] = {0};
	char *line = strsep(&text, "\n");
	const char *word = strsep(&line, " ");
	size_t n = 0;

	if (!word || strcmp(word, "cpu") != 0)
		return -EPROTO;
	while (n < CPU_MODES && (word = strsep(&line, " "))) {
		if (*word && num_u64(word, 0, UINT64_MAX >> 4, &values[n++]) < 0)
			return -EPROTO;
	}
	memcpy(ret, values, sizeof(values));
	return 0;
}

int cpu_times_read_modes(const struct root *proc, uint64_t ret[CPU_MODES], struct err *err)
{
	_cleanup_buf_ struct buf stat = BUF_INIT(ROOT_FILE_MAX);
	int r = root_read(proc, "stat", &stat, err);

	if (r < 0)
		return r;
	r = cpu_times_parse_modes(stat.data, ret);
	return r < 0 ? err_say(err, -r, "stat does not begin with all CPUs' times") : 0;
}

void cpu_times_free(struct cpu_times *times)
{
	if (!times)
		return;
	free(times->cpus);
	free(times);
}

const struct cpu_time *cpu_times_find(const struct cpu_times *times, uint32_t cpu)
{
	const struct cpu_time key = {.cpu = cpu};

	return times && times->n > 0
		       ? bsearch(&key, times->cpus, times->n, sizeof(*times->cpus), by_cpu)
		       : NULL;
}
