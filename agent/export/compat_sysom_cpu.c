/* SPDX-License-Identifier: Apache-2.0 */
/* SysOM's names: the node's CPUs. */
#include <string.h>

#include "base/mem.h"
#include "base/num.h"
#include "export/compat_sysom.h"
#include "instruments/cpu_times.h"

enum { LOADAVG_MAX = 256 };

/* "cpu0 0 0 0 0 0 0 RUN_NS DELAY_NS PCOUNT": the eighth and ninth number since version 15 of the file (2.6.30). */
static void put_cpu(struct exposition *e, char *line)
{
	const char *cpu = strsep(&line, " "), *word = NULL;
	uint64_t delay, count;

	for (int i = 0; i < 8 && line; i++)
		word = strsep(&line, " ");
	if (!word || !line || num_u64(word, 0, UINT64_MAX, &delay) < 0 ||
	    num_u64(strsep(&line, " "), 0, UINT64_MAX, &count) < 0)
		return;
	for (int i = 0; i < 2; i++) {
		const struct label labels[] = {{"cpu", cpu}, {"type", i ? "pcount" : "delay"}};

		exposition_u64(e, labels, ARRAY_SIZE(labels), i ? count : delay);
	}
}

static void put_schedstat(const struct root *proc, struct exposition *e)
{
	_cleanup_buf_ struct buf text = BUF_INIT(ROOT_FILE_MAX);
	char *rest, *line;

	if (root_read(proc, "schedstat", &text, NULL) < 0 || !text.data)
		return;
	exposition_family(e, "sysom_proc_schedstat", EXPOSITION_COUNTER,
			  "As SysOM names it; delay in ns. WaitOnRunq is delay by pcount.");
	rest = text.data;
	while ((line = strsep(&rest, "\n"))) {
		if (strncmp(line, "cpu", 3) == 0)
			put_cpu(e, line);
	}
}

/*
 * The original has the times that tasks had a CPU under this name, and shows them as delays. These are delays.
 */
static void put_dist(const struct reading *reading, struct exposition *e)
{
	static const struct sysom_class classes[] = {
		{"ms1", 0, 1000},	 {"ms10", 1000, 10000},	      {"ms100", 10000, 100000},
		{"s1", 100000, 1000000}, {"so", 1000000, UINT64_MAX},
	};
	const struct latency_snapshot *waits = reading->run_queue ? reading->run_queue->waits
								  : NULL;
	struct hist sum = {0};

	if (!waits)
		return;
	for (size_t i = 0; i < waits->n; i++)
		hist_add(&sum, &waits->rows[i].hist);
	exposition_family(e, "sysom_cpu_dist", EXPOSITION_COUNTER,
			  "As SysOM names it; waits for a CPU by length, ms1 is all up to 1 ms.");
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
		sysom_put(e, classes[i].type, sysom_count(&sum, &classes[i]));
}

static void put_jitter(struct exposition *e, const char *mod, const struct hist *hist)
{
	static const struct sysom_class classes[] = {
		{"dltnum", 0, UINT64_MAX},
		{"gt100ms", 100000, 500000},
		{"gt500ms", 500000, 1000000},
		{"gt1s", 1000000, UINT64_MAX},
	};
	struct label labels[] = {{"mod", mod}, {"type", "dlttm"}};

	exposition_u64(e, labels, ARRAY_SIZE(labels), hist->sum_ns / 1000000);
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		labels[1].value = classes[i].type;
		exposition_u64(e, labels, ARRAY_SIZE(labels), sysom_count(hist, &classes[i]));
	}
}

