/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/reports.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct reports_of {
	struct map nodes; /* struct report_summary by node */
};

static void free_reports_of(void *arg)
{
	struct reports_of *of = arg;

	if (!of)
		return;
	map_done(&of->nodes);
	free(of);
}

void reports_init(struct reports *reports)
{
	*reports = (struct reports){.diagnoses = MAP_INIT(free_reports_of)};
}

void reports_done(struct reports *reports)
{
	map_done(&reports->diagnoses);
	reports->n = 0;
}

void reports_set(struct reports *reports, struct report_summary *summary)
{
	struct reports_of *of = map_get(&reports->diagnoses, summary->diagnosis);
	size_t before;

	if (!of) {
		of = xcalloc(1, sizeof(*of));
		of->nodes = (struct map)MAP_INIT(report_summary_free);
		map_set(&reports->diagnoses, summary->diagnosis, of);
	}
	before = of->nodes.n;
	map_set(&of->nodes, summary->node, summary);
	reports->n += of->nodes.n - before;
}

void reports_remove(struct reports *reports, const char *name)
{
	const char *dot = strchr(name, '.');
	_cleanup_free_ char *diagnosis = NULL;
	struct reports_of *of;
	size_t before;

	if (!dot)
		return;
	diagnosis = xstrndup(name, (size_t)(dot - name));
	of = map_get(&reports->diagnoses, diagnosis);
	if (!of)
		return;
	before = of->nodes.n;
	map_remove(&of->nodes, dot + 1);
	reports->n -= before - of->nodes.n;
	if (of->nodes.n == 0)
		map_remove(&reports->diagnoses, diagnosis);
}

size_t reports_count(const struct reports *reports, const char *diagnosis)
{
	const struct reports_of *of = map_get(&reports->diagnoses, diagnosis);

	return of ? of->nodes.n : 0;
}

struct collect {
	const struct report_summary **list;
	size_t n;
};

static void collect_one(void *arg, const char *node, void *summary)
{
	struct collect *collect = arg;

	(void)node;
	collect->list[collect->n++] = summary;
}

void reports_list(const struct reports *reports, const char *diagnosis,
		  const struct report_summary **list)
{
	const struct reports_of *of = map_get(&reports->diagnoses, diagnosis);
	struct collect collect = {.list = list};

	if (of)
		map_each(&of->nodes, collect_one, &collect);
}

struct visit {
	void (*fn)(void *arg, struct report_summary *summary);
	void *arg;
};

static void visit_report(void *arg, const char *node, void *summary)
{
	struct visit *visit = arg;

	(void)node;
	visit->fn(visit->arg, summary);
}

static void visit_diagnosis(void *arg, const char *diagnosis, void *of)
{
	(void)diagnosis;
	map_each(&((struct reports_of *)of)->nodes, visit_report, arg);
}

void reports_each(const struct reports *reports,
		  void (*fn)(void *arg, struct report_summary *summary), void *arg)
{
	struct visit visit = {fn, arg};

	map_each(&reports->diagnoses, visit_diagnosis, &visit);
}

static void mark_one(void *arg, struct report_summary *summary)
{
	(void)arg;
	summary->seen = false;
}

void reports_mark(struct reports *reports)
{
	reports_each(reports, mark_one, NULL);
}

static int report_is_unseen(void *summary)
{
	return !((struct report_summary *)summary)->seen;
}

static void sweep_diagnosis(void *arg, const char *diagnosis, void *value)
{
	struct reports_of *of = value;
	struct reports *reports = arg;
	size_t before = of->nodes.n;

	(void)diagnosis;
	map_sweep(&of->nodes, report_is_unseen);
	reports->n -= before - of->nodes.n;
}

static int diagnosis_is_empty(void *of)
{
	return ((struct reports_of *)of)->nodes.n == 0;
}

void reports_sweep(struct reports *reports)
{
	map_each(&reports->diagnoses, sweep_diagnosis, reports);
	map_sweep(&reports->diagnoses, diagnosis_is_empty);
}