static void put_stalls(const struct reading *reading, struct exposition *e)
{
	static const char *const mods[STALLS_KINDS] = {
		[STALLS_NO_SCHED] = "noschd",
		[STALLS_IRQ_OFF] = "irqoff",
	};
	struct hist sums[STALLS_KINDS] = {{0}};

	if (!reading->stalls)
		return;
	for (size_t i = 0; i < reading->stalls->waits->n; i++) {
		const struct latency_row *row = &reading->stalls->waits->rows[i];

		if (row->cause < STALLS_KINDS)
			hist_add(&sums[row->cause], &row->hist);
	}
	exposition_family(
		e, "sched_moni_jitter", EXPOSITION_COUNTER,
		"As SysOM names it; CPUs kept from others for 10 ms and more, dlttm in ms.");
	for (int kind = 0; kind < STALLS_KINDS; kind++)
		put_jitter(e, mods[kind], &sums[kind]);
}

/* "1.75" is 175: the kernel writes two digits always. */
static int parse_hundredths(char *text, uint64_t *ret)
{
	char *point = text ? strchr(text, '.') : NULL;
	uint64_t whole, part;

	if (!point || strlen(point) != 3)
		return -1;
	*point = '\0';
	if (num_u64(text, 0, UINT32_MAX, &whole) < 0 || num_u64(point + 1, 0, 99, &part) < 0)
		return -1;
	*ret = whole * 100 + part;
	return 0;
}

/* "1.75 1.83 1.80 4/128 22224": of the 4 threads that run or could, one is the reader. */
static void put_loadavg(const struct reading *reading, struct exposition *e)
{
	static const char *const types[] = {"load1", "load5", "load15", "runq", "plit"};
	uint64_t values[ARRAY_SIZE(types)];
	_cleanup_buf_ struct buf text = BUF_INIT(LOADAVG_MAX);
	char *rest;

	if (root_read(&reading->host->proc, "loadavg", &text, NULL) < 0)
		return;
	rest = text.data;
	for (size_t i = 0; i < 3; i++) {
		if (parse_hundredths(strsep(&rest, " "), &values[i]) < 0)
			return;
	}
	if (!rest || num_u64(strsep(&rest, "/"), 0, UINT32_MAX, &values[3]) < 0 || !rest ||
	    num_u64(strsep(&rest, " "), 0, UINT32_MAX, &values[4]) < 0)
		return;
	values[3] -= values[3] > 0;
	exposition_family(e, "sysom_proc_loadavg", EXPOSITION_GAUGE,
			  "As SysOM names it; the load is in hundredths.");
	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		sysom_put(e, types[i], values[i]);
}

/* A share, so a gauge: since the reading before, at first since boot. Guests' time is the user's already. */
static void put_total(struct reading *reading, struct exposition *e)
{
	static const char *const modes[CPU_MODES] = {"user",   "nice",	   "sys",     "idle",
						     "iowait", "hardirq",  "softirq", "steal",
						     "guest",  "guestnice"};
	uint64_t now[CPU_MODES], added[CPU_MODES], total = 0;

	if (cpu_times_read_modes(&reading->host->proc, now, NULL) < 0)
		return;
	for (int mode = 0; mode < CPU_MODES; mode++) {
		/* Idle times of a CPU that went offline may go back. */
		added[mode] = now[mode] > reading->cpu_before[mode]
				      ? now[mode] - reading->cpu_before[mode]
				      : 0;
		total += mode < CPU_GUEST ? added[mode] : 0;
	}
	memcpy(reading->cpu_before, now, sizeof(now));
	if (total == 0)
		return;
	exposition_family(e, "sysom_proc_cpu_total", EXPOSITION_GAUGE,
			  "As SysOM names it; percent of all CPUs' time since the scrape before.");
	for (int mode = 0; mode < CPU_MODES; mode++) {
		const struct label label = {"mode", modes[mode]};

		exposition_milli(e, &label, 1, num_muldiv(added[mode], 100000, total));
	}
}

void sysom_cpu(struct reading *reading, struct exposition *e)
{
	put_schedstat(&reading->host->proc, e);
	put_dist(reading, e);
	put_stalls(reading, e);
	put_loadavg(reading, e);
	put_total(reading, e);
}
